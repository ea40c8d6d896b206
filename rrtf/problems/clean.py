"""Rule filters on problems: each has a name, is counted and can be switched off.

The paper (section 3.3) cut 100K pairs to 68K by "several manually-defined rules" and gives none of them; these are ours. They
look at the text and, where there is one, at the solution; what can't be checked without running is the judge's business.
"""

import re
import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from rrtf.problems.data_settings import Clean
from rrtf.problems.dropped import Dropped
from rrtf.problems.formats import has_tests
from rrtf.problems.tree import functions, parse
from rrtf.problems.wording import wording, words
from rrtf.records import Problem, TestKind

Rule = Callable[[Problem, Clean], str]


class Cleaned(NamedTuple):
    """What clean kept, what it dropped by the first rule that spoke, and how many problems each rule speaks against."""

    kept: list[Problem]
    dropped: list[Dropped]
    hits: dict[str, int]


def clean(problems: Iterable[Problem], settings: Clean) -> Cleaned:
    """Apply every rule that is on, in the order of RULES; the order of the problems stays."""
    on = {name: rule for name, rule in RULES.items() if settings.rules[name]}
    result = Cleaned([], [], dict.fromkeys(on, 0))
    for problem in problems:
        said = [(name, detail) for name, rule in on.items() if (detail := rule(problem, settings))]
        for name, _ in said:
            result.hits[name] += 1
        if said:
            result.dropped.append(_dropped(problem, *said[0]))
        else:
            result.kept.append(problem)
    return result


def _dropped(problem: Problem, rule: str, detail: str) -> Dropped:
    return Dropped(task_id=problem.task_id, step="clean", rule=rule, detail=detail, text=wording(problem))


def _short_text(problem: Problem, settings: Clean) -> str:
    count = len(words(wording(problem)))
    return f"{count} words" if count < settings.least_words else ""


def _long_text(problem: Problem, settings: Clean) -> str:
    count = len(words(wording(problem)))
    return f"{count} words" if count > settings.most_words else ""


def _not_latin(problem: Problem, settings: Clean) -> str:
    letters = [letter for letter in wording(problem) if letter.isalpha()]
    foreign = sum(ord(letter) > 0x24F for letter in letters)
    return f"{foreign} of {len(letters)} letters" if foreign > settings.most_foreign * len(letters) else ""


def _garbled(problem: Problem, settings: Clean) -> str:
    found = re.search("[\x00-\x08\x0e-\x1f\x7f\ufffd\ud800-\udfff]|â€|Ã©", wording(problem) + problem.reference)
    return repr(found[0]) if found else ""


def _repetitive(problem: Problem, settings: Clean) -> str:
    """zlib's ratio on more than 200 characters: prose gives 0.4 to 0.7, a loop that never stopped far below 0.2."""
    for text in (wording(problem), problem.reference):
        coded = text.encode(errors="replace")
        if len(coded) > 200 and (ratio := len(zlib.compress(coded)) / len(coded)) < settings.least_information:
            return f"compresses to {ratio:.2f}"
    return ""


def _matching(pattern: str) -> Rule:
    compiled = re.compile(pattern, flags=re.IGNORECASE)

    def rule(problem: Problem, settings: Clean) -> str:
        found = compiled.search(wording(problem))
        return repr(found[0]) if found else ""

    return rule


def _other_language(problem: Problem, settings: Clean) -> str:
    """The text names another language and never Python, and the solution, if there is one, is no Python function."""
    text = wording(problem)
    named = re.search(_LANGUAGES, text)
    if not named or re.search(r"\bpython\b", text, flags=re.IGNORECASE):
        return ""
    return "" if _has_function(problem.reference) else repr(named[0])


def _no_python(problem: Problem, settings: Clean) -> str:
    if not problem.reference.strip():
        return ""
    return "" if parse(problem.reference) else f"does not parse: {problem.reference[:60]!r}"


def _no_function(problem: Problem, settings: Clean) -> str:
    if problem.tests.kind is TestKind.stdio or not problem.reference.strip() or parse(problem.reference) is None:
        return ""
    return "" if _has_function(problem.reference) else f"defines no function: {problem.reference[:60]!r}"


def _unfinished(problem: Problem, settings: Clean) -> str:
    found = re.search(_PLACEHOLDERS, problem.reference, flags=re.IGNORECASE)
    return repr(found[0]) if found else ""


def _no_solution(problem: Problem, settings: Clean) -> str:
    return "" if problem.reference.strip() else "the reference is empty"


def _no_tests(problem: Problem, settings: Clean) -> str:
    return "" if has_tests(problem.tests) else "no test of any kind"


def _has_function(program: str) -> bool:
    tree = parse(program)
    return tree is not None and bool(functions(tree))


_LANGUAGES = (
    r"\b(?:Java[Ss]cript|Java|C\+\+|C#|Type[Ss]cript|SQL|MySQL|HTML|CSS|PHP|Ruby|Swift|Kotlin|Golang|Rust|Perl|Scala|Haskell|"
    r"jQuery|React|Bash|[Ss]hell script|VBA|Matlab|MATLAB|Excel|Dart|Lua)(?![\w])"
)
_PLACEHOLDERS = (
    r"#\s*(?:your (?:code|solution)|todo|(?:code|solution|implementation) (?:goes )?here|rest of (?:the )?code)"
    r"|raise NotImplementedError|^\s*\.\.\.\s*$"
)
_MISSING = (
    r"\b(?:shown|given|displayed|depicted) (?:in|on) the (?:\w+ )?(?:image|picture|figure|diagram|screenshot|photo)\b"
    r"|\b(?:see|refer to) the (?:attached|image|picture|figure|diagram|screenshot)\b|\bthe attached (?:file|image|code)\b"
    r"|\b(?:download|fetch|request|visit|open|call)\b.{0,60}(?:https?://|www\.)"
)
_SERVICES = (
    r"\b(?:scrape|chatbot|REST API|GUI|graphical user interface)\b"
    r"|\b(?:build|create|design|develop|make|write)\b.{0,40}\b(?:web ?site|web ?page|web app\w*|mobile app\w*)\b"
)
_REFUSALS = r"\bas an? (?:AI|artificial|language)\b|\bI(?:'m| am) sorry\b|\bI can(?:no|')t (?:provide|fulfil|help|assist)\b"
_LEAKS = (
    r"\bthe (?:given|original) (?:task|prompt)\b|#(?:given|rewritten|new) "
    r"|\b(?:rewritten|evolved) (?:task|prompt|instruction|test|version)\b"
    r"|\bin th(?:is|e) (?:modified|rewritten|revised|updated|evolved) (?:version|test|task|problem)\b"
)

# each rule with what it drops; the order is the order of the report
RULES: dict[str, Rule] = {
    "short_text": _short_text,  # too few words to be a task
    "long_text": _long_text,  # more words than a prompt should have
    "not_latin": _not_latin,  # mostly letters outside the Latin script
    "garbled": _garbled,  # control characters, lone surrogates, text decoded twice
    "repetitive": _repetitive,  # one thing over and over: a writer that never stopped
    "leaked_instruction": _matching(_LEAKS),  # words of the evolution prompt
    "refusal": _matching(_REFUSALS),  # the writer talks about itself
    "missing_material": _matching(_MISSING),  # needs a picture or a page that is not there
    "needs_service": _matching(_SERVICES),  # can't be judged by running a function
    "other_language": _other_language,  # asks for another programming language
    "no_python": _no_python,  # the solution is no Python
    "no_function": _no_function,  # the solution is a script
    "unfinished": _unfinished,  # the solution has a hole
    "no_solution": _no_solution,  # there is none
    "no_tests": _no_tests,  # nothing to judge by
}
