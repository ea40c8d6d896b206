"""How tests take hold of the program: `from solution import f`, `import solution`, or just its names."""

import ast
import sys
from typing import NamedTuple


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


def take_out(trees: list[ast.Module], entry: str) -> Subject:
    """Remove the imports of the program from the tests, and say what they were.

    The program is the module `solution`, and any other that the tests import the entry point from.
    """
    modules = {"solution"}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ImportFrom) and node.module and entry in (alias.name for alias in node.names):
            modules |= {node.module} - sys.stdlib_module_names
    imports = _Imports(modules)
    for tree in trees:
        imports.visit(tree)
    return Subject(
        frozenset(imports.names - {"*"}), imports.aliases, frozenset(imports.whole | (modules if imports.whole else set()))
    )
