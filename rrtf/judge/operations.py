"""What a tester may ask of a candidate's object by handle: calls, attributes and the operators tests use."""

import operator
from collections.abc import Callable
from itertools import islice
from typing import Any

TABLE: dict[str, Callable[..., Any]] = {
    "call": lambda target, /, *arguments, **keywords: target(*arguments, **keywords),
    "get": getattr,
    "set": setattr,
    "next": lambda target, count: list(islice(target, count)),
    "enter": lambda target: target.__enter__(),
    "exit": lambda target: target.__exit__(None, None, None),
    "isinstance": isinstance,
    "iter": iter,
    "len": len,
    "bool": bool,
    "str": str,
    "repr": repr,
    "hash": hash,
    **{
        name: getattr(operator, name)
        for name in ("getitem", "setitem", "delitem", "contains", "eq", "lt", "le", "gt", "ge", "add", "sub", "mul")
    },
    **{
        name: getattr(operator, name)
        for name in ("truediv", "floordiv", "mod", "pow", "neg", "abs", "and_", "or_", "xor", "index")
    },
}
