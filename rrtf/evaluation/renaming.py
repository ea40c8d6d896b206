"""Rename a problem's function and arguments by syntax tree: in signature, reference, tests and, with care, in the text."""

import ast
import re
from dataclasses import replace

from rrtf.records import Problem

FUNCTION = "solve"


def rename(problem: Problem) -> Problem:
    """The same problem with `solve(arg1, arg2, …)` for its function.

    An argument's name is often also an ordinary word of the text, so the text keeps its words and ends in a line that says
    which argument is which.
    """
    arguments = _arguments(problem.signature)
    taken = _identifiers(problem.reference) | _identifiers("\n".join((problem.tests.setup, *problem.tests.asserts)))
    function = _free(FUNCTION, taken)
    names = {name: _free(f"arg{number}", taken) for number, name in enumerate(arguments, start=1)}
    change = _Renamer(problem.entry_point, function, names)
    tests = replace(
        problem.tests,
        setup=change.outside(problem.tests.setup),
        asserts=tuple(change.outside(test) for test in problem.tests.asserts),
    )
    return replace(
        problem,
        entry_point=function,
        signature=change.header(problem.signature),
        reference=change.inside(problem.reference),
        text=_text(problem, function, names),
        tests=tests,
    )


class _Renamer(ast.NodeTransformer):
    """Renames the function everywhere, its arguments inside it, and keywords of calls to it."""

    def __init__(self, old: str, new: str, arguments: dict[str, str]) -> None:
        self.old, self.new, self.arguments = old, new, arguments
        self.within = False
        self.helpers: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:  # noqa: N802 - ast's own naming
        if node.name != self.old or self.within:
            return self.generic_visit(node)
        node.name, self.within = self.new, True
        self.helpers = {inner.name for inner in ast.walk(node) if isinstance(inner, ast.FunctionDef)}
        self.generic_visit(node)
        self.within = False
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_arg(self, node: ast.arg) -> ast.AST:
        if self.within:
            node.arg = self.arguments.get(node.arg, node.arg)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:  # noqa: N802
        if node.id == self.old:
            node.id = self.new
        elif self.within:
            node.id = self.arguments.get(node.id, node.id)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:  # noqa: N802
        node.names = [self.arguments.get(name, name) if self.within else name for name in node.names]
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Also names that are bound without an ast.Name: `except … as name`, `case name`."""
        if self.within and isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            node.name = self.arguments.get(node.name or "", node.name)
        return super().generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:  # noqa: N802
        if isinstance(node.func, ast.Name) and (node.func.id == self.old or (self.within and node.func.id in self.helpers)):
            for keyword in node.keywords:
                keyword.arg = self.arguments.get(keyword.arg or "", keyword.arg)
        return self.generic_visit(node)

    def inside(self, code: str) -> str:
        """A module that defines the function."""
        return ast.unparse(self.visit(ast.parse(code))) + "\n"

    def outside(self, code: str) -> str:
        """Code that only calls it."""
        return ast.unparse(self.visit(ast.parse(code)))

    def header(self, signature: str) -> str:
        """A `def …:` line."""
        return self.inside(f"{signature}\n    pass").split("\n")[0]


def _arguments(signature: str) -> list[str]:
    """All argument names of a `def …:` line, *args and **kwargs left out (their names are convention)."""
    node = ast.parse(f"{signature}\n    pass").body[0]
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        raise SyntaxError("its signature is not that of a function")
    return [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]


def _identifiers(code: str) -> set[str]:
    return set(re.findall(r"[^\W\d]\w*", code))


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _text(problem: Problem, function: str, names: dict[str, str]) -> str:
    name = re.escape(problem.entry_point)
    # a name that is an ordinary word, too, is the function's only in a call or in quotes
    code = rf"(?<![\w.]){name}(?=\()|(?<=[`'\"]){name}(?=[`'\"])"
    text = re.sub(code if problem.entry_point.isalpha() else rf"(?<![\w.]){name}(?!\w)", function, problem.text)
    said = ", ".join(f"{new} is {old}" for old, new in names.items())
    return f"{text}\n\nIn the signature, {said}." if said else text
