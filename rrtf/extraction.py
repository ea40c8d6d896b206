"""From a response to the program in it, by syntax tree, in time linear in the response. Pure text, safe on hostile text.

The judge needs a program that stands alone; a response may hold thoughts, prose, several fenced blocks, an unclosed fence,
example calls, an `if __name__` block, a body without its function, or nothing. What is cut is kept.
"""

import ast
import re
import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from rrtf.fences import Block, after_thinking, blocks
from rrtf.profiles import Opening, Profile, Style, continued, given_above, skeleton
from rrtf.records import Problem
from rrtf.statements import split, whole_program
from rrtf.syntax import defines, entry_name, names_bound, names_used, parse

# raise when the same response would give another program
EXTRACTION_VERSION = "2"

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
    text = re.sub(r"^\x0c+", "", text, flags=re.MULTILINE)  # nothing to Python, but white space to all that looks for edges
    answer = after_thinking(text)
    thoughts = text[: len(text) - len(answer)]
    kept, beyond = answer[:MOST_CHARACTERS].lstrip("\ufeff"), answer[MOST_CHARACTERS:]
    if not kept.strip():
        return Extraction("", text, "empty")
    found = _found(_typed(kept, entry_name(problem)), problem, profile)
    return found._replace(removed=thoughts + found.removed + beyond)


def _found(text: str, problem: Problem, profile: Profile) -> Extraction:
    name = entry_name(problem)
    given = continued(problem, profile)
    if given and not defines(name, text):
        return _continuation(given, text, problem)
    chosen, rest, fenced = _chosen(text, problem, opened=profile.style is Style.chat and profile.opening is not Opening.nothing)
    if whole_program(problem) and not parse(chosen) and parse(moved := textwrap.dedent(chosen)):
        chosen = moved
    program, removed = split(chosen, problem)
    if not whole_program(problem) and not defines(name, program):
        inner, others = _indented(chosen, name)
        if inner:
            program, removed = split(inner, problem)
            rest += others
        elif body := _as_body(chosen, problem):
            return Extraction(body, rest, "body")
        elif not fenced and not _is_code(program):
            return Extraction("", text, "none")
    if not program.strip():
        return Extraction("", text, "none")
    return Extraction(_with_given(program, problem), rest + removed, "fenced" if fenced else "plain")


def _typed(text: str, name: str) -> str:
    """The text without the prompts of an interactive session, where the answer was typed into one."""
    if defines(name, text):
        return text
    bare = re.sub(r"^[ \t]*(?:>>>|\.\.\.)(?: |$)", "", text, flags=re.MULTILINE)
    return bare if defines(name, bare) else text


def _continuation(given: str, text: str, problem: Problem) -> Extraction:
    """Given code and what the model wrote behind it, up to a fence."""
    code, prose = blocks(text, opened=True)
    body, rest = code[0].code, prose + "".join(block.code for block in code[1:])
    for joint in ("", "\n"):
        if parse(given + joint + body):
            program, removed = split(given + joint + body, problem)
            return Extraction(program, removed + rest, "continued")
    starts_at_edge = not body.lstrip("\n")[:1].isspace()
    if starts_at_edge and (inside := _as_body(body, problem)):
        return Extraction(inside, rest, "body")
    program, removed = split(given + body, problem)
    return Extraction(program, removed + rest, "continued")


def _chosen(text: str, problem: Problem, *, opened: bool) -> tuple[str, str, bool]:
    """The part of a text that holds the answer, the rest, and whether it is fenced code."""
    name = entry_name(problem)
    code, prose = blocks(text, opened=opened)
    if opened and not any(defines(name, block.code) for block in code):
        again = blocks(text, opened=False)  # it wrote a whole message of its own behind the fence that was opened for it
        code, prose = again if any(defines(name, block.code) for block in again[0]) else (code, prose)
    chosen, rest = _choose(code, problem)
    if chosen and not (defines(name, prose) and not defines(name, chosen)):
        return chosen, prose + rest, True
    return prose, "".join(block.code for block in code), False


def _choose(code: Sequence[Block], problem: Problem) -> tuple[str, str]:
    """The block that holds the answer, behind the blocks that define names it needs; and the blocks left over.

    A block that defines the answer comes before one that does not, one marked as Python before one marked otherwise, one
    that parses before a broken one, one that does something before a stub (the task repeated); then the first.
    """
    name = entry_name(problem)
    defining = {block.code for block in code if defines(name, block.code)}
    python = [block.code for block in code if block.python]
    usable = [block for block in python if block in defining] or [block for block, _ in code if block in defining] or python
    parsing = [block for block in usable if parse(block)]
    best = [block for block in parsing if not _idle(block, name)] or parsing or usable
    if not best:
        return "", ""
    chosen = best[0]
    missing = names_used(chosen) - names_bound(chosen)
    needed: list[str] = []
    rest: list[str] = []
    for block, _ in code:
        if block is not chosen:
            helps = bool(missing & names_bound(block)) and block not in defining
            (needed if helps else rest).append(block)
    return "\n".join([*needed, chosen]), "".join(rest)


def _idle(code: str, name: str) -> bool:
    """Whether code that parses leaves the answer `name` open, or does nothing at all."""
    tree = parse(code) or ast.Module([], [])
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
    statements = functions[-1].body if functions else tree.body
    empty = (ast.Pass, ast.Raise) if functions else ast.Pass
    return all(
        isinstance(node, empty) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call)) for node in statements
    )


def _indented(text: str, name: str) -> tuple[str, str]:
    """The indented lines (Markdown's other form of code) that define the answer, moved to the edge, and the other lines."""
    found, others = "", []
    for inside, lines in groupby(text.splitlines(keepends=True), key=lambda line: line[0].isspace()):
        part = "".join(lines)
        code = textwrap.dedent(part) if inside and not found else ""
        if defines(name, code) and re.search(r"^(?:async def|def|class) ", code, re.MULTILINE):
            found = code
        else:
            others.append(part)
    return found, "".join(others)


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
