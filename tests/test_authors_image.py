"""CoderEval's own runner in a container: a stand-in for docker runs a stand-in for it that reads and writes as theirs does."""

import os
from pathlib import Path

import pytest

from rrtf.errors import InfrastructureError, MissingDataError
from rrtf.judge.authors_image import image_id, judge_in_image
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.records import Outcome, Problem, TestKind, Tests

# what the image holds: reads {_id, generate_results: [text]}, writes {_id, generate_results: [{generate_code, is_pass, …}]} and
# leaves out what took too long
RUNNER = """
import json, sys
with open(sys.argv[1]) as samples, open(sys.argv[1] + "_out.jsonl", "w") as out:
    for row in map(json.loads, samples):
        if "lost" in row["_id"]:
            continue
        assert len(row["generate_results"]) <= int(sys.argv[2])
        found = []
        for code in row["generate_results"]:
            names = {}
            if "while True" in code:
                continue
            try:
                exec(code, names)
                right = names["f"]() == 1
            except Exception:
                right = False
            found.append({"generate_code": code, "is_pass": right, "return_code": 0 if right else 1})
        out.write(json.dumps({**row, "generate_results": found}) + "\\n")
"""
DOCKER = """#!/bin/sh
case "$*" in
  *broken*) echo "no space left" >&2; exit 125 ;;
  "image inspect --format={{.Id}} here") echo sha256:1234 ;;
  "image inspect"*) echo "no such image" >&2; exit 1 ;;
  *--volume=*)
    for word; do case "$word" in --volume=*) folder=${word#--volume=}; folder=${folder%:/rrtf} ;; esac; last=$word; done
    cd "$(dirname "$0")" && sh -c "$(echo "$last" | sed "s#/home/travis/builds#.#; s#/rrtf/#$folder/#")" ;;
esac
"""
RIGHT, WRONG, ENDLESS = "def f():\n    return 1\n", "def f():\n    return 2  # ünï\ud800\n", "while True: pass\n"


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "PythonExec.py").write_text(RUNNER)
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def problem(name: str) -> Problem:
    tests = Tests(kind=TestKind.program, code="import neo4j\ndef f(): ...\nassert f() == 1\n")
    return Problem(task_id=f"CoderEval/{name}", text="Return 1.", entry_point="f", tests=tests, split="image")


@pytest.mark.usefixtures("container")
def test_every_answer_gets_the_runners_verdict_in_the_answers_order() -> None:
    first, second = problem("a1"), problem("b2")
    programs = [RIGHT, ENDLESS, WRONG, "", RIGHT, "syntax error"]
    found = list(judge_in_image([Job(task, text) for text in programs for task in (first, second)], "here"))
    assert [v.task_id for v in found] == ["CoderEval/a1", "CoderEval/b2"] * len(programs)
    for own in (found[::2], found[1::2]):
        assert [v.outcome for v in own] == [
            Outcome.all_tests_passed,
            Outcome.timeout,
            Outcome.runtime_error,
            Outcome.no_code,
            Outcome.all_tests_passed,
            Outcome.runtime_error,
        ]
    assert {(v.isolation, v.trust.value) for v in found} == {("authors' container", "in_process")}


@pytest.mark.usefixtures("container")
def test_a_runner_that_fails_or_leaves_tasks_out_is_no_score() -> None:
    with pytest.raises(InfrastructureError, match="broken: .*status 125: no space left"):
        list(judge_in_image([Job(problem("a1"), RIGHT)], "broken"))
    with pytest.raises(InfrastructureError, match=r"left out 1 tasks \(lost1\)"):
        list(judge_in_image([Job(problem("a1"), RIGHT), Job(problem("lost1"), RIGHT)], "here"))


@pytest.mark.usefixtures("container")
def test_an_image_that_is_not_here_says_where_it_comes_from() -> None:
    assert image_id("here") == "sha256:1234"
    with pytest.raises(MissingDataError, match=r"elsewhere: no such container image. Load the one .*benchmarks=\[codereval\]"):
        image_id("elsewhere")


def test_without_docker_the_mistake_is_told_and_the_judge_gives_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InfrastructureError, match="runs only in the image of CoderEval's authors"):
        list(judge([Job(problem("a1"), RIGHT)], Judge(workers=1)))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingDataError, match="needs docker or podman"):
        image_id("here")
