"""Fenced blocks (``` or ~~~) in a response, found in one pass over its lines, as Markdown reads them and as models break it."""

import re
from typing import NamedTuple

_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*(.*)")
_PYTHON = {"", "python", "python3", "py", "py3", "python2", "pycon", "python-repl", "ipython", "code"}
# other words behind a fence that is already open are no language but the text after its end
_OTHER_LANGUAGES = re.compile(
    "bash|sh|shell|zsh|console|cmd|powershell|te?xt|plain(?:text)?|out(?:put)?|json|ya?ml|toml|ini|xml|html|css|sql|java|none"
    r"|javascript|[jt]sx?|typescript|c|cpp|c\+\+|csharp|c#|go(?:lang)?|rust|ruby|php|perl|r|kotlin|swift|scala|haskell|lua"
    "|matlab|markdown|md|latex|tex|diff|makefile|dockerfile|input|stdin|stdout|result"
)
_BEGINS_CODE = re.compile(r"(?:def|class|import|from|async|@\w+)\b.*[\w:)]")
# a mark in quotes is part of a program that reads such marks
_THOUGHT_ENDS = re.compile(
    r"""(?<!["'`])(?:</(?:seed:)?think>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final<\|message\|>)(?!["']|`(?!``))"""
)
_THOUGHT_BEGINS = re.compile(
    r"\s*(?:<(?:seed:)?think>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>)"
)
_THOUGHTS = re.compile(
    r"^[ \t]*<(thinking|thoughts?|reasoning|reflection|scratchpad)>.*?(?:</\1>|(?=<answer>)|\Z)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
# Markdown lets a closing fence stand so many columns further in than the opening one; deeper ones are in a docstring
_FURTHER_IN = 3


class Block(NamedTuple):
    """The inside of one block without the fence's own indentation, whether it may be Python, and the prose right before it."""

    code: str
    python: bool
    lead: str


class _Open(NamedTuple):
    """A fence that waits for its end."""

    mark: str
    indent: int


def blocks(text: str, *, opened: bool) -> tuple[list[Block], str]:
    """The blocks in order, and everything else. `opened`: the text begins inside a block.

    A block the text ends in needs no closing fence. An empty list means that no fence was found (where `opened` is set there
    is always one block).
    """
    found: list[tuple[list[str], bool, str]] = [([], True, "")] if opened else []
    prose: list[str] = []
    inside = _Open("```", 0) if opened else None
    led = quotes = 0
    for line in re.split(r"(?<=\n)", text):
        fence = _FENCE.match(line)
        if fence and not (inside and _content(fence, inside, quoted=quotes % 2 == 1)):
            # words behind a fence that was opened for the answer lead to the fence that the model opens itself
            lead = prose[led:] or (found[-1][0] if inside else [])
            code, python, inside = _turn(fence, inside)
            if python is not None:
                found.append((code, python, "".join(lead)))
            prose.append(line)
            led, quotes = len(prose), 0
        elif inside and not fence and line.rstrip().endswith(inside.mark) and line.count(inside.mark[0] * 3) == 1:
            found[-1][0].append(line.rstrip()[: -len(inside.mark)] + "\n")
            inside = None
        elif inside:
            found[-1][0].append(_moved(line, inside.indent))
            quotes += line.count('"""') + line.count("'''")
        else:
            prose.append(line)
    whole = [Block("".join(lines).lstrip("\ufeff"), python, lead) for lines, python, lead in found]
    return [block for block in whole if block.code.strip()] or ([Block("", True, "")] if opened else []), "".join(prose)


def _content(fence: re.Match[str], inside: _Open, *, quoted: bool) -> bool:
    """Whether a line that looks like a fence is text of the open block: another kind, shorter, or far in (a docstring's, which
    need not be far where a triple quote is open).
    """
    mark, further = fence[2], len(fence[1]) - inside.indent
    return mark[0] != inside.mark[0] or len(mark) < len(inside.mark) or further > (0 if quoted else _FURTHER_IN)


def _turn(fence: re.Match[str], inside: _Open | None) -> tuple[list[str], bool | None, _Open | None]:
    """What a fence does: the lines its own line already holds, whether the block it opens is Python (None: it opens none),
    and the fence that is open behind it. A fence with a language opens a block even inside one.
    """
    mark, rest = fence[2], fence[3].strip()
    word = re.split(r"[\s{]", rest, maxsplit=1)[0].lower()
    if inside and not (rest and (word in _PYTHON or _OTHER_LANGUAGES.fullmatch(word) or _BEGINS_CODE.match(rest))):
        return [], None, None
    one_line, closed, _ = rest.partition(mark)
    begun = one_line if _BEGINS_CODE.match(one_line) else one_line[len(word) :].strip()
    python = word in _PYTHON or word.startswith("python") or bool(_BEGINS_CODE.match(one_line))
    if closed:
        return [begun + "\n"], python, None
    return [begun + "\n"] if _BEGINS_CODE.match(begun) else [], python, _Open(mark, len(fence[1]))


def _moved(line: str, indent: int) -> str:
    """A line without the indentation of its block's fence, as far as it has it."""
    return line[min(indent, len(line) - len(line.lstrip(" \t"))) :] if indent else line


def without_thoughts(text: str) -> tuple[str, str]:
    """What a reasoning model says, and what it thought before: said is "" where the thoughts never came to an end.

    All before a model's own mark of their end is thought, since many chat templates write the beginning themselves; thoughts in
    tags that a prompt asked for are taken out one by one.
    """
    ends = [mark.end() for mark in _THOUGHT_ENDS.finditer(text)]
    begun = not ends and bool(_THOUGHT_BEGINS.match(text))
    place = len(text) if begun else ends[-1] if ends else 0
    said = _THOUGHTS.sub("", text[place:])
    return said, text[:place] + "".join(mark[0] for mark in _THOUGHTS.finditer(text, place))
