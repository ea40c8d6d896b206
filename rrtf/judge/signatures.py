"""What `inspect.signature` says of a function or class of the program: described over there, put together in the tests."""

from typing import Any


def described(target: Any) -> list[Any]:
    """Name, kind, default and annotation of each parameter, and the annotation of the result; [] for what is missing."""
    import inspect  # only where tests ask: it takes long to load

    found = inspect.signature(target)
    rows = [[p.name, int(p.kind), _given(p.default, p.empty), _given(p.annotation, p.empty)] for p in found.parameters.values()]
    return [rows, _given(found.return_annotation, found.empty)]


def _given(value: Any, empty: Any) -> list[Any]:
    return [] if value is empty else [value]


def made(description: Any) -> Any:
    """The signature; raises ValueError, as for a function that has none, for what describes none."""
    import inspect

    try:
        rows, returned = description
        parameters = [
            inspect.Parameter(
                name,
                list(inspect._ParameterKind)[kind],
                default=default[0] if default else inspect.Parameter.empty,
                annotation=annotation[0] if annotation else inspect.Parameter.empty,
            )
            for name, kind, default, annotation in rows
        ]
        return inspect.Signature(parameters, return_annotation=returned[0] if returned else inspect.Signature.empty)
    except (TypeError, IndexError, KeyError) as error:
        raise ValueError(f"no signature: {error}") from None
