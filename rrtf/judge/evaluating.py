"""No text of a program becomes code where the tests run.

Tests may evaluate what stands in them, and expressions of plain values; they may unpickle plain values. All else that they
would evaluate or unpickle could come from the program, which would run in their process: it is refused.
"""

import ast
import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from rrtf.judge.trusted import TESTS, Unsupported

_PLAIN = (
    *(ast.Expression, ast.Module, ast.Expr, ast.Constant, ast.expr_context, ast.List, ast.Tuple, ast.Dict, ast.Set),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
# files of code that runs texts; others evaluate their own
_RUNNERS = frozenset({TESTS, "doctest.py", "timeit.py", "code.py", "codeop.py", "runpy.py"})
# they can't be changed by what a pickle says of them
_VALUES = frozenset({("builtins", name) for name in ("complex", "range", "slice", "bytearray", "set", "frozenset", "Ellipsis")})
_VALUES |= {("datetime", name) for name in ("datetime", "date", "time", "timedelta", "timezone")}
_RESTORED = {("rrtf.judge.things", "restored")}  # it asks the program to unpickle
_tests = ""  # the text of the tests that run


def install() -> None:
    """In the tests' process, once and for good."""
    sys.addaudithook(_hook)


@contextlib.contextmanager
def watched(text: str) -> Iterator[None]:
    """While the tests of this text run."""
    global _tests
    _tests = text
    try:
        yield
    finally:
        _tests = ""


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _tests or event not in ("compile", "pickle.find_class", "marshal.loads"):
        return
    if event == "pickle.find_class" and arguments in _VALUES | _RESTORED:
        return
    place = sys._getframe(1).f_code.co_filename.rpartition("/")[2]
    if event != "pickle.find_class" and (place not in _RUNNERS or (event == "compile" and _harmless(arguments[0]))):
        return
    raise Unsupported("the tests evaluate or unpickle what the program could have written, which is not supported")


def _harmless(source: Any) -> bool:
    if source is None:  # a tree
        return False
    text = source.decode(errors="replace") if isinstance(source, bytes) else str(source)
    if text.strip() in _tests:
        return True
    if "coding" in text:  # Python may read it another way
        return False
    try:
        return all(isinstance(node, _PLAIN) for node in ast.walk(ast.parse(text.strip())))
    except (SyntaxError, ValueError):
        return True  # it is no code
    except (RecursionError, MemoryError):
        return False
