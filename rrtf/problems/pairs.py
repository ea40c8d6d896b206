"""Tests as (arguments, expected) pairs, free of the function's name: what two problems share when their tests are the same."""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rrtf.problems.tree import is_literal, parse
from rrtf.records import Problem

# calls that stand around the tested one
_WRAPPERS = frozenset(
    {"abs", "all", "allclose", "any", "bool", "dict", "float", "frozenset", "int", "isclose", "isinstance", "len", "list"}
    | {"max", "min", "repr", "round", "set", "sorted", "str", "sum", "tuple", "type", "map", "zip", "range", "approx"}
    | {"deepcopy", "copy", "Counter", "assertEqual", "assertAlmostEqual", "assertTrue", "assertFalse"}
)


class Pair(NamedTuple):
    """One test: canonical text of the arguments and of what is expected (None: the test gives inputs only)."""

    arguments: str
    expected: str | None


def pairs(problem: Problem) -> set[Pair]:
    """Every pair in a problem's tests and in the examples of its text and prompt."""
    tests = problem.tests
    names = {problem.entry_point.rpartition(".")[2], "candidate"} - {""}
    found: set[Pair] = set()
    for code in (*tests.asserts, tests.code):
        found |= set(_of_code(code, names))
    found |= {Pair(_canonical(arguments), None) for arguments in tests.inputs}
    found |= {Pair(" ".join(pair.input.split()), " ".join(pair.output.split())) for pair in tests.pairs}
    for text in {problem.text, problem.prompt}:
        found |= set(_of_text(text, names))
    return found


def _of_code(code: str, names: set[str]) -> Iterator[Pair]:
    tree = parse(code)
    if tree is None:
        return
    yield from _of_lists(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield from _of_condition(node.test, names)
        elif isinstance(node, ast.Call) and _name(node.func).startswith("assert") and node.args:
            yield from _of_condition(node, names)


def _of_lists(tree: ast.Module) -> Iterator[Pair]:
    """EvalPlus's converted form: a list `inputs` of argument lists beside a list `results`."""
    lists = {
        target.id: node.value.elts
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in ("inputs", "results")
    }
    inputs = lists.get("inputs", [])
    results: Iterable[ast.expr | None] = lists.get("results") or [None] * len(inputs)
    for arguments, expected in zip(inputs, results, strict=False):
        yield Pair(_text(arguments), None if expected is None else _text(expected))


def _of_condition(condition: ast.expr, names: set[str]) -> Iterator[Pair]:
    """`f(1) == 3`, `3 == f(1)`, `sorted(f(x)) == [..]`, `abs(f(x) - 0.5) < eps`, `not f(x)`, `assertEqual(f(x), y)`."""
    expected = "True"
    while isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not):
        condition, expected = condition.operand, "False" if expected == "True" else "True"
    call = _call(condition, names)
    if call is None or any(isinstance(value, (ast.Name, ast.Starred)) for value in call.args):
        return
    arguments = _text(ast.List(elts=[*call.args, *(keyword.value for keyword in call.keywords)], ctx=ast.Load()))
    rest = [_text(node) for node in _outside(condition, call)]
    yield Pair(arguments, " ".join(rest) or expected)


def _call(condition: ast.expr, names: set[str]) -> ast.Call | None:
    """The call of the tested function: by its name, else the first call of anything that is no usual wrapper."""
    calls = [node for node in ast.walk(condition) if isinstance(node, ast.Call)]
    named = [call for call in calls if _name(call.func) in names]
    other = [call for call in calls if _name(call.func) not in _WRAPPERS]
    return next(iter(named or other), None)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _outside(node: ast.AST, call: ast.Call) -> Iterator[ast.expr]:
    """The largest literals of `node` that are not part of `call`."""
    if node is call:
        return
    if isinstance(node, ast.expr) and not isinstance(node, ast.Name) and is_literal(node):
        yield node
        return
    for child in ast.iter_child_nodes(node):
        yield from _outside(child, call)


def _text(node: ast.expr) -> str:
    """Canonical text of an expression: of its value where it is a literal, of its code where not."""
    try:
        return _canonical(ast.literal_eval(node))
    except (ValueError, TypeError, RecursionError):
        return " ".join(ast.unparse(node).split())


def _canonical(value: Any) -> str:
    """One text for 1 and 1.0, (1, 2) and [1, 2]: sets of problems disagree on them when they are copied."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_canonical, value))}]"
    if isinstance(value, (set, frozenset)):
        return f"[{','.join(sorted(map(_canonical, value)))}]"
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{_canonical(k)}:{_canonical(v)}" for k, v in value.items())) + "}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return repr(value)


def _of_text(text: str, names: set[str]) -> Iterator[Pair]:
    """Doctest examples and assert lines in a problem's wording."""
    for code, expected in re.findall(r"^\s*>>>[ \t]*(.+)\n[ \t]*(\S.*)?$", text, flags=re.MULTILINE):
        if expected and not expected.startswith(">>>"):
            yield from _of_code(f"assert ({code}) == ({expected.strip()})", names)
    for line in re.findall(r"^\s*(assert .+)$", text, flags=re.MULTILINE):
        yield from _of_code(line, names)
    for line in re.findall(r"^\s*(\w+\(.+\)) *(?:==|=>|->|➞|→|#=>) *(.+?)[.;]?\s*$", text, flags=re.MULTILINE):
        yield from _of_code(f"assert ({line[0]}) == ({line[1]})", names)
