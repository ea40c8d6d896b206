"""Say a task in other words without touching what it asks: phrases with an exact equivalent, outside quotes and code."""

import re

# what follows a "return" that asks for a result; "the return button" is something else
_RESULT = r"(?=(?:the|an?|how|all|whether|in|for|which|at|only|both|it|its|their|None|True|False|-?\d)\b|-\d)"
# each pair says the same, of numbers and of things; the longer phrase first where one holds another
PHRASES = (
    (rf"Return {_RESULT}", "Give back "),
    (rf"return {_RESULT}", "give back "),
    (r"Compute ", "Work out "),
    (r"Count (?=the\b)", "Find the number of "),
    (r"at least\b", "no less than"),
    (r"at most\b", "no more than"),
    (r"each of\b", "every one of"),
    (r"greater than\b", "larger than"),
    (r"exactly\b", "precisely"),
    (r"otherwise\b", "in every other case"),
    (r"Otherwise\b", "In every other case"),
    (r"does not\b", "doesn't"),
    (r"do not\b", "don't"),
    (r"is not\b", "isn't"),
    (r"are not\b", "aren't"),
    (r"may be\b", "can be"),
    (r"for example\b", "for instance"),
    (r"For example\b", "For instance"),
    (r"contains\b", "holds"),
    (r"an empty list\b", "a list without elements"),
    (r"an empty string\b", "a string without characters"),
    (r"keeps\b", "retains"),
    (r"once more\b", "again"),
)
OPENING = "Here is what your Python function has to do."
# quoted texts, code in backticks and calls are values, not words
_VALUES = re.compile(r"""('[^'\n]*'|"[^"\n]*"|`[^`\n]*`|\w+\([^)\n]*\))""")


def reword(text: str) -> str:
    """The text in other words. Every text changes: it gains an opening sentence."""
    parts = _VALUES.split(text)
    words = [part if index % 2 else _phrases(part) for index, part in enumerate(parts)]
    return f"{OPENING}\n\n{''.join(words)}"


def _phrases(words: str) -> str:
    for old, new in PHRASES:
        words = re.sub(rf"(?<!\w){old}", new, words)
    return words
