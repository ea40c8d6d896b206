"""Each mutant parses, differs from the original by one change, and leaves the rest of the program alone."""

import ast

from rrtf.problems.mutants import mutants

PROGRAM = '''
LIMIT = 7


def clamp(value: int, low: int = 0) -> int:
    """Keep 1 and 2 as they are."""
    if value < low and not value == 3:
        return low
    value += 2 * LIMIT
    return value if value else -1
'''


def test_every_kind_of_spot_is_changed_once() -> None:
    bodies = list(mutants(PROGRAM, "clamp"))
    assert len(bodies) == len(set(bodies)) == 12
    assert all(ast.unparse(ast.parse(PROGRAM)) != body and "Keep 1 and 2" in body and "LIMIT = 7" in body for body in bodies)
    for change in (
        "value <= low",
        "value < low or",
        "value != 3",
        "== 4",
        "return None",
        "value -= 2",
        "2 + LIMIT",
        "3 * LIMIT",
    ):
        assert any(change in body for body in bodies), change


def test_defaults_and_other_functions_stay() -> None:
    assert all("low: int=0" in body for body in mutants(PROGRAM, "clamp"))
    assert list(mutants("def a():\n    return 1\ndef b():\n    pass\n", "b")) == []
