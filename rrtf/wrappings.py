"""Forms that programs are sent in besides fences: sessions, listings, diffs, quotations, markup, JSON, a model's own tokens.

Each is taken off a whole text, line by line or token by token, in time linear in it, and leaves a text without that form alone.
Whether what is left is a program is for the reader to find out.
"""

import html
import json
import re
import textwrap
from collections.abc import Callable, Iterator

_SESSION = re.compile(r"^[ \t]*(?:>>>|\.\.\.+:?|In ?\[\d*\]:)(?: |$)", re.MULTILINE)
_QUOTED = re.compile(r"^ {0,3}>(?!>) ?", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*\d+(?:[.:|)]| +\||(?=[ \t]|$))", re.MULTILINE)
_DIFF_ADDED = re.compile(r"^[+ ](?!\+\+ )", re.MULTILINE)
_DIFF_OTHER = re.compile(r"^(?:@@|-|\+\+\+ |diff |index ).*\n?", re.MULTILINE)
_TAG = re.compile(r"</?(?:pre|code|answer|solution|python|span|p|div|br|response)\b[^<>\n]*>|<!\[CDATA\[|\]\]>", re.IGNORECASE)
_TOKEN = re.compile(r"<[|｜][\w▁ ]{1,40}[|｜]>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")
# a text in JSON or Python, to its end or to where the token limit cut it off
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\Z)', re.DOTALL)
_ESCAPE = re.compile(r"\\([nrt\"'\\])")
_ESCAPED = {"n": "\n", "r": "", "t": "\t"}
# signs of typesetting that no Python has outside of strings
_TYPESET = str.maketrans({"\xa0": " ", "\u3000": " ", **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\xad")})
_QUOTES = str.maketrans({"\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2018": "'", "\u2019": "'"})
_QUOTE_FENCE = re.compile(r"^(?:'{3}|\"{3}|`{1,2})(python3?|py)?[ \t]*$", re.MULTILINE | re.IGNORECASE)


def unwrapped(text: str, name: str) -> Iterator[str]:
    """The text without each of the forms in turn, where that changes it; `name` is the function looked for ("": a script)."""
    for form in FORMS:
        if (bare := form(text)) != text:
            yield bare
    if name and (bare := _apart(text, name)) != text:
        yield bare


def _session(text: str) -> str:
    """What was typed into an interactive session; what it printed stays, and is no code or does nothing."""
    return _SESSION.sub("", text)


def _quotation(text: str) -> str:
    return _QUOTED.sub("", text)


def _listing(text: str) -> str:
    """Lines without their numbers and without what stands between number and code in all of them."""
    bare = [_NUMBERED.sub("", line, count=1) for line in text.split("\n")]
    numbered = [new != old for new, old in zip(bare, text.split("\n"), strict=True)]
    moved = iter(textwrap.dedent("\n".join(line for line, own in zip(bare, numbered, strict=True) if own)).split("\n"))
    return "\n".join(next(moved) if own else line for line, own in zip(bare, numbered, strict=True))


def _diff(text: str) -> str:
    """What a patch adds or leaves; any text without a line that begins with + is none."""
    return _DIFF_ADDED.sub("", _DIFF_OTHER.sub("", text)) if re.search(r"^\+", text, re.MULTILINE) else text


def _markup(text: str) -> str:
    """Text of HTML or XML: tags end lines, and characters are written out."""
    return html.unescape(_TAG.sub("\n", text))


def _special_tokens(text: str) -> str:
    """Tokens of a chat template are no part of a line."""
    return _TOKEN.sub("\n", text)


def _literals(text: str) -> str:
    """The texts in JSON, those of more than one line."""
    found = (_decoded(literal[1]) for literal in _LITERAL.finditer(text) if "\n" in literal[1] or "\\n" in literal[1])
    return "\n".join(one for one in found if "\n" in one) or text


def _decoded(inside: str) -> str:
    try:
        return str(json.loads(f'"{inside}"', strict=False))
    except ValueError:
        return _escaped(inside)


def _escaped(text: str) -> str:
    """Line ends and quotes that are written as a backslash and a letter."""
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), text)


def _typeset(text: str) -> str:
    return text.translate(_TYPESET)


def _typeset_quotes(text: str) -> str:
    return text.translate(_TYPESET).translate(_QUOTES)


def _quote_fences(text: str) -> str:
    """Lines of other quotes where three backticks are meant."""
    return _QUOTE_FENCE.sub(lambda found: "```" + (found[1] or ""), text)


def _apart(text: str, name: str) -> str:
    """A function on a line of its own, without the words (and backticks) on the same line before it."""
    return re.sub(rf"^([^\n]*?[:.!)`] *)`?(def {re.escape(name)}\b[^\n`]*)`?", r"\1\n\2", text, flags=re.MULTILINE)


FORMS: tuple[Callable[[str], str], ...] = (
    _session,
    _special_tokens,
    _markup,
    _typeset,
    _typeset_quotes,
    _listing,
    _diff,
    _quotation,
    _literals,
    _escaped,
    _quote_fences,
)
