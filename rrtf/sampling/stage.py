"""The sample stage: problems in, candidates out. What was drawn once is never drawn again.

Every answer has a key made of all that decides it: source and weights, the exact prompt, decoding, temperature, sample. The
key finds it in the cache after a kill, and its digest is its seed, so that neither the batch size nor other problems count.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from rrtf import profiles
from rrtf.checkpoints import Checkpoint, resolve
from rrtf.extraction import extract
from rrtf.progress import Report
from rrtf.records import Candidate, Problem, Role, from_row
from rrtf.sampling.generator import Generator, Request, Response
from rrtf.sampling.huggingface import HuggingFaceGenerator
from rrtf.sampling.local import Writer
from rrtf.sampling.settings import Decoding, HuggingFace, LocalModel, Source
from rrtf.store import Log, digest

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
    return row


def student_prompts(problems: Iterable[Problem], source: Source) -> dict[str, str]:
    """task_id -> the exact text the student is shown; tokenize it without adding special tokens."""
    assert isinstance(source, LocalModel)
    writer = Writer(checkpoint(source.checkpoint).path)
    return {problem.task_id: writer.text(profiles.render(problem, source.profile)) for problem in problems}


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
    """All candidates of one source, in the problems' order, then by temperature and sample."""
    asked = list(problems)
    own = source.decoding.over(decoding)
    assert isinstance(source, HuggingFace)
    found = checkpoint(source.checkpoint)
    writer = Writer(found.path)
    plans = {}
    for problem in asked:
        text = writer.text(profiles.render(problem, source.profile))
        for temperature in own.temperatures:
            for number in range(own.n if temperature > 0 else 1):
                made_of = [found.digest, text, dataclasses.asdict(own), temperature, number, name]
                key = digest(made_of)
                seed = int.from_bytes(hashlib.sha256(f"{own.seed}|{problem.task_id}|{name}|{temperature}|{number}".encode()).digest()[:8], "big")
                stop = (*profiles.stops(problem, source.profile), *own.stop)
                plans[key] = (problem, number, Request(key, text, temperature, seed, stop))
    log = Log(cache) if cache else None
    done = {key: from_row(Candidate, log.rows[key]) for key in plans if log and key in log.rows}
    todo = [plan[2] for key, plan in plans.items() if key not in done]
    generator: Generator | None = HuggingFaceGenerator(source, own, path=found.path) if todo else None
    for response in generator.generate(todo, progress=progress) if generator else ():
        assert isinstance(response, Response)
        problem, number, request = plans[response.key]
        taken = extract(response.text, problem, source.profile)
        candidate = Candidate(task_id=problem.task_id, source=name, role=role, sample=number, temperature=request.temperature,
            seed=request.seed, prompt=request.text, response=response.text, program=taken.program, removed=taken.removed,
            tokens=response.tokens, finish=response.finish, profile=source.profile.label, source_digest=found.digest)
        done[response.key] = candidate
        if log:
            log.append(response.key, candidate)
        progress(len(done), len(plans), "")
    for key in plans:
        yield done[key]
