"""Calls of a function whose tests are unknown: asked of a writer, read from its answer, varied by changing one argument."""

import ast
import random
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rrtf.problems.data_settings import TestVotes
from rrtf.problems.tree import is_literal, parse
from rrtf.records import Problem, TestKind, Tests

_MESSAGE = """Write {calls} tests for the Python function `{name}` that this task asks for:

{text}{signature}

Each test is one line of the form
assert {name}(arguments) == expected_value
with plain values as arguments, small enough to check by hand. Cover ordinary cases and edge cases. Write only these lines: no
function, no explanation."""


class Call(NamedTuple):
    """A call as Python text, `f(1, [2])`, and the value its writer expects, as text ("" where it says none)."""

    text: str
    expected: str


def request_calls(problem: Problem, settings: TestVotes) -> Problem:
    """What a writer is asked, as a problem of its own whose text is the whole message (profile style `verbatim`)."""
    signature = f"\n\n{problem.signature.strip()}" if problem.signature else ""
    text = _MESSAGE.format(calls=settings.calls, name=_name(problem), text=problem.text.strip(), signature=signature)
    return Problem(task_id=f"{problem.task_id}~tests", text=text, tests=Tests(kind=TestKind.asserts))


def read_calls(response: str, problem: Problem) -> list[Call]:
    """The calls in a writer's answer, in order, each once: lines that begin with `assert` and call the function with values.

    Anything else in the answer (prose, programs, half a line) is passed over.
    """
    found: dict[str, str] = {}
    for line in re.findall(r"^\s*(?:[-*\d.]+\s+)?`*(assert\b[^\n]*?)`*\s*$", response, flags=re.MULTILINE):
        tree = parse(line)
        if tree is None or not isinstance(tree.body[0], ast.Assert):
            continue
        for call in _calls(tree.body[0].test, _name(problem)):
            found.setdefault(ast.unparse(call), _expected(tree.body[0].test, call))
    return [Call(text, expected) for text, expected in found.items()]


def varied(calls: Iterable[Call], settings: TestVotes) -> Iterator[Call]:
    """Up to `mutants` calls made from each by changing one argument; nobody says what they return."""
    written = list(calls)
    seen = {call.text for call in written}
    for call in written:
        draw = random.Random(f"{settings.seed}|{call.text}")
        for _ in range(settings.mutants):
            text = _mutant(call.text, draw)
            if text not in seen:
                seen.add(text)
                yield Call(text, "")


def _name(problem: Problem) -> str:
    return problem.entry_point.rpartition(".")[2]


def _calls(condition: ast.expr, name: str) -> Iterator[ast.Call]:
    """Calls of `name` whose arguments are all plain values."""
    for node in ast.walk(condition):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            if all(is_literal(value) for value in values):
                yield node


def _expected(condition: ast.expr, call: ast.Call) -> str:
    """The value in `call == value`, `value == call`, `call is value`, `call`, `not call`; "" for any other form."""
    if condition is call:
        return "True"
    if isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not) and condition.operand is call:
        return "False"
    if not isinstance(condition, ast.Compare) or len(condition.ops) != 1 or not isinstance(condition.ops[0], (ast.Eq, ast.Is)):
        return ""
    sides = [condition.left, condition.comparators[0]]
    others = [side for side in sides if side is not call]
    return ast.unparse(others[0]) if len(others) == 1 and is_literal(others[0]) else ""


def _mutant(text: str, draw: random.Random) -> str:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    if not values:
        return text
    place = draw.randrange(len(values))
    new = ast.parse(repr(_changed(ast.literal_eval(values[place]), draw)), mode="eval").body
    if place < len(call.args):
        call.args[place] = new
    else:
        call.keywords[place - len(call.args)].value = new
    return ast.unparse(call)


def _changed(value: Any, draw: random.Random) -> Any:
    """Another value of the same type; lists and texts are reordered, shortened and repeated, never filled with news."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return draw.choice([value + 1, value - 1, value * 2, value + 10])
    if isinstance(value, (list, tuple, str)) and value:
        items: Any = value  # slices of one value add up, which the union of its types hides
        half = len(items) // 2 or 1
        return draw.choice([items[::-1], items[:half], items[half:] + items[:half], items + items[:1]])
    if isinstance(value, dict) and len(value) > 1:
        return dict(draw.sample(list(value.items()), len(value) - 1))
    return value
