"""Classes that tests derive from those of the program: what `super()` and `issubclass` mean where a class is a proxy."""

import ast
import builtins
from typing import Any

from rrtf.judge.things import Class, Thing

SUPER = "__rrtf_super__"


class Supers(ast.NodeTransformer):
    """`super()` in a method of the tests names the class and the object, so that it can be answered for proxies, too."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:  # noqa: D102
        for method in node.body:
            if isinstance(method, ast.ClassDef):  # methods of a class in a class don't see its name
                continue
            if node.bases and not node.decorator_list and isinstance(method, ast.FunctionDef) and method.args.args:
                _Named(node.name, method.args.args[0].arg).generic_visit(method)
            self.visit(method)
        return node


class _Named(ast.NodeTransformer):
    def __init__(self, kind: str, first: str) -> None:
        self._names = kind, first

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args:
            node.func.id = SUPER
            node.args = [ast.copy_location(ast.Name(name, ast.Load()), node) for name in self._names]
        return node


class _Parent(Thing):
    """An object of the program as its class's parents see it: every name is looked up over there, Python's own, too."""

    def __getattribute__(self, name: str) -> Any:
        own = name == "__class__" or name.startswith("_rrtf")
        return object.__getattribute__(self, name) if own else self._rrtf_do("get", name)


def parent(kind: Any, target: Any) -> Any:
    """What `super()` gives in a method of `kind`."""
    if not isinstance(kind, Class):
        return super(kind, target)
    found = kind._rrtf.call("super", kind, target)
    return _Parent(kind._rrtf, found._rrtf_handle, "super")


def is_subclass(kind: Any, parents: Any) -> bool:
    """`issubclass`; about a class of the program its own process is asked."""
    if isinstance(parents, tuple):
        return any(is_subclass(kind, one) for one in parents)
    if isinstance(kind, Class) and not isinstance(parents, Class) and parents is not object:
        return bool(kind._rrtf.call("issubclass", kind, parents))
    return builtins.issubclass(kind, parents)
