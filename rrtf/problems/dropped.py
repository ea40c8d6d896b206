"""What the data work threw away and why: one record a problem, and the report that any of its steps gives."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A problem (or an evolved text) that was not kept. `step` and `rule` name what said so; `detail` shows it."""

    task_id: str
    step: str
    rule: str
    detail: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One line of the report: how many a rule dropped, their share of all, and the first few of them."""

    step: str
    rule: str
    count: int
    share: float
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What one step of the data work did to a set: how many went in, where they went, and what it says of itself."""

    title: str
    total: int
    rows: tuple[RuleRow, ...]
    note: str = ""


def data_report(title: str, kept: int, dropped: Sequence[Dropped], *, note: str = "") -> DataReport:
    """The report of a step that kept so many problems and dropped these."""
    total = kept + len(dropped)
    return DataReport(title=title, total=total, rows=tuple(report_rows(dropped, total=total)), note=note)


def report_rows(dropped: Iterable[Dropped], *, total: int, examples: int = 3) -> list[RuleRow]:
    """Rows for a table or a picture: "kept" first, then every rule with what it dropped, in the order of the steps.

    `total` is how many went in. An example reads "task_id: what the rule saw | the text", on one line.
    """
    groups: dict[tuple[str, str], list[Dropped]] = defaultdict(list)
    for one in dropped:
        groups[one.step, one.rule].append(one)
    gone = sum(map(len, groups.values()))
    rows = [RuleRow(step="", rule="kept", count=total - gone, share=(total - gone) / max(1, total), examples=())]
    for (step, rule), ones in groups.items():
        shown = tuple(f"{one.task_id}: {one.detail} | {' '.join(one.text.split())[:120]}" for one in ones[:examples])
        rows.append(RuleRow(step=step, rule=rule, count=len(ones), share=len(ones) / max(1, total), examples=shown))
    return rows
