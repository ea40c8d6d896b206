"""What a tester may ask of a candidate's object by handle: calls, attributes and the operators tests use."""

import copy
import math
import operator
from collections.abc import Callable
from itertools import islice
from typing import Any

from rrtf.judge import annotations, coroutines, signatures

_SAME = (
    *("getitem", "setitem", "delitem", "contains", "eq", "lt", "le", "gt", "ge"),
    *("neg", "pos", "invert", "abs", "index"),
)
_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "lshift", "rshift")


def _reflected(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda target, other: function(other, target)


def _driven(target: Any, how: str, *arguments: Any) -> tuple[bool, Any]:
    """A generator's next value, or what it returned at its end."""
    try:
        return True, getattr(target, how)(*arguments)
    except StopIteration as end:
        return False, end.value


def _pickled(target: Any, protocol: int) -> bytes:
    import pickle  # only where tests ask

    return pickle.dumps(target, protocol)


def _unpickled(data: bytes) -> Any:
    import pickle

    return pickle.loads(data)  # noqa: S301 - the program's own


TABLE: dict[str, Callable[..., Any]] = {
    "call": lambda target, /, *arguments, **keywords: target(*arguments, **keywords),
    "get": getattr,
    "set": setattr,
    "del": delattr,
    "drive": _driven,
    "next": lambda target, count: list(islice(target, count)),
    "step": coroutines.step,
    "aiter": lambda target: target.__aiter__(),
    "anext": coroutines.following,
    "aenter": coroutines.entered,
    "aexit": coroutines.left,
    "signature": signatures.described,
    "hints": annotations.hints,
    "dir": dir,
    "pickle": _pickled,
    "unpickle": _unpickled,
    "enter": lambda target: target.__enter__(),
    "exit": lambda target, error=None: target.__exit__(error and type(error), error, None),
    "isinstance": isinstance,
    "issubclass": issubclass,
    "super": super,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "subclass": lambda name, bases, members: type(name, tuple(bases), members),
    "iter": iter,
    "reversed": reversed,
    "len": len,
    "bool": bool,
    "str": str,
    "repr": repr,
    "hash": hash,
    "int": int,
    "float": float,
    "complex": complex,
    "round": round,
    "format": format,
    "trunc": math.trunc,
    "floor": math.floor,
    "ceil": math.ceil,
    "divmod": divmod,
    "rdivmod": _reflected(divmod),
    **{name: getattr(operator, name) for name in (*_SAME, *_BINARY)},
    **{f"r{name.strip('_')}": _reflected(getattr(operator, name)) for name in _BINARY},
    **{f"i{name.strip('_')}": getattr(operator, f"i{name.strip('_')}") for name in _BINARY},
}
