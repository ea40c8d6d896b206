"""What every kind of trusted test code shares."""

import ast
import builtins
from opcode import opmap
from types import BuiltinFunctionType
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


class Raisers(ast.NodeTransformer):
    """In a block that a program's object may guard, what raises by itself (`1 / 0`) is a `raise` of the tests."""

    def visit_With(self, node: ast.With) -> ast.AST:  # noqa: D102
        self.generic_visit(node)
        node.body = [_raising(part) if _fixed(part) else part for part in node.body]
        return node


def _fixed(node: ast.stmt) -> bool:
    """Whether it is an expression or assignment with nothing of a program in it, but what Python itself names."""
    if not isinstance(node, (ast.Expr, ast.Assign)):
        return False
    loads = [part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)]
    return all(isinstance(getattr(builtins, name, None), (type, BuiltinFunctionType)) for name in loads)


def _raising(node: ast.stmt) -> ast.stmt:
    bare = ast.parse("raise __rrtf_error__.with_traceback(None)").body
    handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), "__rrtf_error__", bare)
    return ast.copy_location(ast.Try([node], [handler], [], []), node)
