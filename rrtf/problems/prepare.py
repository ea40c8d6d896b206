"""From seeds to training problems: evolve, clean, remove duplicates, decontaminate, with one report of what went where."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from rrtf.problems.clean import clean
from rrtf.problems.data_settings import Clean, Decontaminate, Evolve
from rrtf.problems.decontaminate import decontaminate
from rrtf.problems.dropped import Dropped, RuleRow, report_rows
from rrtf.problems.duplicates import remove_duplicates
from rrtf.problems.evolve import Ask, Evolved, evolve
from rrtf.records import Problem


class Prepared(NamedTuple):
    """The problems to train on, all that was dropped on the way, the report's rows, and what evolving cost (None: not done)."""

    problems: list[Problem]
    dropped: list[Dropped]
    rows: list[RuleRow]
    evolved: Evolved | None


def prepare(
    seeds: Iterable[Problem],
    benchmarks: Mapping[str, Sequence[Problem]],
    *,
    clean_settings: Clean,
    decontaminate_settings: Decontaminate,
    evolve_settings: Evolve | None = None,
    ask: Ask | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> Prepared:
    """The paper's data work (section 3.3) in its order; with a writer (`ask`) and its settings the seeds are evolved first.

    `benchmarks` are all the sets a run is evaluated on, by name. Kept and dropped together are everything that went in.
    """
    problems = list(seeds)
    evolved = evolve(problems, ask, evolve_settings, progress=progress) if ask and evolve_settings else None
    if evolved:
        problems = evolved.problems
    cleaned = clean(problems, clean_settings)
    unique = remove_duplicates(cleaned.kept, clean_settings)
    safe = decontaminate(unique.kept, benchmarks, decontaminate_settings)
    dropped = [*(evolved.dropped if evolved else []), *cleaned.dropped, *unique.dropped, *safe.dropped]
    return Prepared(safe.kept, dropped, report_rows(dropped, total=len(safe.kept) + len(dropped)), evolved)
