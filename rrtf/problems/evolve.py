"""Evol-Instruct (paper, section 3.3; in-depth evolving only): a writer makes tasks harder, round after round.

Each round rewrites the newest version of every task by one method; a rewriting that fails a filter is dropped and the task
stays as it was for the next round. An evolved problem has no solution and no tests: teachers answer it, and test_votes gives it
tests. Which method falls to which task, and so each prompt, depends on ids and the seed alone; the writer's answers are cached
by the sample stage, so a run that was killed asks for nothing twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rrtf.problems.data_settings import Evolve
from rrtf.problems.dropped import Dropped
from rrtf.problems.evolve_filters import Rewriting, failure
from rrtf.problems.evolve_prompts import choose, request, rewritten
from rrtf.problems.formats import ENTRY_POINT
from rrtf.problems.wording import words
from rrtf.records import Candidate, Problem, TestKind, Tests

# asks a writer: one problem is one message (profile style `verbatim`), one candidate is its answer, matched by task_id
Ask = Callable[[Sequence[Problem]], Iterable[Candidate]]


@dataclass(kw_only=True)
class Evolved:
    """Seeds (where kept) and evolved problems, what was thrown away, and what it cost."""

    problems: list[Problem] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    asked: int = 0
    written_tokens: int = 0
    prompt_tokens: int = 0
    money: float = 0.0
    # why it ended before its last round; "" where it did not
    stopped: str = ""


def evolve(
    seeds: Iterable[Problem],
    ask: Ask,
    settings: Evolve,
    *,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> Evolved:
    """Evolve `seeds` for all rounds or until the budget is spent; `parent` of each result names what it was made from.

    Answers that never came (an endpoint that failed for good) are dropped as `no_answer`, visibly.
    """
    newest = list(seeds)
    result = Evolved(problems=list(newest) if settings.keep_seeds else [])
    seen = {_identity(problem.text) for problem in newest}
    total = settings.rounds * len(newest)
    for round in range(1, settings.rounds + 1):
        for batch in _batches(range(len(newest)), settings):
            if spent := _spent(result, settings):
                result.stopped = f"{spent}, in round {round} of {settings.rounds}"
                return result
            answers = _answers([newest[i] for i in batch], ask, settings, round=round, result=result)
            for i, child in zip(batch, _judged(answers, settings, seen=seen, result=result), strict=True):
                if child:
                    result.problems.append(child)
                    newest[i] = child
            progress(result.asked, total, f"round {round}, {_kept(result)} kept, {result.written_tokens} tokens")
    return result


@dataclass(frozen=True, kw_only=True)
class _Answer:
    parent: Problem
    method: str
    task_id: str
    candidate: Candidate | None


def _answers(parents: Sequence[Problem], ask: Ask, settings: Evolve, *, round: int, result: Evolved) -> list[_Answer]:
    """Ask for one rewriting of each parent, and count what it cost."""
    methods = [choose(parent, settings, round=round) for parent in parents]
    asked = [request(parent, method, round=round) for parent, method in zip(parents, methods, strict=True)]
    found = {candidate.task_id: candidate for candidate in ask(asked)}
    result.asked += len(asked)
    result.written_tokens += sum(candidate.tokens for candidate in found.values())
    result.prompt_tokens += sum(len(candidate.prompt) // 4 for candidate in found.values())
    result.money = (result.prompt_tokens * settings.input_price + result.written_tokens * settings.output_price) / 1e6
    return [
        _Answer(parent=parent, method=method, task_id=message.task_id, candidate=found.get(message.task_id))
        for parent, method, message in zip(parents, methods, asked, strict=True)
    ]


def _judged(answers: Iterable[_Answer], settings: Evolve, *, seen: set[str], result: Evolved) -> Iterator[Problem | None]:
    """The evolved problem of each answer, or None where it fails; the failure is noted in `result`."""
    for answer in answers:
        text = rewritten(answer.candidate.response) if answer.candidate else ""
        rule, detail = _fault(answer, text, settings, seen)
        if rule:
            result.dropped.append(Dropped(task_id=answer.task_id, step="evolve", rule=rule, detail=detail, text=text))
            yield None
        else:
            seen.add(_identity(text))
            yield _child(answer, text)


def _fault(answer: _Answer, text: str, settings: Evolve, seen: set[str]) -> tuple[str, str]:
    if answer.candidate is None:
        return "no_answer", "the writer gave none"
    found = failure(Rewriting(answer.parent.text, text, answer.method, answer.candidate.finish), settings)
    if not found[0] and _identity(text) in seen:
        return "repeated", "another task has these words already"
    return found


def _child(answer: _Answer, text: str) -> Problem:
    """The evolved problem: its parent's place in the world without its parent's code, solution and tests."""
    parent = answer.parent
    return replace(
        parent,
        task_id=answer.task_id,
        text=text,
        entry_point=parent.entry_point.rpartition(".")[2] or ENTRY_POINT,
        signature="",
        prompt="",
        reference="",
        tests=Tests(kind=TestKind.asserts),
        difficulty="",
        origin=f"evolved {parent.origin.removeprefix('evolved ')}".strip(),
        parent=parent.task_id,
    )


def _batches(positions: range, settings: Evolve) -> Iterator[range]:
    """All at once where nothing limits the cost: a local model then sees the whole round and batches best."""
    size = settings.batch if settings.budget_tokens or settings.budget_money else max(1, len(positions))
    return (positions[start : start + size] for start in range(0, len(positions), size))


def _spent(result: Evolved, settings: Evolve) -> str:
    if settings.budget_tokens and result.written_tokens >= settings.budget_tokens:
        return f"{result.written_tokens} tokens written, budget_tokens is {settings.budget_tokens}"
    if settings.budget_money and result.money >= settings.budget_money:
        return f"{result.money:.4g} spent, budget_money is {settings.budget_money:g}"
    return ""


def _kept(result: Evolved) -> int:
    return result.asked - len(result.dropped)


def _identity(text: str) -> str:
    return " ".join(words(text))
