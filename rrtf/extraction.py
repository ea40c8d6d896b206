"""From a response to the program in it, by syntax tree, in time linear in the response. Pure text, safe on hostile text.

The judge needs a program that stands alone; a response may hold prose, several fenced blocks, an unclosed fence, example
calls, an `if __name__` block, a body without its function, or nothing. What is cut is kept.
"""

import ast
import re
import textwrap
from typing import NamedTuple

from rrtf.fences import blocks
from rrtf.profiles import Opening, Profile, Style, continued, given_above, skeleton
from rrtf.records import Problem, TestKind
from rrtf.syntax import chunks, defines, entry_name, names_bound, names_used, parse

# No program of the benchmarks comes near it; a hundred thousand characters are parsed in under a second
MOST_CHARACTERS = 100_000

# what Python text can't hold: halves of UTF-16 pairs, which no file or pipe accepts
_SURROGATES = re.compile("[\ud800-\udfff]")


class Extraction(NamedTuple):
    """The program ("" if there is none), what was cut, and the rule that found it."""

    program: str
    removed: str
    rule: str


def extract(response: str, problem: Problem, profile: Profile) -> Extraction:
    """The program in `response` (the text behind the prompt and its prefill).

    Rules: `empty`; `continued`, the answer goes on with given code; `fenced`, the block that defines the entry point, with
    the blocks it needs; `plain`, code amid prose; `body`, the inside of the function alone; `none`. A function with a
    syntax error is kept as written: that is the model's mistake, and the judge's to find. Imports and helpers that the
    problem's own prompt gives are put before a program that lacks them.
    """
    text = _SURROGATES.sub("\ufffd", response.replace("\r\n", "\n").replace("\r", "\n"))
    kept, beyond = text[:MOST_CHARACTERS], text[MOST_CHARACTERS:]
    if not kept.strip():
        return Extraction("", text, "empty")
    found = _found(kept, problem, profile)
    return found._replace(removed=found.removed + beyond)


def _found(text: str, problem: Problem, profile: Profile) -> Extraction:
    name = entry_name(problem)
    given = continued(problem, profile)
    if given and not (name and defines(name, text)):
        return _continuation(given, text, problem)
    opened = profile.style is Style.chat and profile.opening is not Opening.nothing
    code, prose = blocks(text, opened=opened)
    chosen, rest = _choose(code, name) if code else (text, "")
    whole = _whole_program(problem)
    program, removed = _statements(chosen, problem)
    rule = "fenced" if code else "plain"
    if not whole and not defines(name, program):
        if body := _as_body(chosen, problem):
            return Extraction(body, prose + rest, "body")
        if not code and not _is_code(program):
            return Extraction("", text, "none")
    if not program.strip():
        return Extraction("", text, "none")
    return Extraction(_with_given(program, problem), prose + rest + removed, rule)


def _whole_program(problem: Problem) -> bool:
    return problem.tests.kind is TestKind.stdio or not problem.entry_point


def _continuation(given: str, text: str, problem: Problem) -> Extraction:
    """Given code and what the model wrote behind it, up to a fence."""
    code, prose = blocks(text, opened=True)
    body, rest = code[0], prose + "".join(code[1:])
    for joint in ("", "\n"):
        if parse(given + joint + body):
            program, removed = _statements(given + joint + body, problem)
            return Extraction(program, removed + rest, "continued")
    starts_at_edge = not body.lstrip("\n")[:1].isspace()
    if starts_at_edge and (inside := _as_body(body, problem)):
        return Extraction(inside, rest, "body")
    program, removed = _statements(given + body, problem)
    return Extraction(program, removed + rest, "continued")


def _choose(code: list[str], name: str) -> tuple[str, str]:
    """The block that holds the answer, behind the blocks that define names it needs; and the blocks left over."""
    defining = [block for block in code if name and defines(name, block)]
    parsing = [block for block in defining or code if parse(block)]
    chosen = (parsing or defining or code)[0]
    missing = names_used(chosen) - names_bound(chosen)
    needed: list[str] = []
    rest: list[str] = []
    for block in code:
        if block is chosen:
            continue
        helps = bool(missing & names_bound(block)) and block not in defining
        (needed if helps else rest).append(block)
    return "\n".join([*needed, chosen]), "".join(rest)


def _statements(code: str, problem: Problem) -> tuple[str, str]:
    """Split code into what the program needs and what is cut: prose, example calls, `if __name__`, a torn last line."""
    if _whole_program(problem) and parse(code):
        return code, ""
    name, found = entry_name(problem), False
    kept: list[str] = []
    removed: list[str] = []
    parts = chunks(code)
    for place, part in enumerate(parts):
        tree = parse(part)
        if tree is None:
            torn = place == len(parts) - 1 and found  # the token limit came in the middle of something after the answer
            keep = bool(re.match(r"\s*(@|async |def |class )", part)) and not torn
        else:
            keep = all(_needed(node, problem) for node in tree.body)
        found = found or bool(keep and name and defines(name, part))
        (kept if keep else removed).append(part)
    return "".join(kept), "".join(removed)


def _needed(node: ast.stmt, problem: Problem) -> bool:
    """Whether a top-level statement belongs to the program rather than to its demonstration."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call):
        return False
    if _whole_program(problem):
        return True
    roots = {re.split(r"\W+", problem.entry_point)[0], entry_name(problem)}
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        bound = {target.id for target in targets if isinstance(target, ast.Name)}
        return bool(bound & roots) or not names & roots
    called = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    shows = isinstance(called, ast.Name) and called.id in ("print", "input", "main")
    return not (shows or "__name__" in names or names & roots)


def _is_code(program: str) -> bool:
    """Whether text without a fence and without the entry point is code at all, and not a word that parses."""
    tree = parse(program)
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return bool(tree and any(isinstance(node, definitions) for node in tree.body)) or bool(
        re.search(r"^(def|class) \w+.*:\s*$", program, re.MULTILINE)
    )


def _as_body(text: str, problem: Problem) -> str:
    """The function with `text` as its inside, or "": tried as written, with its first line moved in, and moved in whole."""
    header = skeleton(problem)
    if not header:
        return ""
    last = header.split("\n")[-1]
    indent = " " * (len(last) - len(last.lstrip()) + 4)
    trimmed = text.strip("\n")
    if trimmed[:1].isspace():
        trimmed = re.split(r"\n(?=\S)", trimmed, maxsplit=1)[0]
    for body in (trimmed, indent + trimmed.lstrip(), textwrap.indent(textwrap.dedent(trimmed), indent)):
        program = f"{header}\n{body}\n"
        tree = parse(program)
        if tree and any(isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom)) for node in ast.walk(tree)):
            return program
    return ""


def _with_given(program: str, problem: Problem) -> str:
    """`program` behind the imports and helpers of the problem's own prompt, unless it has them."""
    above = given_above(problem)
    missing = names_bound(above) - names_bound(program)
    if not above.strip() or above.strip() in program or "__future__" in program:
        return program
    return f"{above.rstrip()}\n\n\n{program}" if missing or "*" in above else program
