"""The texts GPTQ is calibrated on: training prompts with their best answers, drawn by a seed, never from a benchmark."""

import random
from collections.abc import Iterable, Mapping, Sequence

from rrtf.errors import UserError
from rrtf.problems.data_settings import Decontaminate
from rrtf.problems.decontaminate import Overlap, overlaps
from rrtf.quantize.settings import Quantization
from rrtf.records import Group, Problem

_SHOWN = 5


def calibration_texts(
    groups: Iterable[Group],
    problems: Mapping[str, Problem],
    benchmarks: Iterable[Problem],
    settings: Quantization,
    *,
    rules: Decontaminate | None = None,
) -> list[str]:
    """Prompt and best answer of `settings.calibration_problems` groups, fewer where there are fewer.

    `problems` are the training problems by task_id, `benchmarks` those of every benchmark the model is scored on. Raises
    UserError where a drawn problem overlaps a benchmark's, or where no group has an answer.
    """
    usable = sorted((group for group in groups if group.responses), key=lambda group: group.task_id)
    random.Random(settings.seed).shuffle(usable)
    drawn = usable[: settings.calibration_problems]
    if not drawn:
        raise UserError("no calibration texts: no training problem has an answer")
    found = overlaps([problems[group.task_id] for group in drawn], benchmarks, rules or Decontaminate())
    if found:
        raise UserError(_leak(found))
    return [group.prompt + group.responses[0].text for group in drawn]


def _leak(found: Sequence[Overlap]) -> str:
    """The message for calibration problems that are a benchmark's."""
    lines = [f"  - {o.task_id} and {o.benchmark_id}: same {o.evidence.value} ({o.score:.2f}): {o.shown[:80]!r}" for o in found]
    more = [f"  - and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    tasks = len({overlap.task_id for overlap in found})
    head = f"{tasks} calibration problem(s) overlap a benchmark, so a score on it would say nothing:"
    return "\n".join([head, *lines[:_SHOWN], *more, "Take them out of the training problems (see decontaminate)"])
