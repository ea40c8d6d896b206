"""From a program back to the text a model would have to write for it: what training scores. Pure text."""

import ast
import textwrap
from typing import NamedTuple

from rrtf.profiles import Opening, Profile, Style, continued
from rrtf.records import Problem
from rrtf.syntax import entry_name, parse

FENCE = "```"


def completion(program: str, problem: Problem, profile: Profile) -> str:
    """The text a model would have to write under this profile for `program`, without the end-of-text token.

    Where an answer continues given code (paper, starcoder), a program written elsewhere loses its own `def` line, and its
    imports and helpers move into the function, since nothing may stand before what is given. "" says that no answer
    under this profile gives the program: it does not parse, or its function has other arguments.
    """
    closing = f"\n{FENCE}" if profile.style is Style.chat and profile.opening is not Opening.nothing else ""
    given = continued(problem, profile)
    if given:
        body = program[len(given) :] if program.startswith(given) else _under(given, program, problem)
        return body.rstrip() + closing if body.strip() else ""
    if profile.style is Style.wizardcoder or (profile.style is Style.chat and not closing):
        return f"{FENCE}python\n{program.strip()}\n{FENCE}"
    return program.strip("\n") + closing


class _Place(NamedTuple):
    """A function in a module, the statements around it, and the class it is a method of."""

    function: ast.FunctionDef
    around: list[ast.stmt]
    owner: ast.ClassDef | None


def _under(given: str, program: str, problem: Problem) -> str:
    """What follows `given` so that both together do what `program` does, or ""."""
    name = entry_name(problem)
    closed = given if given.rstrip().endswith(('"""', "'''")) else given.rstrip() + " pass"
    asked, found = _find(parse(closed), name), _find(parse(program), name)
    if asked is None or found is None or ast.dump(_bare(asked.function)) != ast.dump(_bare(found.function)):
        return ""
    indent = " " * (asked.function.col_offset + 4)
    known = {ast.dump(node) for node in asked.around}
    moved = [textwrap.indent(ast.unparse(node), indent) for node in found.around if ast.dump(node) not in known]
    members = [node for node in found.owner.body if node is not found.function] if found.owner else []
    after = [textwrap.indent("\n" + ast.unparse(node), " " * asked.function.col_offset) for node in members]
    text = "\n".join([*moved, _body(found.function, program, indent), *after])
    return text if given.endswith("\n") else "\n" + text


def _find(module: ast.Module | None, name: str) -> _Place | None:
    for node in reversed(module.body if module else []):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _Place(node, [other for other in module.body if other is not node], None)  # type: ignore[union-attr]
        for member in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(member, ast.FunctionDef) and member.name == name:
                around = [other for other in module.body if other is not node]  # type: ignore[union-attr]
                return _Place(member, around, node)  # type: ignore[arg-type]
    return None


def _bare(function: ast.FunctionDef) -> ast.arguments:
    """The arguments without annotations and defaults, which the given signature settles."""
    arguments = function.args
    names = [[ast.arg(arg=arg.arg) for arg in part] for part in (arguments.posonlyargs, arguments.args, arguments.kwonlyargs)]
    stars = [ast.arg(arg=arg.arg) if arg else None for arg in (arguments.vararg, arguments.kwarg)]
    return ast.arguments(
        posonlyargs=names[0], args=names[1], vararg=stars[0], kwonlyargs=names[2], kw_defaults=[], kwarg=stars[1], defaults=[]
    )


def _body(function: ast.FunctionDef, program: str, indent: str) -> str:
    """The function's statements after its docstring, as written where their indentation fits."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not statements:
        return f"{indent}pass"
    first, lines = statements[0], program.split("\n")
    start = first.lineno - 1
    if first.col_offset == len(indent) and lines[start][: first.col_offset].isspace():
        while lines[start - 1].startswith(f"{indent}#"):  # comments are no part of the tree
            start -= 1
        return "\n".join(lines[start : function.end_lineno])
    return "\n".join(textwrap.indent(ast.unparse(statement), indent) for statement in statements)
