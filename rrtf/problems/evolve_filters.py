"""What makes a rewriting a failure: each rule has a name, is counted and can be switched off.

Evol-Instruct's papers name four failures in prose (no gain, no answer possible, only stop words, leaked prompt words) and leave
the judging of two of them to a model. These rules need no model; experiments/evolve_filters measures them on real pairs.
"""

import ast
import re
from collections.abc import Callable
from typing import NamedTuple

from rrtf.problems.data_settings import Evolve
from rrtf.problems.tree import functions, parse
from rrtf.problems.wording import words


class Rewriting(NamedTuple):
    """A task, what the writer made of it by which method, and whether its answer ended by itself ("stop") or not."""

    task: str
    text: str
    method: str
    finish: str


Rule = Callable[[Rewriting, Evolve], str]


def failure(rewriting: Rewriting, settings: Evolve) -> tuple[str, str]:
    """(rule, what it saw) of the first rule that speaks against a rewriting; ("", "") where none does."""
    for name, rule in RULES.items():
        if settings.rules[name] and (detail := rule(rewriting, settings)):
            return name, detail
    return "", ""


def _empty(rewriting: Rewriting, settings: Evolve) -> str:
    count = len([word for word in words(rewriting.text) if word not in _STOP_WORDS])
    return f"{count} words that say anything" if count < 2 else ""


def _cut(rewriting: Rewriting, settings: Evolve) -> str:
    if rewriting.finish == "length":
        return "the writer ran into its token limit"
    if rewriting.text.count("```") % 2:
        return "an open code fence"
    ending = rewriting.text.rstrip().splitlines()[-1].rstrip()
    last = (words(ending) or [""])[-1]
    if ending.endswith((",", "-", "(")) or (ending[-1:].isalpha() and last in _DANGLING):
        return f"ends with {ending[-30:]!r}"
    return ""


def _leaked(rewriting: Rewriting, settings: Evolve) -> str:
    found = _LEAKS.search(rewriting.text)
    return repr(found[0]) if found and found[0].lower() not in rewriting.task.lower() else ""


def _copy(rewriting: Rewriting, settings: Evolve) -> str:
    before, after = words(rewriting.task), words(rewriting.text)
    if before == after:
        return "the same words"
    one, other = set(zip(before, before[1:], strict=False)), set(zip(after, after[1:], strict=False))
    alike = len(one & other) / max(1, len(one | other))
    return f"{alike:.0%} the same" if alike >= settings.copy else ""


def _too_long(rewriting: Rewriting, settings: Evolve) -> str:
    added = len(words(rewriting.text)) - len(words(rewriting.task))
    return f"{added} words more" if added > settings.most_added_words else ""


def _solved(rewriting: Rewriting, settings: Evolve) -> str:
    """A whole function that the task did not have: the writer solved it (misdirection is meant to add code)."""
    if rewriting.method == "misdirection":
        return ""
    for code in re.findall(r"```\w*\n(.*?)```", rewriting.text, flags=re.DOTALL) or [rewriting.text]:
        for function in functions(parse(code) or ast.Module([], [])):
            if f"def {function.name}" not in rewriting.task and not _is_stub(function):
                return f"def {function.name}"
    return ""


def _unanswerable(rewriting: Rewriting, settings: Evolve) -> str:
    found = _HOPELESS.search(rewriting.text)
    if found and found[0].lower() not in rewriting.task.lower():
        return repr(found[0])
    return "promises something and ends" if rewriting.text.rstrip().endswith(":") and "```" not in rewriting.text else ""


def _off_topic(rewriting: Rewriting, settings: Evolve) -> str:
    """No word of weight is shared: the writer told another task, or about tasks."""
    shared = _stems(rewriting.task) & _stems(rewriting.text)
    return "shares no word with the task" if not shared and _stems(rewriting.task) else ""


def _no_gain(rewriting: Rewriting, settings: Evolve) -> str:
    """Numbers are no news: a list that holds other values asks for the same."""
    new = {word for word in _stems(rewriting.text) - _stems(rewriting.task) if not word.isdigit()}
    return f"new words: {', '.join(sorted(new)) or 'none'}" if len(new) < settings.least_new_words else ""


def _is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Only a docstring, pass or ... in the body: a signature to fill in, which a task may show."""
    return all(
        isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in function.body
    )


def _stems(text: str) -> set[str]:
    """Words of weight without their endings, so that "sorts" and "sorting" are no news after "sort"."""
    return {re.sub(r"(?:ing|ed|es|s|ly)$", "", word)[:8] for word in words(text) if word not in _STOP_WORDS}


_STOP_WORDS = frozenset(
    """a an the and or of to in on at by for from with without as is are be been was were it its this that these those which
    who what if then else than so such not no do does can could should would must may will your you i we they he she there
    here write create make function program code python given using use following task problem solution each all any some
    also""".split()  # noqa: SIM905 - forty words read better so
)
_DANGLING = frozenset({"the", "a", "an", "and", "or", "of", "to", "in", "with", "for", "that", "by", "from", "is", "are"})
_VERSIONS = "(?:version|test|task|prompt|problem|question|instruction)"
_LEAKS = re.compile(
    rf"\b(?:the )?(?:given|original|rewritten|evolved|revised) {_VERSIONS}\b"
    rf"|\b(?:the|this) (?:modified|updated|new|harder) {_VERSIONS}\b"
    rf"|#\s?(?:given|rewritten|new|evolved|correct(?:ed)? solution)\b"
    rf"|\b(?:harder|more difficult|more challenging) {_VERSIONS}\b"
    rf"|\bmake (?:it|the {_VERSIONS}) (?:a bit |more |even )?(?:harder|difficult|challenging)\b"
    r"|\b(?:constraint|requirement)s? (?:has|have|was|were) (?:been )?(?:added|replaced)\b"
    r"|\bI(?:'ve| have) (?:added|changed|modified|rewritten|replaced|made)\b|\bthe requirement of\b.{0,80}\bis replaced\b"
    r"|\bmisdirection\b|\blead the solver astray\b|\btest takers?\b",
    flags=re.IGNORECASE,
)
_HOPELESS = re.compile(
    r"\bI(?:'m| am) sorry\b|\bas an? (?:AI|artificial intelligence|language model)\b|\bI can(?:no|')t\b"
    r"|\b(?:shown|given|displayed|depicted) (?:in|on) the (?:\w+ )?(?:image|picture|figure|diagram|screenshot|photo)\b"
    r"|\b(?:see|refer to) the (?:attached|image|picture|figure|diagram|screenshot)\b|\bthe attached (?:file|image|code)\b"
    r"|[\[<{](?:insert|your|add|fill)\b[^\]>}]{0,60}[\]>}]|\bTBD\b",
    flags=re.IGNORECASE,
)

# each rule with what it throws away; the order is the order of the report
RULES: dict[str, Rule] = {
    "empty": _empty,  # no words, or stop words only
    "cut": _cut,  # ended by the token limit, or in the middle of a sentence or a fence
    "leaked": _leaked,  # words of the writer's prompt, remarks about the change
    "copy": _copy,  # the task itself
    "too_long": _too_long,  # much longer than the task
    "solved": _solved,  # the answer is in it
    "unanswerable": _unanswerable,  # refusals, holes to fill in, material that is not there
    "off_topic": _off_topic,  # another task altogether
    "no_gain": _no_gain,  # nothing new
}
