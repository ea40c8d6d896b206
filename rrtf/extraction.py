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

from rrtf.fences import Block, blocks, without_thoughts
from rrtf.profiles import Opening, Profile, Style, continued, given_above, skeleton
from rrtf.records import Problem
from rrtf.statements import split, whole_program
from rrtf.syntax import complete, defines, entry_name, names_bound, names_used, own_nodes, parse
from rrtf.wrappings import unwrapped

# raise when the same response would give another program
EXTRACTION_VERSION = "3"

# No program of the benchmarks comes near it; a hundred thousand characters are parsed in under a second
MOST_CHARACTERS = 100_000
# and none that is wrapped in something comes near this: every form costs another reading
MOST_WRAPPED = 20_000

# how models announce a block that is not their answer, and one that replaces what they wrote before
_SKETCH = re.compile(r"\b(?:sketch|draft|skeleton|outline|pseudo-?code|template|starter)\b", re.IGNORECASE)
_CORRECTION = re.compile(
    r"\b(?:correct(?:ed|ion|ly)?|fix(?:ed|es|ing)?|final(?:ly)?|revis(?:ed|ion)|mistakes?|wrong|incorrect|bugs?|oops|fails?"
    r"|wait|apologi[sz]e|sorry|full|complete)\b|修正|最终|更正|错误",
    re.IGNORECASE,
)

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
    problem's own prompt gives are put before a program that lacks them. Where a text as it is gives no program that can be
    read, it is read again out of the other forms that rrtf.wrappings knows.
    """
    text = _SURROGATES.sub("\ufffd", response.replace("\r\n", "\n").replace("\r", "\n"))
    text = re.sub(r"^\x0c+", "", text, flags=re.MULTILINE)  # nothing to Python, but white space to all that looks for edges
    answer, thoughts = without_thoughts(text)
    kept, beyond = answer[:MOST_CHARACTERS].lstrip("\ufeff"), answer[MOST_CHARACTERS:]
    if not kept.strip():
        return Extraction("", text, "empty")
    found = _readable(kept, problem, profile)
    return found._replace(removed=thoughts + found.removed + beyond)


def _readable(text: str, problem: Problem, profile: Profile) -> Extraction:
    """The program in a text as it is; where that is none, in the text out of whatever else it is wrapped in."""
    found, name = _found(text, problem, profile), entry_name(problem)
    if _answers(found.program, name) or len(text) > MOST_WRAPPED:
        return found
    for bare in unwrapped(text, name):
        if name and not defines(name, bare):
            continue
        other = _found(bare, problem, profile)
        if _answers(other.program, name):
            return other
    return found


def _answers(program: str, name: str) -> bool:
    """Whether a program can be read and defines the answer `name` (a script: does anything)."""
    return complete(program) and (defines(name, program) if name else not _idle(program, name))


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
            return body._replace(removed=rest + body.removed)
        elif not fenced and not _is_code(program):
            return Extraction("", text, "none")
    if not program.strip():
        return Extraction("", text, "none")
    return Extraction(_with_given(program, problem), rest + removed, "fenced" if fenced else "plain")


def _continuation(given: str, text: str, problem: Problem) -> Extraction:
    """Given code and what the model wrote behind it, up to a fence, or in one if what stands before it is no code."""
    code, prose = blocks(text, opened=True)
    fenced, around = blocks(text, opened=False)
    readings = [(code[0].code, prose + _text(code[1:]))] + [(block.code, around + _text(fenced[1:])) for block in fenced[:1]]
    for body, rest in readings:
        for joint in ("", "\n"):
            program, removed = split(given + joint + body, problem)
            if complete(program) and not _idle(program, entry_name(problem)):
                return Extraction(program, removed + rest, "continued")
        if inside := _as_body(body, problem):
            return inside._replace(removed=inside.removed + rest)
    program, removed = split(given + code[0].code, problem)
    return Extraction(program, removed + prose + _text(code[1:]), "continued")


def _chosen(text: str, problem: Problem, *, opened: bool) -> tuple[str, str, bool]:
    """The part of a text that holds the answer, the rest, and whether it is fenced code."""
    name = entry_name(problem)
    code, prose = blocks(text, opened=opened)
    if opened and not any(defines(name, block.code) for block in code):
        again = blocks(text, opened=False)  # it wrote a whole message of its own behind the fence that was opened for it
        better = not parse(code[0].code) and any(parse(textwrap.dedent(block.code)) for block in again[0])
        code, prose = again if better or any(defines(name, block.code) for block in again[0]) else (code, prose)
    chosen, rest = _choose(code, problem)
    if chosen and not (defines(name, prose) and not defines(name, chosen)):
        return chosen, prose + rest, True
    return prose, _text(code), False


def _choose(code: Sequence[Block], problem: Problem) -> tuple[str, str]:
    """The block that holds the answer, behind the blocks that define names it needs; and the blocks left over.

    A block that defines the answer comes before one that does not, one marked as Python before one marked otherwise, one
    that parses before a broken one, one that does something before a stub (the task repeated), one that is not called a
    sketch before one that is, the last that is called a correction before all others; then the first.
    """
    name = entry_name(problem)
    defining = [block for block in code if defines(name, block.code)]
    python = [block for block in code if block.python]
    usable = [block for block in defining if block.python] or defining or python
    parsing = [block for block in usable if parse(block.code)]
    best = [block for block in parsing if not _idle(block.code, name)] or parsing or usable
    if not best:
        return "", ""
    meant = [block for block in best if not _SKETCH.search(block.lead)] or best
    chosen = next((block for block in reversed(meant[1:]) if _CORRECTION.search(block.lead)), meant[0])
    missing = names_used(chosen.code) - names_bound(chosen.code)
    needed: list[str] = []
    rest: list[str] = []
    for block in code:
        if block is not chosen:
            helps = bool(missing & names_bound(block.code)) and not defines(name, block.code)
            (needed if helps else rest).append(block.code)
    return "\n".join([*needed, chosen.code]), "".join(rest)


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


def _as_body(text: str, problem: Problem) -> Extraction | None:
    """The function with `text` as its inside: as written, up to where it leaves the function, with its first line moved in,
    and moved in whole. None where no reading gives a function that returns something.
    """
    header = skeleton(problem)
    if not header:
        return None
    last = header.split("\n")[-1]
    indent = " " * (len(last) - len(last.lstrip()) + 4)
    trimmed = text.strip("\n")
    inside, *after = re.split(r"\n(?=\S)", trimmed, maxsplit=1) if trimmed[:1].isspace() else [trimmed]
    moved = [indent + inside.lstrip(), textwrap.indent(textwrap.dedent(inside), indent)]
    for body, rest in [("\n".join([inside, *after]), []), *((body, after) for body in (inside, *moved))]:
        program, removed = split(f"{header}\n{body}\n", problem)
        if complete(program) and _returns(program, entry_name(problem)):
            return Extraction(program, removed + "".join(rest), "body")
    return None


def _returns(program: str, name: str) -> bool:
    """Whether the function `name` itself, and not one inside it, returns or yields something."""
    found = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.FunctionDef) and node.name == name]
    return any(isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom)) for node in own_nodes(found[-1].body if found else []))


def _text(code: Sequence[Block]) -> str:
    return "".join(block.code for block in code)


def _with_given(program: str, problem: Problem) -> str:
    """`program` behind the imports and helpers of the problem's own prompt, unless it has them."""
    above = given_above(problem)
    missing = names_bound(above) - names_bound(program)
    if not above.strip() or above.strip() in program or "__future__" in program:
        return program
    return f"{above.rstrip()}\n\n\n{program}" if missing or "*" in above else program
