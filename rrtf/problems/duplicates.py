"""Near duplicates: texts that are mostly the same words (MinHash, datasketch), solutions that are the same tree."""

from collections.abc import Iterable
from typing import NamedTuple

from datasketch import MinHash, MinHashLSH

from rrtf.problems.data_settings import Clean
from rrtf.problems.dropped import Dropped
from rrtf.problems.tree import program_labels
from rrtf.problems.wording import wording, words
from rrtf.records import Problem

_GRAM = 3  # words; ours: single words would call two tasks on "a list of integers" the same


class Unique(NamedTuple):
    """Problems without near duplicates, and those that duplicate an earlier one."""

    kept: list[Problem]
    dropped: list[Dropped]


def remove_duplicates(problems: Iterable[Problem], settings: Clean) -> Unique:
    """Keep the first of each family of near duplicates; the order stays. Every rule is named in `dropped`.

    same_text      equal words; always on
    similar_text   word 3-grams with Jaccard similarity of at least `near_text`: MinHash finds, exact counting decides.
                   A problem and what evolved from it are meant to be close, and evolve's own filters watch them
    same_solution  equal normalized trees of at least `same_tree_labels` labels
    """
    found = Unique([], [])
    texts, trees = _Texts(settings), _Trees(settings)
    for problem in problems:
        rule, earlier = texts.earlier(problem) or trees.earlier(problem) or ("", "")
        if rule:
            found.dropped.append(
                Dropped(task_id=problem.task_id, step="duplicates", rule=rule, detail=f"like {earlier}", text=problem.text)
            )
        else:
            found.kept.append(problem)
            texts.add(problem)
            trees.add(problem)
    return found


class _Texts:
    """The texts kept so far."""

    def __init__(self, settings: Clean) -> None:
        self._threshold = settings.near_text
        self._equal: dict[str, str] = {}
        self._grams: dict[str, frozenset[str]] = {}
        self._seeds: dict[str, str] = {}
        # candidates are taken a little below the threshold, because MinHash estimates with an error of about 0.06
        self._near = MinHashLSH(threshold=max(0.1, self._threshold - 0.1), num_perm=settings.permutations)
        self._template = MinHash(num_perm=settings.permutations, seed=1)
        self._last: tuple[str, MinHash] = ("", self._template)

    def earlier(self, problem: Problem) -> tuple[str, str] | None:
        """(rule, task_id) of the kept problem that this one repeats."""
        own = words(wording(problem))
        if not own:
            return None
        if (same := self._equal.get(" ".join(own))) is not None:
            return "same_text", same
        if not self._threshold:
            return None
        grams = _grams(own)
        for candidate in sorted(self._near.query(self._hash(problem, grams))):
            other = self._grams[candidate]
            if self._seeds[candidate] != _seed(problem) and len(grams & other) >= self._threshold * len(grams | other):
                return "similar_text", candidate
        return None

    def add(self, problem: Problem) -> None:
        """Keep a problem that `earlier` found nothing for."""
        own = words(wording(problem))
        if not own:
            return
        self._equal[" ".join(own)] = problem.task_id
        if self._threshold and problem.task_id not in self._grams:
            grams = _grams(own)
            self._near.insert(problem.task_id, self._hash(problem, grams))
            self._grams[problem.task_id] = grams
            self._seeds[problem.task_id] = _seed(problem)

    def _hash(self, problem: Problem, grams: frozenset[str]) -> MinHash:
        if self._last[0] != problem.task_id:
            minhash = self._template.copy()
            minhash.update_batch([gram.encode(errors="replace") for gram in grams])
            self._last = (problem.task_id, minhash)
        return self._last[1]


class _Trees:
    """The solutions kept so far."""

    def __init__(self, settings: Clean) -> None:
        self._least = settings.same_tree_labels
        self._seen: dict[tuple[str, ...], str] = {}

    def earlier(self, problem: Problem) -> tuple[str, str] | None:
        """("same_solution", task_id) of the kept problem with the same solution."""
        earlier = self._seen.get(self._labels(problem)) if self._least else None
        return None if earlier is None else ("same_solution", earlier)

    def add(self, problem: Problem) -> None:
        """Keep a problem that `earlier` found nothing for."""
        labels = self._labels(problem) if self._least else ()
        if len(labels) >= self._least:
            self._seen.setdefault(labels, problem.task_id)

    def _labels(self, problem: Problem) -> tuple[str, ...]:
        return program_labels(problem.reference) if problem.reference else ()


def _seed(problem: Problem) -> str:
    """The task that a problem evolved from in the beginning, read from its id as evolve writes it; its own where it did not."""
    return problem.task_id.partition("~")[0] if problem.parent else problem.task_id


def _grams(own: list[str]) -> frozenset[str]:
    return frozenset(" ".join(own[i : i + _GRAM]) for i in range(max(1, len(own) - _GRAM + 1)))
