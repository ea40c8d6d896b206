"""Exceptions across the border: what the program raises arrives as the nearest class that the tests can know.

A builtin exception arrives as itself, and so does one of the standard library; a class of the program as a class of that name
below the builtin one it is made from, the same one each time, so that `except` and `pytest.raises` find it. Exceptions that
steer Python or tests never arrive as themselves.
"""

import builtins
import sys
from typing import Any

from rrtf.judge import wire
from rrtf.judge.wire import Unsendable, Violation

# raised by the program they must not end a loop or a process of the tests; SystemExit may arrive where the tests speak of it
_CONTROL = frozenset(
    {"StopIteration", "StopAsyncIteration", "GeneratorExit", "SystemExit", "KeyboardInterrupt", "BaseException"}
)
MAX_NAMES = 20  # along the tree of one class
GROUPS: Any = getattr(builtins, "BaseExceptionGroup", ())  # since Python 3.11
# modules of the standard library whose exceptions mean nothing to what runs tests, unlike those of unittest or bdb
_MODULES = frozenset(
    {
        *("argparse", "asyncio", "binascii", "calendar", "concurrent", "configparser", "copy", "csv", "_csv", "dataclasses"),
        *("decimal", "email", "getopt", "graphlib", "http", "io", "ipaddress", "json", "locale", "lzma", "multiprocessing"),
        *("optparse", "pickle", "_pickle", "plistlib", "queue", "_queue", "re", "shutil", "socket", "sqlite3", "ssl"),
        *("statistics", "struct", "subprocess", "tarfile", "threading", "tokenize", "tomllib", "urllib", "xml", "zipfile"),
        *("zlib", "zoneinfo"),
    }
)


class Errors:
    """The exception classes of one candidate. `starved` and `full` remember whether memory or files ever ran out."""

    def __init__(self, remote: Any, *, exits: bool) -> None:
        self._remote = remote
        self._control = _CONTROL - {"SystemExit"} if exits else _CONTROL
        self._kinds: dict[str, type[BaseException]] = {}
        self.starved = self.full = False

    def kind(self, names: list[str]) -> type[BaseException]:
        """The class for the names along a class's tree, its own first."""
        return grown(names, self._kinds, refused=self._control)

    def of(self, raised: list[Any]) -> BaseException:
        """The exception to raise for the one that the program's runtime described."""
        names, text, _, number, arguments, around, handle = raised
        names, text = [str(name) for name in names] or ["Exception"], str(text)
        self.starved |= "MemoryError" in names
        self.full |= number in (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT
        kind = self.kind(names)
        if kind.__name__ != bare(names[0]):
            return RuntimeError(f"{bare(names[0])}: {text}")
        inner = [self.of(one) for one in around.get("inner", ())]
        error = kind(text, inner) if inner and issubclass(kind, GROUPS) else _made(kind, arguments, text)
        if isinstance(error, _Lent):
            error._rrtf_text = GROUPS.__str__(error) if inner else text
            error._rrtf_thing = None if handle is None else self._remote.accept("h", [handle, names[0], "object", []])
        for name in ("__context__", "__cause__"):  # the second also hides the first
            if name in around:
                setattr(error, name, around[name] and self.of(around[name]))
        if notes := around.get("notes"):
            error.__notes__ = [str(note) for note in notes]  # type: ignore[attr-defined] # since Python 3.11
        return error

    def lend(self, error: BaseException) -> list[Any]:
        """Describe an exception of the tests to the program."""
        return [self.know(type(error)), str(error)[:500], packed_arguments(error)]

    def know(self, kind: type[BaseException]) -> list[str]:
        """The names along the tree of an exception class of the tests, which is known from now on when it comes back."""
        names = tree(kind)
        if issubclass(kind, Exception) and names[0] != "SkipTest" and not hasattr(builtins, names[0]):
            self._kinds[names[0]] = kind
        return names


def tree(kind: type) -> list[str]:
    """The names along an exception class's tree, its own first; with the module where that is of the standard library."""
    return [_label(base) for base in kind.__mro__][:MAX_NAMES]


def _label(kind: type) -> str:
    module = str(kind.__module__)
    return f"{module}.{kind.__name__}" if module.partition(".")[0] in _MODULES else str(kind.__name__)


def bare(label: str) -> str:
    """The name of a class without its module."""
    return label.rpartition(".")[2]


def _standard(label: str) -> type[BaseException] | None:
    """The exception of the standard library that this means, where its module is loaded."""
    module, _, name = label.rpartition(".")
    found = getattr(sys.modules.get(module), name, None) if module.partition(".")[0] in _MODULES else None
    return found if isinstance(found, type) and issubclass(found, Exception) and _label(found) == label else None


def grown(
    names: list[str], kinds: dict[str, type[BaseException]], *, refused: frozenset[str] = frozenset()
) -> type[BaseException]:
    """The class with these names along its tree: builtin, known from before, or made now."""
    if not names or names[0] in refused:
        return RuntimeError
    known = getattr(builtins, names[0], None) or _standard(names[0])
    if isinstance(known, type) and issubclass(known, BaseException):
        return known
    if names[0] not in kinds:
        base = grown(names[1:MAX_NAMES], kinds, refused=refused)
        kinds[names[0]] = type(bare(names[0]), (base,) if issubclass(base, _Lent) else (_Lent, base), {})
    return kinds[names[0]]


class _Lent(BaseException):
    """An exception of a class of the program: its text, and its attributes where it is kept over there."""

    _rrtf_text = ""
    _rrtf_thing: Any = None

    def __str__(self) -> str:
        return self._rrtf_text

    def __getattr__(self, name: str) -> Any:
        if self._rrtf_thing is None or name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._rrtf_thing, name)


def _made(kind: type[BaseException], packed: Any, text: str) -> BaseException:
    try:
        arguments = wire.unpack(packed, other=_nothing_else)
        error = kind(*arguments)
        if issubclass(kind, _Lent) or str(error)[: len(text)] == text:
            return error
    except Exception:  # noqa: S110 - a forged or unusual one arrives by its text
        pass
    try:
        if issubclass(kind, _Lent) or _standard(_label(kind)) is kind:  # some want more arguments than their text
            return kind.__new__(kind, text)
        return kind(text)
    except TypeError:  # UnicodeDecodeError and the like want more arguments
        return RuntimeError(f"{kind.__name__}: {text}")


def described(error: BaseException, depth: int = 3) -> list[Any]:
    """What the other side may know of an exception: names along its class's tree, text, line, number, arguments, and around it
    the exceptions that it came from or holds, and its notes."""
    number = error.errno if isinstance(error, OSError) and isinstance(error.errno, int) else 0
    around: dict[str, Any] = {}
    if depth:
        for name in ("__context__", "__cause__"):
            if isinstance(other := getattr(error, name), BaseException):
                around[name] = [*described(other, depth - 1), None]
        if error.__suppress_context__ and error.__cause__ is None:
            around["__cause__"] = None
        if isinstance(notes := vars(error).get("__notes__"), list):
            around["notes"] = [str(note)[:500] for note in notes[:MAX_NAMES]]
        if isinstance(error, GROUPS):
            around["inner"] = [[*described(one, depth - 1), None] for one in error.exceptions[:MAX_NAMES]]
    text = str(error.message)[:500] if isinstance(error, GROUPS) else text_of(error)
    return [tree(type(error)), text, line_of(error), number, packed_arguments(error), around]


def text_of(error: BaseException) -> str:
    """Its text, if it has one."""
    try:
        return str(error)[:500]
    except Exception:
        return ""


def line_of(error: BaseException) -> int:
    """The last line of the program that it came through."""
    line = 0
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == "solution.py":
            line = step.tb_lineno
        step = step.tb_next
    return line


def _nothing_else(packed: Any) -> Any:
    raise Violation(f"an argument of an exception: {packed!r:.100}")


def packed_arguments(error: BaseException) -> Any:
    """The exception's arguments where they are few plain values, else none."""
    try:
        # the standard library's own may be made from others than they have (JSONDecodeError)
        arguments = error.__reduce__()[1] if _standard(_label(type(error))) is type(error) else error.args
        packed = [wire.pack(value, other=wire.refuse, depth=3) for value in arguments[:5]]
        return packed if len(wire.dumps(packed)) < 2000 else None
    except (Unsendable, ValueError):
        return None
