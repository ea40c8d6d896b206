"""One self-contained HTML file to look at a run: problems, candidates, verdicts, and where models differ.

It works from file:// without network. Everything a model wrote is hostile: it travels as JSON inside an inert script element
with <, > and & escaped, and the page's own script only ever puts it on screen as text.
"""

import html
import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from rrtf.records import Judged, Outcome, Problem, TestKind, Tests

# ours: beyond this a problem's candidates stop being looked at, and a page of 200 samples a problem would weigh a gigabyte
CANDIDATES = 24
# characters of one program, response or test shown
LONGEST = 20_000


class Section(NamedTuple):
    """A set of problems and what was judged on them: the training problems, or one benchmark."""

    problems: Iterable[Problem]
    judged: Iterable[Judged]


def write_page(path: Path, sections: Mapping[str, Section], *, title: str, candidates: int = CANDIDATES) -> Path:
    """Write the page of a run; at most `candidates` of each source and problem are kept, and the page says so."""
    problems = [row for name, section in sections.items() for row in _problems(name, section, candidates)]
    payload = json.dumps({"title": title, "outcomes": [o.value for o in reversed(Outcome)], "problems": problems})
    for mark in "<>&":  # so that no text can close the script element or open another
        payload = payload.replace(mark, f"\\u{ord(mark):04x}")
    before, between, after = (resources.files("rrtf.report") / "page.html").read_text("utf-8").split("@@")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(before + html.escape(title) + between + payload + after, "utf-8", errors="replace")
    partial.replace(path)
    return path


def _problems(section: str, rows: Section, candidates: int) -> list[dict[str, Any]]:
    collected: dict[str, dict[str, list[Judged]]] = {}
    for row in rows.judged:
        collected.setdefault(row.candidate.task_id, {}).setdefault(row.candidate.source, []).append(row)
    return [_problem(section, problem, collected.get(problem.task_id, {}), candidates) for problem in rows.problems]


def _problem(section: str, problem: Problem, sources: Mapping[str, list[Judged]], candidates: int) -> dict[str, Any]:
    kept = [row for rows in sources.values() for row in rows[:candidates]]
    return {
        "set": section,
        "id": problem.task_id,
        "text": _shown(problem.text),
        "code": _shown(problem.signature or problem.prompt),
        "reference": _shown(problem.reference),
        "tests": _shown(_tests(problem.tests)),
        "difficulty": problem.difficulty,
        "topic": problem.topic,
        "candidates": [_candidate(row) for row in kept],
        "left_out": sum(map(len, sources.values())) - len(kept),
        "passed": {
            name: [sum(row.verdict.outcome is Outcome.all_tests_passed for row in rows), len(rows)]
            for name, rows in sources.items()
        },
    }


def _candidate(row: Judged) -> dict[str, Any]:
    candidate, verdict = row.candidate, row.verdict
    return {
        "source": candidate.source,
        "role": candidate.role.value,
        "sample": candidate.sample,
        "temperature": candidate.temperature,
        "finish": candidate.finish,
        "program": _shown(candidate.program),
        "response": _shown(candidate.response) if candidate.response != candidate.program else "",
        "outcome": verdict.outcome.value,
        "passed": verdict.passed,
        "total": verdict.total,
        "detail": _shown(verdict.detail, 2000),
        "seconds": round(verdict.cpu_seconds, 3),
        "trust": verdict.trust.value,
    }


def _shown(text: str, longest: int = LONGEST) -> str:
    """A text as far as it is put on the page, and how much of it is not."""
    return (
        text if len(text) <= longest else f"{text[:longest]}\n… and {len(text) - longest:,} more characters, not on this page"
    )


def _tests(tests: Tests) -> str:
    """The tests as a person reads them, whatever their kind."""
    if tests.kind is TestKind.asserts:
        return "\n".join(filter(None, (tests.setup, *tests.asserts)))
    if tests.kind is TestKind.inputs:
        listed = "\n".join(repr(row)[:300] for row in tests.inputs[:20])
        return f"{len(tests.inputs)} inputs, expected values from the oracle; the first ones:\n{listed}"
    if tests.kind is TestKind.stdio:
        return "\n\n".join(f"reads:\n{pair.input[:1000]}\nprints:\n{pair.output[:1000]}" for pair in tests.pairs[:10])
    return "\n".join(filter(None, (tests.setup, tests.code)))
