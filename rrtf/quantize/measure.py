"""How much memory a format takes and how fast it answers: all formats in one run, in turns, each in a process of its own.

Turns, because on a shared machine the noise of one minute is not that of the next; processes, because memory is counted per
process. All formats see the same prompts, cut to one length, so that none pays for another's padding.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rrtf.errors import UserError
from rrtf.progress import Report
from rrtf.quantize import sidecar
from rrtf.quantize.settings import Measurement
from rrtf.quantize.worker import Worker

BATCHES = (8, 32)
BATCH_TOKENS = 16  # most that a row of a batch is timed for: there are many rows, and their prompts take as long


class Format(NamedTuple):
    """One thing to measure: what tables call it and its folder (the original's, or a quantized one)."""

    name: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median over the rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One format's cost. Memory in MiB over a process that has every library and the tokenizer, and no weights.

    weights_mb         the weights' files
    loaded_mb          held after loading
    memory_mb          the highest while answering at batch 1 (the paper's "GPU memory", Table 4)
    loading_mb         the highest while loading
    memory_32_mb       the highest at batch 32
    ms_per_token       a new token at batch 1, prompt not counted (the paper's "ms/token")
    prompt_tokens_per_second   reading a prompt at batch 1, until its first token
    tokens_per_second_8, _32   new tokens at that batch size, at most 16 a row, prompts' time included
    kernel             what multiplied, and in which numbers
    """

    name: str
    method: str
    device: str
    threads: int
    rounds: int
    prompt_tokens: int
    new_tokens: int
    weights_mb: float
    loaded_mb: float
    memory_mb: float
    loading_mb: float
    memory_32_mb: float
    ms_per_token: Spread
    prompt_tokens_per_second: Spread
    tokens_per_second_8: Spread
    tokens_per_second_32: Spread
    versions: dict[str, str]
    kernel: str = ""


def measure(
    formats: Sequence[Format],
    prompts: Sequence[str],
    settings: Measurement,
    *,
    report: Report = lambda done, total, note: None,
) -> list[Measured]:
    """Measure every format on the same `prompts` (exact texts, special tokens included).

    All of them are loaded at once; they take turns. Raises UserError for a format that can't be loaded.
    """
    if not prompts:
        raise UserError("measuring needs at least one prompt")
    with ExitStack() as stack:
        workers = {}
        for number, item in enumerate(formats):
            report(number, len(formats), f"loading {item.name}")
            workers[item.name] = stack.enter_context(Worker(item.folder, threads=settings.threads))
        taken = _take(workers, _pieces(workers[formats[0].name], prompts, settings), settings, report)
    return [_measured(item, workers[item.name], taken[item.name], settings) for item in formats]


def _pieces(worker: Worker, prompts: Sequence[str], settings: Measurement) -> list[list[int]]:
    """The prompts' ids end to end, cut to pieces of one length; as many as the largest batch, from the start again if short."""
    ids = list(chain.from_iterable(worker.ask("encode", text=text) for text in prompts[: 4 * max(BATCHES)]))
    endless = cycle(ids)
    return [list(islice(endless, settings.prompt_tokens)) for _ in range(max(BATCHES))]


class _Taken(NamedTuple):
    """The raw seconds of one format, a number a round, and its memory after batch 1 and after the largest batch."""

    first: list[float]
    more: list[float]
    batches: dict[int, list[float]]
    memory: dict[int, float]


def _take(workers: dict[str, Worker], pieces: list[list[int]], settings: Measurement, report: Report) -> dict[str, _Taken]:
    """Every timing, round by round; in each round the formats' order moves on by one."""
    taken = {name: _Taken([], [], {size: [] for size in BATCHES}, {}) for name in workers}
    names = list(workers)
    total = settings.rounds * len(names) * (1 + len(BATCHES))
    done = 0

    def turns(work: Callable[[str, int], None], note: str) -> None:
        nonlocal done
        for number in range(settings.rounds):
            for name in (names[(number + shift) % len(names)] for shift in range(len(names))):
                report(done, total, f"{note}: {name}")
                work(name, number)
                done += 1

    def timed(size: int, name: str, number: int) -> None:
        ask, kept = workers[name].ask, taken[name]
        if size > 1:
            kept.batches[size].append(ask("time", prompts=pieces[:size], new_tokens=_batch_tokens(settings)))
            return
        prompt = [pieces[number % len(pieces)]]
        kept.first.append(ask("time", prompts=prompt, new_tokens=1))
        kept.more.append(ask("time", prompts=prompt, new_tokens=1 + settings.new_tokens))

    for name in names:  # the first call of each builds its kernels
        workers[name].ask("time", prompts=pieces[:1], new_tokens=2)
    for size in (1, *BATCHES):
        turns(partial(timed, size), f"batch {size}")
        for name in names:
            taken[name].memory[size] = workers[name].ask("memory")
    report(total, total, "")
    return taken


def _measured(item: Format, worker: Worker, taken: _Taken, settings: Measurement) -> Measured:
    about = sidecar.read(item.folder)
    weights = [file for file in item.folder.iterdir() if file.suffix == ".safetensors" or file.name == "model.bin"]
    decoding = [more - first for first, more in zip(taken.first, taken.more, strict=True)]
    rates = {size: _spread([size * _batch_tokens(settings) / s for s in taken.batches[size]]) for size in BATCHES}
    return Measured(
        name=item.name,
        method=about.method if about else "original",
        device=worker.memory["device"],
        threads=worker.memory["threads"],
        rounds=settings.rounds,
        prompt_tokens=settings.prompt_tokens,
        new_tokens=settings.new_tokens,
        weights_mb=round(sum(file.stat().st_size for file in weights) / (1 << 20), 1),
        loaded_mb=round(worker.memory["loaded_mb"], 1),
        memory_mb=round(taken.memory[1], 1),
        loading_mb=round(worker.memory["loading_mb"], 1),
        memory_32_mb=round(taken.memory[max(BATCHES)], 1),
        ms_per_token=_spread([1000 * seconds / settings.new_tokens for seconds in decoding]),
        prompt_tokens_per_second=_spread([settings.prompt_tokens / seconds for seconds in taken.first]),
        tokens_per_second_8=rates[8],
        tokens_per_second_32=rates[32],
        versions=sidecar.versions(),
        kernel=worker.memory["kernel"],
    )


def _batch_tokens(settings: Measurement) -> int:
    return min(BATCH_TOKENS, settings.new_tokens)


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median=round(median(values), 3), low=round(min(values), 3), high=round(max(values), 3))


def flat(found: Measured) -> dict[str, Any]:
    """The medians as MODEL/NUMBER, the names that Table 4 is drawn from."""
    spreads = ("ms_per_token", "prompt_tokens_per_second", "tokens_per_second_8", "tokens_per_second_32")
    numbers = {name: getattr(found, name).median for name in spreads}
    numbers |= {name: getattr(found, name) for name in ("weights_mb", "loaded_mb", "memory_mb", "memory_32_mb")}
    return {f"{found.name}/{name}": value for name, value in numbers.items()}
