"""Fenced blocks (``` or ~~~) in a response, found in one pass over its lines."""

import re

_FENCE = re.compile(r"[ \t]*(```+|~~~+)[ \t]*([\w+#.-]*)")
_PYTHON = {"", "python", "python3", "py", "python2", "pycon", "ipython", "code"}


def blocks(text: str, *, opened: bool) -> tuple[list[str], str]:
    """The blocks that may hold Python, in order, and everything else. `opened`: the text begins inside a block.

    A block the text ends in needs no closing fence. Blocks marked as another language are prose. An empty list means that
    no fence was found (where `opened` is set there is always one block).
    """
    found: list[list[str]] = [[]] if opened else []
    prose: list[str] = []
    inside, python = opened, True
    for line in text.splitlines(keepends=True) if "\x0c" not in text else text.split("\n"):
        fence = _FENCE.match(line)
        if fence:
            inside = not inside or bool(fence[2])  # a fence with a language opens a block even inside one
            python = fence[2].lower() in _PYTHON
            if inside and python:
                found.append([])
        elif inside and python and line.rstrip().endswith("```"):
            found[-1].append(line.rstrip()[:-3] + "\n")
            inside = False
        else:
            (found[-1] if inside and python else prose).append(line)
    return [block for block in ("".join(lines) for lines in found) if block.strip()] or ([""] if opened else []), "".join(prose)
