"""A plan runs each step once, names artifacts by what made them, and says what is missing before it starts."""

import io
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from rrtf.errors import UserError
from rrtf.plan import Stage, Step, execute, show
from rrtf.progress import Report
from rrtf.store import Store, write_records


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def counted(log: Path, name: str) -> Callable[[Path, Report], None]:
    def make(path: Path, report: Report) -> None:
        with log.open("a") as file:
            file.write(name + "\n")
        report(1, 1, "")
        write_records(path, [{"name": name}])

    return make


def chain(root: Path, *, weight: float = 1.0) -> list[Step]:
    """problems -> rank -> train, each noting in root/log when it runs."""
    store, log = Store(root / "store"), root / "log"

    def step(stage: Stage, recipe: dict[str, object], *needs: Step) -> Step:
        make = counted(log, stage.value)
        return Step(stage=stage, title=stage.value, unit="rows", recipe=recipe, make=make, store=store, needs=needs)

    problems = step(Stage.problems, {"path": "a"})
    ranked = step(Stage.rank, {"policy": "b"}, problems)
    return [problems, ranked, step(Stage.train, {"weight": weight}, ranked)]


def test_the_second_run_does_nothing_and_a_changed_setting_only_what_depends_on_it(tmp_path: Path) -> None:
    execute(chain(tmp_path), console(), stages=list(Stage))
    execute(chain(tmp_path), console(), stages=list(Stage))
    assert (tmp_path / "log").read_text().split() == ["problems", "rank", "train"]
    execute(chain(tmp_path, weight=2.0), console(), stages=list(Stage))
    assert (tmp_path / "log").read_text().split() == ["problems", "rank", "train", "train"]


def test_deleting_an_artifact_makes_only_that_one_again(tmp_path: Path) -> None:
    steps = chain(tmp_path)
    execute(steps, console(), stages=list(Stage))
    steps[1].path.unlink()
    execute(steps, console(), stages=list(Stage))
    assert (tmp_path / "log").read_text().split() == ["problems", "rank", "train", "rank"]


def test_an_artifact_counts_as_made_with_its_note_and_is_not_made_again_for_the_want_of_it(tmp_path: Path) -> None:
    """The note is written last: a process killed, or met, between the two leaves the artifact alone."""
    steps = chain(tmp_path)
    execute(steps, console(), stages=list(Stage))
    (note,) = steps[1].path.parent.glob("*.meta.json")
    note.unlink()
    assert not steps[1].done
    execute(steps, console(), stages=list(Stage))
    assert steps[1].done and steps[1].seconds >= 0
    assert (tmp_path / "log").read_text().split() == ["problems", "rank", "train"]


def test_a_stage_left_out_is_an_error_only_where_its_artifact_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not made yet .*: problems.*stages=\[problems,rank\]"):
        execute(chain(tmp_path), console(), stages=[Stage.rank])
    assert not (tmp_path / "log").exists()
    execute(chain(tmp_path), console(), stages=[Stage.problems])
    execute(chain(tmp_path), console(), stages=[Stage.rank])
    assert (tmp_path / "log").read_text().split() == ["problems", "rank"]


def test_the_plan_says_what_is_cached_to_do_and_left_out(tmp_path: Path) -> None:
    execute(chain(tmp_path), console(), stages=[Stage.problems])
    shown = console()
    show(chain(tmp_path), shown, stages=[Stage.rank])
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert [word for word in ("cached", "to do", "left out") if word in text] == ["cached", "to do", "left out"]
    assert chain(tmp_path)[0].key in text


def _run(root: Path) -> None:
    execute(chain(root), console(), stages=list(Stage))


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=_run, args=(tmp_path,)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0]
    assert sorted((tmp_path / "log").read_text().split()) == ["problems", "rank", "train"]


def test_a_failing_step_leaves_no_artifact_and_keeps_the_earlier_ones(tmp_path: Path) -> None:
    steps = chain(tmp_path)

    def fail(path: Path, report: Report) -> None:
        raise RuntimeError("no space left")

    bad = Step(stage=Stage.train, title="t", unit="rows", recipe={}, make=fail, store=steps[0].store, needs=(steps[1],))
    with pytest.raises(RuntimeError):
        execute([*steps[:2], bad], console(), stages=list(Stage))
    assert steps[0].done and steps[1].done and not bad.done
