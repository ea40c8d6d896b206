"""Variants of a problem that keep its meaning: a model that understands the task solves them as well as the original.

Ours; the paper measures nothing of the kind. For problems with assert tests and one function (the builtin set).
"""

import ast
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from rrtf.errors import UserError
from rrtf.evaluation.comparison import Comparison, compare
from rrtf.evaluation.renaming import rename
from rrtf.evaluation.rewording import reword
from rrtf.evaluation.settings import Variant
from rrtf.records import Problem, TestKind

# raise when a variant of the same problem would read otherwise
VARIANT_VERSION = "2"
# examples shown by the variants `examples` and `examples_reordered`
SHOWN = 3


def vary(problem: Problem, variant: Variant) -> Problem:
    """The variant of a problem; its id gains "~" and the variant's name, its `parent` is the original.

    Raises UserError for a problem without assert tests or a single function, and for one that is asked as a prompt of code.
    """
    if variant is Variant.none:
        return problem
    if problem.tests.kind is not TestKind.asserts or not problem.entry_point or not problem.signature:
        raise UserError(
            f"{problem.task_id}: variants need assert tests and a signature; its tests are {problem.tests.kind.value}"
        )
    if problem.prompt:
        raise UserError(f"{problem.task_id}: variants are made of text and signature; this problem is asked by its prompt")
    made: dict[Variant, Callable[[Problem], Problem]] = {
        Variant.renamed: rename,
        Variant.reworded: lambda original: replace(original, text=reword(original.text)),
        Variant.examples: lambda original: _with_examples(original, reordered=False),
        Variant.examples_reordered: lambda original: _with_examples(original, reordered=True),
    }
    try:
        varied = made[variant](problem)
    except SyntaxError as error:
        raise UserError(f"{problem.task_id}: its code can't be read, so it can't be put otherwise: {error}") from None
    return replace(varied, task_id=f"{problem.task_id}~{variant.value}", parent=problem.task_id)


def _with_examples(problem: Problem, *, reordered: bool) -> Problem:
    """The first tests that are no edge cases as examples below the text, in order or in another one."""
    ordinary = [test for index, test in enumerate(problem.tests.asserts) if index not in problem.tests.edge]
    ordinary = (ordinary or list(problem.tests.asserts))[:SHOWN]
    if reordered:
        # a derangement as far as there is one: the first never stays first
        shift = 1 + random.Random(problem.task_id).randrange(max(1, len(ordinary) - 1))
        ordinary = ordinary[shift:] + ordinary[:shift]
    lines = "\n".join(_example(test) for test in ordinary)
    return replace(problem, text=f"{problem.text}\n\nExamples:\n{lines}")


def _example(test: str) -> str:
    """`assert f(1) == 2` as `f(1) == 2`; a message behind the comparison is left out."""
    node = ast.parse(test).body[0]
    return ast.unparse(node.test) if isinstance(node, ast.Assert) else test


def base_of(variant: Variant) -> Variant:
    """The form that a variant's score is to be compared with."""
    return Variant.examples if variant is Variant.examples_reordered else Variant.none


def drop(original: Mapping[str, float], varied: Mapping[str, float], variant: Variant, *, model: str = "") -> Comparison:
    """How a model's scores (a number a problem) change from the originals to their variants, paired by problem."""
    parents = {re.sub(r"~\w+$", "", task): value for task, value in varied.items()}
    base = {re.sub(r"~\w+$", "", task): value for task, value in original.items()}
    before = base_of(variant)
    names = ("original" if before is Variant.none else before.value, variant.value)
    return compare(base, parents, names=(f"{model} on {names[0]}", f"{model} on {names[1]}") if model else names)
