"""In the candidate's process: objects and classes that stand for those which only the tests have.

Each attribute, operator and call asks the tests' process. An object of the tests is one stand-in here however often it is met,
and its class is the class of all its objects, so `is`, `isinstance` and `type(x)(...)` mean what they mean in one process.
"""

from collections.abc import Callable
from typing import Any

from rrtf.judge import coroutines
from rrtf.judge.errors import described

Ask = Callable[..., Any]  # number, use, arguments, keywords


class _Made(type):
    """The class of classes: calling one makes an object of the tests."""

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        return cls._rrtf_ask(cls._rrtf_place, "call", arguments, keywords)  # type: ignore[attr-defined]


class _Class(_Made):
    """Those whose attributes are asked for, too."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls._rrtf_ask(cls._rrtf_place, "get", (name,), {})


def make_class(ask: Ask, place: int, name: str, operators: list[str], bases: list[type]) -> type:
    """The stand-in of a class whose objects have these operators."""
    namespace: dict[str, Any] = {f"__{operator}__": _forward(operator) for operator in operators}
    namespace |= {"_rrtf_ask": staticmethod(ask), "_rrtf_place": place, "__module__": "solution"}
    namespace |= {"__getattr__": _get, "__setattr__": _set, "__copy__": _forward("copy"), "__deepcopy__": _deep}
    return _Class(name, tuple(bases), namespace)


def make_carrier(ask: Ask, name: str) -> type:
    """The stand-in of a class without methods, whose objects are copied with their attributes."""
    return _Made(name, (), {"_rrtf_ask": staticmethod(ask), "_rrtf_place": name, "__module__": "solution"})


def make_object(kind: Any, place: int) -> Any:
    """The stand-in of an object."""
    made = object.__new__(kind)
    object.__setattr__(made, "_rrtf_place", place)
    return made


def _get(self: Any, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return self._rrtf_ask(self._rrtf_place, "get", (name,), {})


def _set(self: Any, name: str, value: Any) -> None:
    self._rrtf_ask(self._rrtf_place, "set", (name, value), {})


def _deep(self: Any, _: Any) -> Any:
    return self._rrtf_ask(self._rrtf_place, "deepcopy", (), {})


def _forward(operator: str) -> Any:
    def ask(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return self._rrtf_ask(self._rrtf_place, operator, arguments, keywords)

    def leave(self: Any, kind: Any, error: Any, trace: Any) -> Any:
        return ask(self, *([] if error is None else [[*described(error), None]]))  # tracebacks stay where they are

    async def following(self: Any) -> Any:
        if found := await ask(self):
            return found[0]
        raise StopAsyncIteration

    def wait(self: Any) -> Any:
        return coroutines.lent(lambda cancel: ask(self, cancel)).__await__()

    return {"exit": leave, "aexit": leave, "anext": following, "await": wait}.get(operator, ask)
