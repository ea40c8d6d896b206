"""What names of the tests mean where these don't say it: the program's, the standard library's; what is asked of a class."""

import ast
import contextlib
import re
import sys
from collections.abc import Iterable
from typing import Any

from rrtf.judge.trusted import TESTS
from rrtf.records import Problem

# names that tests use without an import when they were written beside a program that had one
STANDARD = """
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from math import inf, isclose, nan, pi
"""


def looked_into(trees: list[ast.Module]) -> set[str]:
    """Names by which tests use modules, if that is what they name: something is looked up in them."""
    nodes = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def imported(reference: str) -> tuple[dict[str, Any], set[str]]:
    """What the reference imports from the standard library, by the names it has there, and some that nothing else is called;
    the names that it defines itself."""
    defined: set[str] = set()
    namespace: dict[str, Any] = {}
    exec(STANDARD, namespace)
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.parse(reference).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in sys.stdlib_module_names:
                with contextlib.suppress(ImportError):
                    exec(compile(ast.Module([node], []), TESTS, "exec"), namespace)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                namespace.pop(node.name, None)
                defined.add(node.name)
    namespace.pop("__builtins__", None)
    return namespace, defined


def operators(problem: Problem, names: Iterable[str]) -> frozenset[str]:
    """Where a class is asked for, the operators that are its behaviour: those which the problem itself says it has."""
    text = "\n".join([problem.reference, problem.prompt, problem.signature])
    asked = "|".join(map(re.escape, names))
    if not re.fullmatch(r"\w+", problem.entry_point) or not re.search(rf"^class ({asked})\b", text, re.MULTILINE):
        return frozenset()
    found = set(re.findall(r"__(\w+?)__", text))
    if "total_ordering" in text or "order=True" in text:
        found |= {"lt", "le", "gt", "ge"}
    if "__iter__" in text or "__getitem__" in text:
        found.add("contains")
    return frozenset(found | {f"i{name}" for name in found})


def made_by(problem: Problem, names: Iterable[str], text: str) -> frozenset[str]:
    """Of the names, those that tests make objects with and use these, where the problem neither has a reference nor says what
    they are: classes under test, whose objects have whatever operators tests try on them."""
    if problem.reference or f"class {problem.entry_point}" in problem.prompt + problem.signature:
        return frozenset()
    return frozenset(name for name in names if re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) and _makes_objects(name, text))


def _makes_objects(name: str, text: str) -> bool:
    """Whether something is looked up in what calling it gives."""
    targets = " ".join(re.findall(rf"^(.*?)=.*\b{name}\(", text, re.MULTILINE))
    made = re.findall(r"[\w.]+", targets)
    used = "|".join([*map(re.escape, made), rf"{name}\([^()]*\)"])
    return bool(re.search(rf"\b({used})(\.\w|\[)", text))
