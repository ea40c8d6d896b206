"""Programs as normalized syntax trees: equal for two programs that differ in names, comments, docstrings and annotations only.

Used where the same solution must be recognised under other names: decontamination, near duplicates, independent voters.
"""

import ast
from collections.abc import Iterator
from functools import lru_cache

from rrtf import syntax

Function = ast.FunctionDef | ast.AsyncFunctionDef
_SHINGLE = 4  # labels in one shingle; ours: an expression such as `total += values[i]` gives about three of them
_SILENT_FIELDS = frozenset({"annotation", "returns", "decorator_list", "type_comment", "type_params", "ctx"})


# the tree is shared by all who ask for the same program: read it, don't change it
parse = lru_cache(maxsize=64)(syntax.parse)


def is_literal(node: ast.expr) -> bool:
    """Whether an expression is a plain value."""
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def functions(tree: ast.Module) -> list[Function]:
    """Functions at the top level and methods of top-level classes, in order."""
    found: list[Function] = []
    for node in tree.body:
        if isinstance(node, Function):
            found.append(node)
        elif isinstance(node, ast.ClassDef):
            found += [method for method in node.body if isinstance(method, Function)]
    return found


def _imports(tree: ast.AST) -> dict[str, str]:
    """What an imported name stands for: its own name, or "" for a module (`import heapq as hq` gives hq: "")."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(alias.asname or alias.name.partition(".")[0]): "" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {(alias.asname or alias.name): alias.name for alias in node.names}
    return names


class Labels:
    """A tree as labels in the order of writing, free of what a renaming can change.

    Names that `program` binds at its top level and names bound inside the tree become `v0`, `v1`, ... in order of first sight,
    or all `v` where not `numbered`; other names (builtins, methods, what is imported, by its own name) stay. Without
    `constants` a literal is known by its type only. Docstrings, annotations, decorators, import statements, the module before
    an imported name, `self` and `cls` leave no trace.
    """

    def __init__(self, program: ast.Module, *, constants: bool = True, numbered: bool = True) -> None:
        self._imported = _imports(program)
        self._top = {name for node in program.body for name in binds(node)}
        self._constants = constants
        self._numbered = numbered
        self._order: dict[str, int] = {}

    def of(self, root: ast.AST) -> tuple[str, ...]:
        """The labels of one tree."""
        bound = {name for node in ast.walk(root) for name in binds(node)}
        self._order = dict.fromkeys(bound | self._top, -1)
        return tuple(label for node in self._walk(root) if (label := self._label(node)))

    def _walk(self, root: ast.AST) -> Iterator[ast.AST]:
        """Nodes in preorder with an explicit stack: a tree may be deeper than Python's own."""
        stack = [root]
        while stack:
            node = stack.pop()
            yield node
            if not (isinstance(node, ast.Attribute) and self._is_silent_owner(node.value)):
                stack.extend(reversed(_children(node)))

    def _label(self, node: ast.AST) -> str:
        """What is written for one node; "" for what carries no meaning."""
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.arg):
            return "" if node.arg in ("self", "cls") else self._name(node.arg)
        if isinstance(node, ast.Attribute):
            # self.helper(...) is the class spelling of helper(...), math.gcd(...) the module spelling of gcd(...)
            return self._name(node.attr) if self._is_silent_owner(node.value) else f".{node.attr}"
        if isinstance(node, ast.Constant):
            return repr(node.value)[:200] if self._constants else type(node.value).__name__
        if isinstance(node, Function):
            return f"def {self._name(node.name)}"
        if isinstance(node, ast.ClassDef):
            return f"class {self._name(node.name)}"
        return "" if isinstance(node, (ast.arguments, ast.Module)) else type(node).__name__

    def _name(self, identifier: str) -> str:
        if identifier not in self._order:
            return self._imported.get(identifier, identifier)
        if not self._numbered:
            return "v"
        if self._order[identifier] < 0:
            self._order[identifier] = sum(number >= 0 for number in self._order.values())
        return f"v{self._order[identifier]}"

    def _is_silent_owner(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and (node.id in ("self", "cls") or self._imported.get(node.id) == "")


def shingles(labels: tuple[str, ...], *, width: int = _SHINGLE) -> frozenset[tuple[str, ...]]:
    """All runs of `width` neighbouring labels; a shorter sequence is one shingle."""
    return frozenset(labels[i : i + width] for i in range(max(1, len(labels) - width + 1)))


@lru_cache(maxsize=64)
def program_labels(program: str) -> tuple[str, ...]:
    """The labels of a whole program; () where it does not parse. The order of its functions counts."""
    tree = parse(program)
    return Labels(tree).of(tree) if tree else ()


def binds(node: ast.AST) -> list[str]:
    """The names that this node gives a meaning to; an imported one keeps its own, which a renaming can't change."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Name):
        return [node.id] if isinstance(node.ctx, (ast.Store, ast.Del)) else []
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.ExceptHandler):
        return [node.name] if node.name else []
    return [node.arg] if isinstance(node, ast.arg) else []


def _children(node: ast.AST) -> list[ast.AST]:
    """A node's children in the order of writing, without what carries no meaning."""
    children: list[ast.AST] = []
    for field, value in ast.iter_fields(node):
        if field not in _SILENT_FIELDS:
            values = value if isinstance(value, list) else [value]
            children += [item for item in values if isinstance(item, ast.AST) and not _is_silent(item)]
    return children


def _is_silent(node: ast.AST) -> bool:
    """Imports, docstrings and bare constants used as comments."""
    return isinstance(node, (ast.Import, ast.ImportFrom)) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )
