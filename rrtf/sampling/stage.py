"""The sample stage: problems in, candidates out. What was drawn once is never drawn again.

Every answer has a key made of all that decides it: source and weights, the exact prompt, decoding, temperature, sample. The
key finds it in the cache after a kill, and its digest is its seed, so that neither the batch size nor other problems count.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from rrtf import profiles
from rrtf.checkpoints import Checkpoint, resolve
from rrtf.extraction import extract
from rrtf.progress import Report
from rrtf.records import Candidate, Problem, Role, from_row
from rrtf.sampling.generator import Generator, Request, Response
from rrtf.sampling.huggingface import HuggingFaceGenerator
from rrtf.sampling.local import Writer
from rrtf.sampling.settings import Decoding, HuggingFace, LocalModel, Recorded, Reference, Source
from rrtf.sampling.written import recorded, recorded_file, references
from rrtf.store import Log, digest, file_digest

# raise when the same request would get another answer
SAMPLING_VERSION = "1"


@lru_cache(maxsize=32)
def checkpoint(name: str) -> Checkpoint:
    """`resolve`, once per name and process."""
    return resolve(name)


def identity(source: Source) -> dict[str, Any]:
    """What an artifact's key must hold of a source: its settings and the digest of its weights."""
    row = dataclasses.asdict(source) | {"kind": type(source).__name__, "version": SAMPLING_VERSION}
    if isinstance(source, LocalModel):
        row["checkpoint"] = checkpoint(source.checkpoint).digest
    if isinstance(source, Recorded):
        row["path"] = file_digest(recorded_file(source))
    return row


def student_prompts(problems: Iterable[Problem], source: Source) -> dict[str, str]:
    """task_id -> the exact text the student is shown; tokenize it without adding special tokens."""
    assert isinstance(source, LocalModel)
    writer = Writer(checkpoint(source.checkpoint).path)
    return {problem.task_id: writer.text(profiles.render(problem, source.profile)) for problem in problems}


class Asked(NamedTuple):
    """One answer that is wanted: of which problem, which sample, and the request for it."""

    problem: Problem
    number: int
    request: Request


def sample(
    problems: Iterable[Problem],
    source: Source,
    decoding: Decoding,
    *,
    name: str,
    role: Role,
    cache: Path | None = None,
    progress: Report = lambda done, total, note: None,
) -> Iterator[Candidate]:
    """All candidates of one source, in the problems' order, then by temperature and sample.

    Raises MissingDataError for a checkpoint or file that is not there, InfrastructureError where an engine fails.
    """
    tasks = list(problems)
    if isinstance(source, Reference):
        return references(tasks, name=name, role=role)
    if isinstance(source, Recorded):
        return recorded(tasks, source, role=role, progress=progress)
    return _generated(tasks, source, source.decoding.over(decoding), name=name, role=role, cache=cache, progress=progress)


def _generated(
    problems: list[Problem],
    source: Source,
    decoding: Decoding,
    *,
    name: str,
    role: Role,
    cache: Path | None,
    progress: Report,
) -> Iterator[Candidate]:
    """What a model writes; answers in the cache are not drawn again, new ones are in it as soon as they are finished."""
    assert isinstance(source, HuggingFace)
    found = checkpoint(source.checkpoint)
    asked = {item.request.key: item for item in _asked(problems, source, decoding, name=name, checkpoint=found)}
    log = Log(cache) if cache else None
    known = log.rows if log else {}
    done = {key: dataclasses.replace(from_row(Candidate, known[key]), role=role) for key in asked if key in known}
    todo = [item.request for key, item in asked.items() if key not in done]
    generator: Generator | None = HuggingFaceGenerator(source, decoding, path=found.path) if todo else None
    for response in generator.generate(todo, progress=progress) if generator else ():
        assert isinstance(response, Response)
        candidate = _candidate(asked[response.key], response, source, name=name, role=role, weights=found.digest)
        done[response.key] = candidate
        if log:
            log.append(response.key, candidate)
        progress(len(done), len(asked), "")
    yield from (done[key] for key in asked)


def _asked(
    problems: list[Problem], source: LocalModel, decoding: Decoding, *, name: str, checkpoint: Checkpoint
) -> Iterator[Asked]:
    """One request an answer. Its key leaves out `n` and the other temperatures: more samples keep those there are."""
    writer = Writer(checkpoint.path)
    shape = dataclasses.asdict(decoding) | {"n": 0, "temperatures": 0}
    for problem in problems:
        text = writer.text(profiles.render(problem, source.profile))
        stop = (*profiles.stops(problem, source.profile), *decoding.stop)
        for temperature in decoding.temperatures:
            for number in range(decoding.n if temperature > 0 else 1):
                key = digest([SAMPLING_VERSION, checkpoint.digest, name, text, shape, stop, temperature, number])
                seed = _seed(decoding.seed, problem.task_id, name, temperature, number)
                yield Asked(problem, number, Request(key, text, temperature, seed, stop))


def _seed(*parts: object) -> int:
    """An answer's own seed: of the run's seed, problem, source, temperature and sample, and of nothing else."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big")


def _candidate(asked: Asked, response: Response, source: Source, *, name: str, role: Role, weights: str) -> Candidate:
    taken = extract(response.text, asked.problem, source.profile)
    return Candidate(
        task_id=asked.problem.task_id,
        source=name,
        role=role,
        sample=asked.number,
        temperature=asked.request.temperature,
        seed=asked.request.seed,
        prompt=asked.request.text,
        response=response.text,
        program=taken.program,
        removed=taken.removed,
        tokens=response.tokens,
        finish=response.finish,
        profile=source.profile.label,
        source_digest=weights,
    )
