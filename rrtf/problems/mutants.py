"""Small wrong versions of a correct program: a test set worth its name tells them from the original.

Ours, because no published problem set says how sharp its tests are. One change a mutant, of the kinds that mutation testing
has long used: comparisons, arithmetic, and/or, constants, conditions, returned values, updates.
"""

import ast
import copy
from collections.abc import Iterator

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}


def mutants(program: str, entry_point: str) -> Iterator[str]:
    """Every one-change mutant of the function `entry_point`; the rest of the program and its docstring stay.

    Some mutants may mean the same as the original (equivalent mutants); nothing here tells which.
    """
    tree = ast.parse(program)
    for place in range(sum(1 for _ in _spots(_function(tree, entry_point)))):
        changed = copy.deepcopy(tree)
        spots = list(_spots(_function(changed, entry_point)))
        _change(spots[place])
        yield ast.unparse(ast.fix_missing_locations(changed))


def _function(tree: ast.Module, name: str) -> ast.FunctionDef:
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)


def _spots(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes that can be changed, in a fixed order; annotations and the docstring are left alone."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    for statement in body:
        for node in ast.walk(statement):
            boring = isinstance(node, ast.Return) and node.value is None
            constant = isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float, str))
            changeable = (ast.Compare, ast.BinOp, ast.BoolOp, ast.Return, ast.AugAssign, ast.If, ast.While, ast.IfExp)
            if constant or (isinstance(node, changeable) and not boring):
                yield node


def _change(node: ast.AST) -> None:
    """Make one node wrong, in place."""
    if isinstance(node, ast.Compare):
        node.ops[0] = _COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, (ast.BinOp, ast.AugAssign)):
        node.op = _ARITHMETIC.get(type(node.op), ast.Sub)()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(None)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Constant):
        _change_constant(node)


def _change_constant(node: ast.Constant) -> None:
    if isinstance(node.value, bool):
        node.value = not node.value
    elif isinstance(node.value, str):
        node.value += "x"
    elif isinstance(node.value, (int, float)):
        node.value += 1
