"""Which top-level statements of a response are its program and which only show it, by syntax tree, in line with its length.

A program is imports, functions, classes and the statements they need. What calls the answer, prints, reads input or runs
tests is a demonstration, and so is what builds on one. Prose may happen to be Python too ("Time: O(n)").
"""

import ast
import builtins
import re
from collections.abc import Sequence

from rrtf.profiles import given_above
from rrtf.records import Problem, TestKind
from rrtf.syntax import chunks, defines, entry_name, names_bound, parse

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# a broken statement that begins so is the model's mistake; any other that does not parse is prose
_MEANT = re.compile(r"@\w|(?:async +)?def +\w+ *[(\[]|class +\w+ *[:(\[]")
# functions and methods that are only called to show something or to end it all
_SHOWING = {"print", "pprint", "main", "exit", "quit", "testmod", "show", "breakpoint"}
# a function that is tested by calls has no input to read
_READING = {"input", "stdin"}
_BUILTIN = frozenset(dir(builtins)) | {"__name__", "__file__", "__annotations__"}


def whole_program(problem: Problem) -> bool:
    """Whether the answer is a script that is run, and not a function that is called."""
    return problem.tests.kind is TestKind.stdio or not problem.entry_point


def split(code: str, problem: Problem) -> tuple[str, str]:
    """Code as the program in it and what is cut: prose, example calls, `if __name__`, a torn last statement."""
    if whole_program(problem) and parse(code):
        return code, ""
    name, found = entry_name(problem), False
    parts = chunks(code)
    trees = [parse(part) for part in parts]
    reader = _Reader(problem, [node for tree in trees if tree for node in tree.body])
    kept: list[str] = []
    removed: list[str] = []
    for place, (part, tree) in enumerate(zip(parts, trees, strict=True)):
        if tree is None:
            torn = place == len(parts) - 1 and found  # the token limit came in the middle of something after the answer
            keep = bool(_MEANT.match(part)) and not torn
            (kept if keep else removed).append(part)
        else:
            for text, keep in _sorted(part, tree, reader):
                (kept if keep else removed).append(text)
        found = found or bool(name and defines(name, part) and (tree or keep))
    return "".join(kept), "".join(removed)


def _sorted(part: str, tree: ast.Module, reader: "_Reader") -> list[tuple[str, bool]]:
    """The text of a part with what becomes of it; statements that share a line are written anew where their ways part."""
    needed = [reader.needs(node) for node in tree.body]
    if all(needed) or not any(needed):
        return [(part, all(needed))]
    return [(ast.unparse(node) + "\n", keep) for node, keep in zip(tree.body, needed, strict=True)]


class _Reader:
    """Reads the statements of one response in their order and says of each whether the program needs it."""

    def __init__(self, problem: Problem, statements: Sequence[ast.stmt]) -> None:
        self._script = whole_program(problem)
        self._answer = {re.split(r"\W+", problem.entry_point)[0], entry_name(problem)} - {""}
        # names whose use makes a statement a demonstration; those that demonstrations bind join them
        self._shown = set() if self._script else self._answer | _READING
        definitions = [node for node in statements if isinstance(node, _DEFINITIONS)]
        self._defined = {node.name for node in definitions} & self._answer
        self._read = {name for node in definitions for name in _read(node) - _bound(node)}
        above = given_above(problem)
        self._known = _BUILTIN | names_bound(above) | {name for node in statements for name in _bound(node)}
        self._all_known = "*" in above or "*" in self._known

    def needs(self, node: ast.stmt) -> bool:
        """Whether `node` belongs to the program."""
        bound, read = _bound(node), _read(node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return not (isinstance(node, ast.ImportFrom) and bound <= self._defined)  # from solution import add
        if isinstance(node, _DEFINITIONS):
            if node.name not in self._answer and (read - (bound - {node.name})) & self._shown:
                self._shown.add(node.name)  # a test, a main function: whoever calls it demonstrates
            return True
        needed = self._runs(node, read) and (self._script or self._serves(node, bound, read))
        if not needed:
            self._shown |= bound - self._answer
        return needed

    def _runs(self, node: ast.stmt, read: set[str]) -> bool:
        """Not so: words that happen to be Python and do nothing, or know a name that nothing binds."""
        if isinstance(node, ast.AnnAssign) and node.value is None:
            return False
        if isinstance(node, ast.Expr) and not any(isinstance(inner, ast.Call) for inner in ast.walk(node)):
            return False
        return self._all_known or read - {"stdin"} <= self._known

    def _serves(self, node: ast.stmt, bound: set[str], read: set[str]) -> bool:
        """Whether a statement is there for the functions, and not to show them."""
        if bound & self._answer:
            return True
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            if _owners(node) & self._answer:  # add.cache = {}
                return True
            return not read & (self._answer | _READING) and (bool(bound & self._read) or not read & self._shown)
        called = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
        shows = (called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")) in _SHOWING
        return not (shows or "__name__" in read or read & self._shown)


def _owners(node: ast.Assign | ast.AnnAssign) -> set[str]:
    """Names whose attributes or items an assignment sets."""
    owners = list(node.targets if isinstance(node, ast.Assign) else [node.target])
    for place, owner in enumerate(owners):
        while isinstance(owner, (ast.Attribute, ast.Subscript)):
            owner = owner.value
        owners[place] = owner
    return {owner.id for owner in owners if isinstance(owner, ast.Name)}


def _read(node: ast.AST) -> set[str]:
    """Names that are read anywhere in `node`, and `stdin` wherever it is an attribute."""
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Store)}
    return names | {"stdin" for inner in ast.walk(node) if isinstance(inner, ast.Attribute) and inner.attr == "stdin"}


def _bound(node: ast.AST) -> set[str]:
    """Names that anything in `node` gives a meaning to; "*" for an import of everything."""
    names: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            names.add(inner.id)
        elif isinstance(inner, (*_DEFINITIONS, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and inner.name:
            names.add(inner.name)
        elif isinstance(inner, ast.arg):
            names.add(inner.arg)
        elif isinstance(inner, ast.alias):
            names.add((inner.asname or inner.name).split(".")[0])
    return names
