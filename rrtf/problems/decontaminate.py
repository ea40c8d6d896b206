"""Which problems overlap a benchmark: by the words of their text, by the syntax tree of their solution, by their tests.

The three see different copies. Words: a copied or lightly edited text. Tree: a copied solution under other names. Tests: a
task told anew, with a new solution, that kept its examples. What none of them sees: a task told anew, solved anew and tested
anew. An index over the benchmark makes the search linear in the problems.
"""

import ast
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from rrtf.problems.data_settings import Decontaminate
from rrtf.problems.dropped import Dropped
from rrtf.problems.pairs import Pair, pairs
from rrtf.problems.tree import Function, Labels, binds, functions, parse, program_labels, shingles
from rrtf.problems.wording import wording, words
from rrtf.records import Problem


class Evidence(str, Enum):
    """What two problems share."""

    text = "text"
    tree = "tree"
    tests = "tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """One problem found in a benchmark. `score` is the shared share, 0 to 1; `shown` quotes what is shared."""

    task_id: str
    benchmark: str
    benchmark_id: str
    evidence: Evidence
    score: float
    shown: str


def overlaps(problems: Iterable[Problem], benchmark: Iterable[Problem], settings: Decontaminate) -> list[Overlap]:
    """Every (problem, benchmark problem, kind of evidence) that reaches the thresholds, in the order of `problems`.

    A problem that is itself in the benchmark is found like any other copy.
    """
    known = list(benchmark)
    finders: list[_TextFinder | _TreeFinder | _TestFinder] = []
    if settings.text:
        finders.append(_TextFinder(known, settings))
    if settings.tree:
        finders.append(_TreeFinder(known, settings))
    if settings.tests:
        finders.append(_TestFinder(known, settings))
    return [
        Overlap(
            task_id=problem.task_id,
            benchmark=known[found.position].origin,
            benchmark_id=known[found.position].task_id,
            evidence=finder.evidence,
            score=round(found.score, 4),
            shown=found.shown,
        )
        for problem in problems
        for finder in finders
        for found in finder.find(problem)
    ]


class Decontaminated(NamedTuple):
    """Problems that overlap no benchmark, those that do, and the evidence."""

    kept: list[Problem]
    dropped: list[Dropped]
    overlaps: list[Overlap]


def decontaminate(
    problems: Sequence[Problem], benchmarks: Mapping[str, Sequence[Problem]], settings: Decontaminate
) -> Decontaminated:
    """Drop what overlaps any of the named benchmarks; `rule` is the first such benchmark, `detail` all its evidence."""
    evidence: dict[str, list[Overlap]] = defaultdict(list)
    for name, benchmark in benchmarks.items():
        for found in overlaps(problems, benchmark, settings):
            evidence[found.task_id].append(replace(found, benchmark=name))
    dropped = [
        Dropped(
            task_id=problem.task_id,
            step="decontaminate",
            rule=seen[0].benchmark,
            detail="; ".join(f"{one.evidence.value} of {one.benchmark_id} {one.score:.0%}" for one in seen),
            text=wording(problem),
        )
        for problem in problems
        if (seen := evidence.get(problem.task_id))
    ]
    kept = [problem for problem in problems if problem.task_id not in evidence]
    return Decontaminated(kept, dropped, [one for found in evidence.values() for one in found])


def count_evidence(found: Iterable[Overlap]) -> Counter[str]:
    """How many problems each kind of evidence alone would catch, and how many any of them does ("any")."""
    seen = {(overlap.task_id, kind) for overlap in found for kind in (overlap.evidence.value, "any")}
    return Counter(kind for _, kind in seen)


class _Found(NamedTuple):
    position: int
    score: float
    shown: str


class _Index:
    """Which benchmark problems hold a feature, and how much it tells: log((N + 1) / n) for one that n of N hold."""

    def __init__(self, features: Sequence[Collection[tuple[str, ...]]]) -> None:
        self._holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for position, held in enumerate(features):
            for feature in held:
                self._holders[feature].append(position)
        self._size = len(features)
        self.weights = [self.weight(held) for held in features]

    def weight(self, features: Collection[tuple[str, ...]]) -> float:
        """How much all of `features` tell together; one that no benchmark problem holds tells most."""
        return math.fsum(math.log((self._size + 1) / max(1, len(self._holders.get(feature, ())))) for feature in features)

    def shared(self, features: Collection[tuple[str, ...]]) -> dict[int, list[tuple[str, ...]]]:
        """Benchmark problems that hold any of `features`, with those they hold."""
        shared: dict[int, list[tuple[str, ...]]] = defaultdict(list)
        for feature in features:
            for position in self._holders.get(feature, ()):
                shared[position].append(feature)
        return shared


class _TextFinder:
    """Weighted share of the word n-grams of the shorter text that are in the other, and of its words: containment in either
    direction. The words tell siblings apart, which share their grams but for one: the area of a cone, of a cube.
    """

    evidence = Evidence.text

    def __init__(self, benchmark: Sequence[Problem], settings: Decontaminate) -> None:
        self._settings = settings
        self._index = _Index([_grams(problem, settings.ngram) for problem in benchmark])
        self._held = [_words(problem) for problem in benchmark]
        self._words = _Index(self._held)

    def find(self, problem: Problem) -> Iterator[_Found]:
        grams = _grams(problem, self._settings.ngram)
        own = self._index.weight(grams)
        own_words = _words(problem)
        for position, shared in self._index.shared(grams).items():
            if len(shared) < self._settings.text_grams:
                continue
            score = self._index.weight(shared) / min(own, self._index.weights[position])
            if score >= self._settings.text and self._told(own_words, position) >= self._settings.words:
                yield _Found(position, score, " … ".join(" ".join(gram) for gram in shared[:: self._settings.ngram])[:200])

    def _told(self, own: frozenset[tuple[str, ...]], position: int) -> float:
        least = min(self._words.weight(own), self._words.weights[position])
        return self._words.weight(own & self._held[position]) / least if least else 1.0


class _TreeFinder:
    """The same tree, or most of the weighted shingles: of both together, or of the benchmark's inside a longer function."""

    evidence = Evidence.tree

    def __init__(self, benchmark: Sequence[Problem], settings: Decontaminate) -> None:
        self._settings = settings
        entries = [_entry(problem, settings) for problem in benchmark]
        self._index = _Index([entry.shingles if entry else frozenset() for entry in entries])
        self._equal: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for position, entry in enumerate(entries):
            if entry:
                self._equal[entry.labels].append(position)

    def find(self, problem: Problem) -> Iterator[_Found]:
        best: dict[int, _Found] = {}
        for shape in _shapes(problem, self._settings):
            same = ((position, 1.0) for position in self._equal.get(shape.labels, ()))
            for position, score in (*same, *self._alike(shape)):
                if position not in best or score > best[position].score:
                    best[position] = _Found(position, score, ast.unparse(shape.function)[:200])
        yield from best.values()

    def _alike(self, shape: "_Shape") -> Iterator[tuple[int, float]]:
        own = self._index.weight(shape.shingles)
        for position, shared in self._index.shared(shape.shingles).items():
            known = self._index.weights[position]
            # a function at most half as long again must match as a whole, a longer one must contain the benchmark's
            score = self._index.weight(shared) / max(known, min(own, 1.5 * known))
            if score >= self._settings.tree:
                yield position, score


class _TestFinder:
    """Tests with the same arguments and the same expected value, whatever the function is called.

    Tests that tell little (10 -> 40) do where the solutions are the same too, though each alone is common to many tasks.
    """

    evidence = Evidence.tests

    def __init__(self, benchmark: Sequence[Problem], settings: Decontaminate) -> None:
        self._settings = settings
        self._pairs = [pairs(problem) for problem in benchmark]
        self._solutions = [program_labels(problem.reference) for problem in benchmark]
        self._holders: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
        for position, held in enumerate(self._pairs):
            for pair in held:
                self._holders[pair.arguments].append((position, pair.expected))

    def find(self, problem: Problem) -> Iterator[_Found]:
        own, solution = pairs(problem), program_labels(problem.reference)
        shared: dict[int, set[Pair]] = defaultdict(set)
        for pair in own:
            for position, expected in self._holders.get(pair.arguments, ()):
                if expected is None or pair.expected is None or expected == pair.expected:
                    shared[position].add(pair)
        for position, both in shared.items():
            score = min(1.0, len(both) / min(len(own), len(self._pairs[position])))
            told = sum(map(_characters, both))
            limits = self._settings
            enough = told >= limits.tests_characters or (solution and solution == self._solutions[position])
            if len(both) >= limits.tests and score >= limits.tests_share and enough:
                yield _Found(position, score, "; ".join(f"{a} -> {e}" for a, e in sorted(both, key=str)[:3])[:200])


def _grams(problem: Problem, size: int) -> frozenset[tuple[str, ...]]:
    """Word n-grams of the wording: the text, and the docstring of the prompt where the text does not hold it."""
    grams: set[tuple[str, ...]] = set()
    for text in (problem.text, *_docstrings(problem.prompt)):
        told = words(_without_code(text))
        grams |= {tuple(told[i : i + size]) for i in range(len(told) - size + 1)}
    return frozenset(grams)


def _words(problem: Problem) -> frozenset[tuple[str, ...]]:
    """The words of the wording but for the solution's variables, which a renaming changes in both."""
    nodes = ast.walk(parse(problem.reference) or ast.Module([], []))
    names = (name for node in nodes if not isinstance(node, Function) for name in binds(node))
    return _grams(problem, 1) - {(name.lower(),) for name in names}


def _without_code(text: str) -> str:
    """The text less its fenced blocks (the same `class Solution` stands in all of LeetCode), unless it is all fences."""
    bare = re.sub(r"```.*?(?:```|\Z)", " ", text, flags=re.DOTALL)
    return bare if bare.strip() else text


def _docstrings(program: str) -> list[str]:
    tree = parse(program)
    return [docstring for function in functions(tree) if (docstring := ast.get_docstring(function))] if tree else []


class _Shape(NamedTuple):
    """A function with its numbered labels, and its shingles without numbers (none where it is too short for a near match)."""

    function: Function
    labels: tuple[str, ...]
    shingles: frozenset[tuple[str, ...]]


def _shapes(problem: Problem, settings: Decontaminate) -> Iterator[_Shape]:
    """Each function of the solution that is long enough to mean something and not given by the prompt (LeetCode's helpers)."""
    tree = parse(problem.reference)
    if tree is None:
        return
    name = problem.entry_point.rpartition(".")[2]
    given = {function.name for function in functions(parse(problem.prompt) or ast.Module([], []))} - {name}
    numbered = Labels(tree, constants=settings.tree_constants)
    plain = Labels(tree, constants=settings.tree_constants, numbered=False)
    for function in functions(tree):
        labels = numbered.of(function) if function.name not in given else ()
        if len(labels) >= settings.tree_equal_labels:
            long_enough = len(labels) >= settings.tree_labels
            yield _Shape(function, labels, shingles(plain.of(function)) if long_enough else frozenset())


def _entry(problem: Problem, settings: Decontaminate) -> _Shape | None:
    """The function of a benchmark's solution that counts: its entry point, or its longest where no name is given.

    Where the entry point only wraps the work, it is its longest helper.
    """
    name = problem.entry_point.rpartition(".")[2]
    found = list(_shapes(problem, settings))
    named = [shape for shape in found if shape.function.name == name]
    return max(named or found, key=lambda shape: len(shape.labels), default=None)


def _characters(pair: Pair) -> int:
    """How much a shared test tells: the length of its values, where True, False and None are one character."""
    return len(pair.arguments) + (1 if pair.expected in (None, "True", "False", "None") else len(pair.expected))
