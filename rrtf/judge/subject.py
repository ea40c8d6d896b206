"""How tests take hold of the program: `from solution import f`, `import solution`, or just its names."""

import ast
import sys
from collections import Counter
from typing import NamedTuple

from rrtf.judge.inheriting import Supers


class Subject(NamedTuple):
    """What tests import from the program: names, other names that they give to some of them, and names of the whole module."""

    names: frozenset[str]
    aliases: dict[str, str]
    modules: frozenset[str]


class _Imports(ast.NodeTransformer):
    """Takes the imports of the program out: the judge binds the names itself."""

    def __init__(self, modules: set[str]) -> None:
        self._modules = modules
        self.names: set[str] = set()
        self.aliases: dict[str, str] = {}
        self.whole: set[str] = set()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module not in self._modules:
            return node
        for alias in node.names:
            self.names.add(alias.name)
            if alias.asname:
                self.aliases[alias.asname] = alias.name
        return ast.copy_location(ast.Pass(), node)

    def visit_Import(self, node: ast.Import) -> ast.AST:
        theirs = [alias for alias in node.names if alias.name in self._modules]
        self.whole |= {alias.asname or alias.name for alias in theirs}
        node.names = [alias for alias in node.names if alias not in theirs]
        return node if node.names else ast.copy_location(ast.Pass(), node)


class _Kinds(ast.NodeTransformer):
    """`type(x) is C` becomes `==`: a class of the program and the type of its objects' proxies are two objects here."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        for place, operator in enumerate(node.ops):
            if isinstance(operator, (ast.Is, ast.IsNot)) and _asks_type([node.left, *node.comparators][place : place + 2]):
                node.ops[place] = ast.Eq() if isinstance(operator, ast.Is) else ast.NotEq()
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        names = {"assertIs": "assertEqual", "assertIsNot": "assertNotEqual"}
        if isinstance(node.func, ast.Attribute) and node.func.attr in names and _asks_type(node.args[:2]):
            node.func.attr = names[node.func.attr]
        return node


def _asks_type(sides: list[ast.expr]) -> bool:
    return any(
        (isinstance(side, ast.Call) and isinstance(side.func, ast.Name) and side.func.id == "type")
        or (isinstance(side, ast.Attribute) and side.attr == "__class__")
        for side in sides
    )


def take_out(trees: list[ast.Module], entry: str) -> Subject:
    """Remove the imports of the program from the tests, and say what they were; ask for types in words that fit proxies.

    The program is the module `solution`, and any other that the tests import the entry point from.
    """
    modules = {"solution"}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ImportFrom) and node.module and entry in (alias.name for alias in node.names):
            modules |= {node.module} - sys.stdlib_module_names
    imports = _Imports(modules)
    for tree in trees:
        imports.visit(tree)
        _Kinds().visit(tree)
        ast.fix_missing_locations(Supers().visit(tree))
    return Subject(
        frozenset(imports.names - {"*"}), imports.aliases, frozenset(imports.whole | (modules if imports.whole else set()))
    )


_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_MAKERS = frozenset({"list", "dict", "set", "bytearray", "sorted", "copy", "deepcopy"})


def shares(trees: list[ast.Module]) -> bool:
    """Whether tests pass a list or the like under a name that they use again: the program may keep it and change it later."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    made, passed = set(), set()
    for node in nodes:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and _mutable(node.value):
            made |= {_named(target) for target in (node.targets if isinstance(node, ast.Assign) else [node.target])}
        elif isinstance(node, ast.Call):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            passed |= {_named(value) for value in given if isinstance(value, (ast.Name, ast.Attribute))}
    if not made & passed:
        return False
    read = (node for node in nodes if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load))
    uses = Counter(_named(node) for node in read)
    return any(uses[name] > 1 for name in made & passed)


def _named(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ast.unparse(node)


def _mutable(node: ast.expr) -> bool:
    calls = isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute))
    return isinstance(node, _DISPLAYS) or (calls and ast.unparse(node.func).rpartition(".")[2] in _MAKERS)  # type: ignore[attr-defined]
