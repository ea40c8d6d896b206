"""The corpus of hostile and honest programs: reads `programs/*.txt` and `problems.jsonl`, writes what ships with rrtf-judge.

A block of a .txt file is a header, then the program (or, with `expression`, a Python expression that gives it):

    ### ID | key=value | … | expect=OUTCOME,… | words | what the program does

ID starts with its family: a number of the hostile families (63 and above are ours), a letter of the honest ones. Keys: problem
(default add), expect (`fail` is short for no_test_passed, some_tests_passed, runtime_error), time (CPU seconds), needs (a
package).
A program is a `cheat` unless it is marked `nuisance` (it may pass: it only makes a mess) or is honest (it must pass).

`python tests/judge/corpus.py` writes rrtf/judge/corpus.jsonl and corpus_problems.jsonl.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rrtf.problems.formats import read_problems
from rrtf.records import Outcome, Problem

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "rrtf" / "judge"
LARGEST_SHIPPED = 250_000  # characters of a program that ships
FAIL = ("no_test_passed", "some_tests_passed", "runtime_error")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One program of the corpus, the problem it is judged on, and the outcomes that are right."""

    id: str
    family: str
    about: str
    kind: str
    task_id: str
    program: str
    expect: tuple[str, ...]
    time_limit: float
    needs: str


def problems() -> dict[str, Problem]:
    """The corpus's small problems by task_id."""
    return {problem.task_id: problem for problem in read_problems(HERE / "problems.jsonl")}


def cases() -> list[Case]:
    """Every case, in the order of the files."""
    return [case for path in sorted((HERE / "programs").glob("*.txt")) for case in _read(path)]


def _read(path: Path) -> Iterator[Case]:
    blocks = re.split(r"^### ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    for block in blocks:
        header, _, body = block.partition("\n")
        identity, *parts, about = (part.strip() for part in header.split(" | "))
        keys = dict(part.split("=", 1) for part in parts if "=" in part)
        words = {part for part in parts if "=" not in part}
        unknown = (set(keys) - {"problem", "expect", "time", "needs"}) | (words - {"nuisance", "expression"})
        if unknown:
            raise ValueError(f"{path}: {identity}: unknown {sorted(unknown)}")
        yield Case(
            id=identity,
            family=identity.split("-")[0],
            about=about,
            kind="honest" if path.stem == "honest" else "nuisance" if "nuisance" in words else "cheat",
            task_id=keys.get("problem", "add"),
            program=eval(body) if "expression" in words else body.rstrip("\n") + "\n" if body.strip() else "",
            expect=_outcomes(keys["expect"]),
            time_limit=float(keys.get("time", 1.0)),
            needs=keys.get("needs", ""),
        )


def _outcomes(text: str) -> tuple[str, ...]:
    names = [name for part in text.split(",") for name in (FAIL if part == "fail" else (part,))]
    return tuple(Outcome(name).value for name in names)


def shipped() -> tuple[str, str]:
    """The text of corpus.jsonl and of corpus_problems.jsonl."""
    rows = [case for case in cases() if len(case.program) <= LARGEST_SHIPPED]
    return (
        "".join(json.dumps(asdict(case)) + "\n" for case in rows),
        (HERE / "problems.jsonl").read_text(encoding="utf-8"),
    )


if __name__ == "__main__":
    for name, text in zip(("corpus.jsonl", "corpus_problems.jsonl"), shipped(), strict=True):
        (SHIPPED / name).write_text(text, encoding="utf-8")
