"""The sample stage: problems in, candidates out. What was drawn once is never drawn again.

Every answer has a key made of all that decides it: weights, exact prompt, decoding, seed. The key finds it in the cache after
a kill. Its seed is made of the problem, the source, the temperature and the sample's number, so that more problems, more
samples or another batch size leave every other answer as it was.
"""

import dataclasses
import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rrtf import profiles
from rrtf.errors import InfrastructureError
from rrtf.extraction import extract
from rrtf.profiles import Profile
from rrtf.progress import Report
from rrtf.records import Candidate, Problem, Role
from rrtf.sampling.engines import Engine, engine, identity
from rrtf.sampling.generator import Request, Skip
from rrtf.sampling.settings import Decoding, LocalModel, OpenAICompatible, Recorded, Reference, Source
from rrtf.sampling.written import recorded, references
from rrtf.store import Log, digest

__all__ = ["SAMPLING_VERSION", "identity", "sample", "student_prompts"]

# raise when the same request would get another answer
SAMPLING_VERSION = "2"

log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """One answer of the plan: which it is, and the request that gets it."""

    problem: Problem
    number: int
    request: Request


def student_prompts(problems: Iterable[Problem], source: Source) -> dict[str, str]:
    """task_id -> the exact text a local model is shown. Tokenize it without adding special tokens: they are in it."""
    if not isinstance(source, LocalModel):
        raise TypeError(f"{type(source).__name__} has no weights here to train")
    writer = engine(source, Decoding()).writer()
    return {problem.task_id: writer.text(profiles.render(problem, source.profile)) for problem in problems}


def sample(
    problems: Iterable[Problem],
    source: Source,
    decoding: Decoding,
    *,
    name: str,
    role: Role,
    cache: Path | None = None,
    examples: Sequence[Problem] = (),
    progress: Report = lambda done, total, note: None,
) -> Iterator[Candidate]:
    """All candidates of one source in the problems' order, then by temperature and sample.

    Finished answers are in `cache` at once (a store.Log), and those that are there are not drawn again. `examples` are
    shown in few-shot profiles. Raises InfrastructureError when an engine dies or loses more requests than its settings
    allow; what is finished is kept.
    """
    tasks = list(problems)
    if isinstance(source, Reference):
        yield from references(tasks, name=name, role=role)
        return
    if isinstance(source, Recorded):
        yield from recorded(tasks, source, role=role, progress=progress)
        return
    own = source.decoding.over(decoding)
    chosen = engine(source, own)
    profile = _profile(source)
    plan = _plan(tasks, chosen, profile, own, examples)
    answered = _draw(plan, chosen, _most_failed(source), cache, progress)
    for key, asked in plan.items():
        if row := answered.get(key):
            yield _candidate(row, asked, profile, name=name, role=role, source_digest=chosen.digest)


def _profile(source: Source) -> Profile:
    """A server writes the beginning of an answer itself, so an API gets chats without one."""
    if isinstance(source, OpenAICompatible):
        return dataclasses.replace(source.profile, opening=profiles.Opening.nothing)
    return source.profile


def _most_failed(source: Source) -> float:
    return source.most_failed if isinstance(source, OpenAICompatible) else 0.0


def _plan(
    problems: Sequence[Problem], chosen: Engine, profile: Profile, decoding: Decoding, examples: Sequence[Problem]
) -> dict[str, Asked]:
    """Every answer to get, by key, in the order of the artifact."""
    plan = {}
    fixed = [SAMPLING_VERSION, chosen.digest, chosen.settings, decoding.top_p, decoding.top_k]
    fixed += [decoding.max_new_tokens, decoding.num_beams]
    writer = chosen.writer()
    for problem in problems:
        prompt = profiles.render(problem, profile, examples=examples)
        text = writer.text(prompt)
        stop = (*profiles.stops(problem, profile), *decoding.stop)
        for temperature in decoding.temperatures:
            for number in range(decoding.n if temperature > 0 else 1):
                made_of = f"{decoding.seed}|{problem.task_id}|{chosen.digest}|{temperature!r}|{number}"
                seed = int.from_bytes(hashlib.sha256(made_of.encode()).digest()[:4], "big") >> 1
                key = digest([*fixed, text, stop, temperature, seed])
                plan[key] = Asked(problem, number, Request(key, prompt, text, temperature, seed, stop))
    return plan


class _Answer(NamedTuple):
    """What is kept of a response in the cache."""

    text: str
    tokens: int
    finish: str


def _draw(
    plan: Mapping[str, Asked], chosen: Engine, most_failed: float, cache: Path | None, progress: Report
) -> dict[str, _Answer]:
    """The answers of the plan by key: from the cache, or drawn now and put there at once."""
    kept = Log(cache) if cache else None
    rows = kept.rows if kept else {}
    answers = {key: _Answer(**rows[key]) for key in plan if key in rows}
    todo = [asked.request for key, asked in plan.items() if key not in answers]
    progress(len(answers), len(plan), "from the cache" if answers else "")
    if not todo:
        return answers
    failed: Counter[str] = Counter()
    generator = chosen.start()
    for response in generator.generate(todo):
        if isinstance(response, Skip):
            failed[response.reason] += 1
        else:
            answer = _Answer(response.text, response.tokens, response.finish)
            answers[response.key] = answer
            if kept:
                kept.append(response.key, answer._asdict())
        progress(len(answers), len(plan), generator.note())
    _account(failed, answers, len(plan), most_failed)
    return answers


def _account(failed: Counter[str], answers: Mapping[str, _Answer], total: int, most_failed: float) -> None:
    """Say what is missing, and raise when it is too much."""
    if long := sum(answer.finish == "too_long" for answer in answers.values()):
        log.warning("%d of %d prompts are longer than the model's context; their answers are empty", long, total)
    if not failed:
        return
    reasons = "; ".join(f"{count} x {reason}" for reason, count in failed.most_common(5))
    if sum(failed.values()) > most_failed * total:
        raise InfrastructureError(
            f"{sum(failed.values())} of {total} requests got no answer: {reasons}. The {len(answers)} answers are kept: run "
            "again to ask for the others only, or raise the source's most_failed"
        )
    log.warning("%d of %d requests got no answer and are left out: %s", sum(failed.values()), total, reasons)


def _candidate(row: _Answer, asked: Asked, profile: Profile, *, name: str, role: Role, source_digest: str) -> Candidate:
    taken = extract(row.text, asked.problem, profile)
    return Candidate(
        task_id=asked.problem.task_id,
        source=name,
        role=role,
        sample=asked.number,
        temperature=asked.request.temperature,
        seed=asked.request.seed,
        prompt=asked.request.text,
        response=row.text,
        program=taken.program,
        removed=taken.removed,
        tokens=row.tokens,
        finish=row.finish,
        profile=profile.label,
        source_digest=source_digest,
    )
