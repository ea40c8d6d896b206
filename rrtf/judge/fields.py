"""A candidate's dataclass on the side of the tests."""

from collections.abc import Mapping
from typing import Any


class Fields:
    """A dataclass of the candidate, by its name and fields; equal to a dataclass of that name with equal fields."""

    def __init__(self, name: str, fields: Mapping[str, Any]) -> None:
        self._name, self._fields = name, dict(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(name)
        return self._fields[name]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Fields):
            return self._name == other._name and self._fields == other._fields
        known = getattr(type(other), "__dataclass_fields__", None)
        return (
            known is not None and type(other).__name__ == self._name and {n: getattr(other, n) for n in known} == self._fields
        )

    def __hash__(self) -> int:
        return hash((self._name, tuple(self._fields.items())))

    def __repr__(self) -> str:
        return f"{self._name}({', '.join(f'{name}={value!r}' for name, value in self._fields.items())})"
