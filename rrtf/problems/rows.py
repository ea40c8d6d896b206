"""Fields of a row, and names in Python source: what every format reader needs. All raise ValueError in words."""

import ast
from collections.abc import Mapping
from typing import Any

from rrtf.syntax import tree_of


def text(row: Mapping[str, Any], key: str) -> str:
    """The string under `key`, line ends as \\n."""
    if key not in row:
        raise ValueError(f"no field {key!r}")
    if not isinstance(row[key], str):
        raise ValueError(f"{key} must be a string, not {row[key]!r:.80}")
    return row[key].replace("\r\n", "\n")


def text_or_empty(row: Mapping[str, Any], *keys: str) -> str:
    """The string under the first of `keys` that the row has and that is not null, else ""."""
    for key in keys:
        if row.get(key) is not None:
            return text(row, key)
    return ""


def texts(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The list of strings under `key`; a missing or null one is empty."""
    items = row.get(key)
    if items is None:
        return ()
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"{key} must be a list of strings, not {items!r:.80}")
    return tuple(item.replace("\r\n", "\n") for item in items)


def top_level(module: ast.Module, name: str) -> ast.stmt | None:
    """The last function or class called `name` at the top of a module (the one that is bound in the end)."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [node for node in module.body if isinstance(node, kinds) and node.name == name]
    return found[-1] if found else None


def source_of(code: str, node: ast.stmt) -> str:
    """The lines of a top-level statement, decorators included."""
    first = min([node.lineno, *(line.lineno for line in getattr(node, "decorator_list", []))])
    return "\n".join(code.split("\n")[first - 1 : node.end_lineno])


def header(code: str, node: ast.stmt) -> str:
    """The `def …:` of a function, as written; "" for anything else."""
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return ""
    lines = code.split("\n")
    end = node.body[0].lineno - 1
    if end < node.lineno:  # the body stands on the line of the def
        return lines[node.lineno - 1][: node.body[0].col_offset].strip()
    return "\n".join(lines[node.lineno - 1 : end]).strip()


def names_called(*sources: str) -> list[str]:
    """Names that the given trusted code calls, `f(…)` and not `a.f(…)`, each once, in order of the text."""
    calls = [node for source in sources for node in ast.walk(tree_of(source, "a test")) if isinstance(node, ast.Call)]
    return list(dict.fromkeys(call.func.id for call in calls if isinstance(call.func, ast.Name)))
