"""The shape of the house: who may import whom, what stays light, and how long a file may grow."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rrtf
from rrtf.errors import UserError

ROOT = Path(rrtf.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
STAGES = {"problems", "sampling", "judge", "rank", "training", "evaluation", "quantize", "report"}
# data flows one way: a stage reads records, not other stages. The exceptions, each with its reason:
ALLOWED = {
    ("evaluation", "problems"),  # a benchmark is a problem set asked in a certain way
    ("evaluation", "sampling"),  # evaluating is sampling ...
    ("evaluation", "judge"),  # ... and judging on a benchmark
    ("problems", "sampling"),  # evolving asks a Generator to write
    ("problems", "judge"),  # voted tests are run
    ("judge", "problems"),  # the plain command reads every format ...
    ("judge", "evaluation"),  # ... and prints pass@k with intervals
    ("report", "problems"),  # what the data work dropped is printed and drawn as it says it
    ("report", "evaluation"),  # tables and figures print its comparisons and intervals
    ("quantize", "evaluation"),  # a small format is compared with the original by the same paired test
    ("quantize", "problems"),  # calibration texts must not overlap a benchmark
    ("quantize", "sampling"),  # measured through the generators that serve it
    ("quantize", "problems"),  # calibration texts are searched for benchmark problems
    ("quantize", "evaluation"),  # verdict flips are tested like any two runs
}
STEPS = {"steps", "train_steps", "data_steps", "quantize_steps"}
DOORS = {
    "overrides",
    "__main__",
    "pipeline",
    "preview",
    *STEPS,
    "run",
    "settings",
    "sweep",
    "evaluate",
    "generate_command",
    "conf",
}
DOORS |= {"overrides"}  # reads the command line before Hydra does
DOORS |= {"online_rl"}  # trains otherwise and measures by the same stages
DOORS |= {"together"}  # tells several processes when the train stage begins
ONLY_IN = {
    "hydra": {"settings", "overrides", "__main__"},
    "omegaconf": {"settings", "overrides", "__main__"},
    "pytorch_lightning": {"training"},
    "wandb": {"report"},
    "matplotlib": {"report"},
}
LIGHT = ["records", "store", "errors", "prompts", "extraction", "rank", "judge.engine", "judge.command", "evaluation.pass_at_k"]
HEAVY = {"torch", "transformers", "pytorch_lightning", "hydra", "wandb", "matplotlib"}


def part(path: Path) -> str:
    """The package or top-level module a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "rrtf":
                yield from (f"rrtf.{alias.name}" for alias in node.names)


def test_stages_do_not_import_each_other() -> None:
    crossings = {
        (part(path), name.split(".")[1], path.name)
        for path in FILES
        for name in imports(path)
        if name.startswith("rrtf.") and name.split(".")[1] in STAGES and part(path) not in DOORS
    }
    assert len(crossings) > 10  # the walk really saw the imports
    assert {c for c in crossings if c[0] != c[1] and c[:2] not in ALLOWED} == set()


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_met_in_its_own_place_only(library: str) -> None:
    users = {part(path) for path in FILES if any(name.split(".")[0] == library for name in imports(path))}
    assert users and users <= ONLY_IN[library]


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_stay_light(module: str) -> None:
    code = f"import sys, rrtf.{module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.slow
def test_every_module_imports() -> None:
    names = [module.name for module in pkgutil.walk_packages(rrtf.__path__, "rrtf.") if not module.name.endswith("__main__")]
    assert len(names) > 40
    for name in names:
        try:
            importlib.import_module(name)
        except UserError as error:  # a package of an extra that is not installed here
            assert "pip install 'rrtf[" in str(error)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= 300
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    long = {f.name: f.end_lineno - f.lineno for f in functions if f.end_lineno and f.end_lineno - f.lineno > 45}
    assert long == {}


def test_no_path_of_a_machine_is_committed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT.parent, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    texts = {name: (ROOT.parent / name).read_bytes() for name in tracked.stdout.splitlines() if (ROOT.parent / name).is_file()}
    home = str(Path.home()).encode() + b"/"
    assert [name for name, text in texts.items() if home in text and name != "tests/test_architecture.py"] == []
