"""What every kind of trusted test code shares."""

import ast

TESTS = "tests"  # the module name test code runs under, and the file name in its tracebacks


class BrokenTests(Exception):
    """The tests themselves can't run; the program is not to blame."""


class Halt(BaseException):
    """Stops the tests themselves; no unit swallows it."""


class Unsupported(Halt):
    """The tests do something with the program that can't cross: the judge's own failing, not the program's."""


def parse(text: str, what: str) -> ast.Module:
    """The syntax tree of trusted code; raises BrokenTests with `what` it was."""
    try:
        return ast.parse(text, TESTS)
    except (SyntaxError, ValueError) as error:
        raise BrokenTests(f"{what} do not parse: {error}") from None
