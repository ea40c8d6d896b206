# make help lists the targets. Everything runs from a fresh clone; nothing but Python 3.10+ and make is needed first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# status 1 is a mistake in the code, 2 an error of mypy's own: seen once in some fifty runs of the same files, so once more, and with its traceback
MYPY := $(BIN)/mypy --show-traceback

.PHONY: help run test test-slow check smoke clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED)  ## the whole method on this machine: sample, judge, rank, train, evaluate
	$(BIN)/rrtf experiment=quickstart

test: $(INSTALLED)  ## the fast tests
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(INSTALLED)  ## the tests that need real models, clusters or a browser
	$(BIN)/python -m pytest -m slow

check: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(MYPY) || { [ $$? = 2 ] && $(MYPY) --no-incremental; }

smoke: $(INSTALLED)  ## every stage once, in under 90 seconds
	$(BIN)/rrtf debug=smoke

clean:  ## remove what make and rrtf made here
	rm -rf $(VENV) runs multirun build dist *.egg-info

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
