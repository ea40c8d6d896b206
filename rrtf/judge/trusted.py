"""What every kind of trusted test code shares."""

import ast
from opcode import opmap
from typing import Any

TESTS = "tests"  # the module name test code runs under, and the file name in its tracebacks


RAISE = opmap["RAISE_VARARGS"]


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


def raised_here(error: Any) -> bool:
    """Whether a `raise` of the tests raised it: an object of the program may take that for handled, but never a failure."""
    step = getattr(error, "__traceback__", None)
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None or isinstance(error, AssertionError) or hasattr(error, "_rrtf_theirs"):
        return False
    code = step.tb_frame.f_code
    return code.co_filename == TESTS and code.co_code[step.tb_lasti] == RAISE
