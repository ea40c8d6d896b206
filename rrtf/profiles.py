"""What a model is shown for a problem, one profile per model family, and what it would have to write. Pure text.

A change of any wording raises VERSION: it is part of every sample's key and lands in every row.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from rrtf.records import Problem, TestKind

VERSION = "1"


class Style(str, Enum):
    """The family of a prompt."""

    paper = "paper"  # section 4.1.5: """docstring""" and then the signature, which the model continues
    starcoder = "starcoder"  # section 4.1.5: the signature, then the docstring in it; a plain completion
    wizardcoder = "wizardcoder"  # section 4.1.5: an Alpaca instruction around the same code
    chat = "chat"  # the model's own chat template
    verbatim = "verbatim"  # the text itself as the user's message: what evolve and test_votes ask their writers
    plain = "plain"  # what the data set itself publishes: HumanEval's prompt as it is, MBPP's text and test


class Opening(str, Enum):
    """How far a chat model's answer is begun for it."""

    nothing = "nothing"
    fence = "fence"
    signature = "signature"


@dataclass(kw_only=True)
class Profile:
    """A prompt family with the choices the paper leaves open."""

    # not in the paper for a chat student; PanGu-Coder2 itself is style=paper
    style: Style = Style.chat
    # style=paper: line breaks inside the quotes. The paper's conversion lost them; with breaks is how Python is written
    line_breaks: bool = True
    # style=chat: what the answer is begun with. Not in the paper; an opened ```python fence keeps small models from prose
    opening: Opening = Opening.fence
    # style=chat: a system message; empty leaves it to the model's own template
    system: str = ""

    @property
    def label(self) -> str:
        """How rows name the profile: family, choices that differ from the defaults, version."""
        choices = [] if self.line_breaks or self.style is not Style.paper else ["inline"]
        if self.style is Style.chat:
            choices += [self.opening.value] if self.opening is not Opening.fence else []
            choices += ["system"] if self.system else []
        return "-".join([self.style.value, *choices, f"v{VERSION}"])


class Message(NamedTuple):
    """One turn of a chat."""

    role: str
    content: str


class Prompt(NamedTuple):
    """Plain `text`, or chat `messages` for the model's own template; `prefill` begins the answer."""

    text: str
    messages: tuple[Message, ...]
    prefill: str


def render(problem: Problem, profile: Profile, *, examples: Sequence[Problem] = ()) -> Prompt:
    """The prompt of `problem`. `examples` are solved problems shown first (style=plain: MBPP's few-shot form)."""
    if profile.style is Style.chat:
        system = (Message("system", profile.system),) if profile.system else ()
        return Prompt("", (*system, Message("user", instruction(problem))), _prefill(problem, profile))
    if profile.style is Style.verbatim:
        system = (Message("system", profile.system),) if profile.system else ()
        return Prompt("", (*system, Message("user", problem.text)), "")
    if profile.style is Style.paper:
        gap = "\n" if profile.line_breaks else ""
        return Prompt(f'"""{gap}{_quotable(wording(problem))}{gap}"""\n{skeleton(problem)}', (), "")
    if profile.style is Style.wizardcoder:
        return Prompt(_alpaca(problem), (), "")
    if profile.style is Style.plain:
        return Prompt(_plain(problem, examples), (), "")
    return Prompt(documented(problem), (), "")


def continued(problem: Problem, profile: Profile) -> str:
    """The code that an answer under this profile continues; "" where the answer is a program of its own."""
    if profile.style is Style.paper:
        return skeleton(problem)
    as_code = profile.style is Style.chat and profile.opening is Opening.signature
    if as_code or profile.style in (Style.starcoder, Style.plain):
        return documented(problem) if (problem.signature or problem.prompt) and not _is_mbpp(problem) else ""
    return ""


def stops(problem: Problem, profile: Profile) -> tuple[str, ...]:
    """Texts that end an answer under this profile (they are no part of it)."""
    if profile.style is Style.verbatim:
        return ()
    if profile.style is Style.chat:
        return () if profile.opening is Opening.nothing else ("```",)
    if profile.style is Style.wizardcoder:
        return ("\n### Instruction",)
    if profile.style is Style.plain and _is_mbpp(problem):
        return ("[DONE]", "\nassert", '\n"""', "\n```")
    if continued(problem, profile):  # the Codex paper's stop words for a function, and the fence of chat-tuned models
        return ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\nassert", "\n@", '\n"""', "\n```")
    return ("\n```",)


def wording(problem: Problem) -> str:
    """The task in words, with MBPP's first test, which alone says what the function is called."""
    return f"{problem.text}\n{problem.tests.asserts[0]}" if _is_mbpp(problem) and problem.tests.asserts else problem.text


def skeleton(problem: Problem) -> str:
    """The code given without its docstring: imports and helpers, then the `def` (or `class Solution`) line."""
    if not problem.signature or _is_mbpp(problem):
        return ""
    return given_above(problem) + problem.signature.rstrip()


def documented(problem: Problem) -> str:
    """The code given with the wording as docstring; HumanEval's and CoderEval's prompts are that already."""
    if problem.prompt and problem.prompt.rstrip().endswith(('"""', "'''")) and not _is_mbpp(problem):
        return problem.prompt
    if not (code := skeleton(problem)):
        return f'"""\n{_quotable(wording(problem))}\n"""\n'
    last = code.split("\n")[-1]
    indent = " " * (len(last) - len(last.lstrip()) + 4)
    docstring = textwrap.indent(f'"""{_quotable(problem.text)}', indent)
    return f'{code}\n{docstring}\n{indent}"""\n'


def instruction(problem: Problem) -> str:
    """The task as a request to a chat model."""
    if problem.tests.kind is TestKind.stdio:
        return f"Write a Python program that reads standard input and prints the answer.\n\n{problem.text}"
    if _is_mbpp(problem):
        return f"{problem.text}\nYour code should pass this test:\n```python\n{problem.tests.asserts[0]}\n```"
    if problem.prompt and documented(problem) == problem.prompt:
        return f"Complete the following Python function:\n```python\n{problem.prompt.rstrip()}\n```"
    if code := skeleton(problem):
        return f"{problem.text}\n\nComplete the following Python code:\n```python\n{code}\n```"
    named = f"\nName the function `{problem.entry_point}`." if problem.entry_point else ""
    return f"Write a Python function for this task.\n\n{problem.text}{named}"


def _is_mbpp(problem: Problem) -> bool:
    """MBPP's rows have no signature of their own: the data set shows a test instead."""
    return problem.task_id.split("/")[0].lower() == "mbpp"


def given_above(problem: Problem) -> str:
    """The imports and helpers above the signature in the problem's own prompt."""
    place = problem.prompt.find(problem.signature.strip("\n"))
    return problem.prompt[:place].lstrip("\n") if place > 0 else ""


def _quotable(text: str) -> str:
    """`text` as the inside of a triple-quoted string, which becomes part of a program that must parse."""
    safe = text.replace("\\", "\\\\").replace('"""', "'''")
    return safe + " " if safe.endswith('"') else safe


def _prefill(problem: Problem, profile: Profile) -> str:
    if profile.opening is Opening.nothing:
        return ""
    return "```python\n" + (continued(problem, profile) if profile.opening is Opening.signature else "")


def _alpaca(problem: Problem) -> str:
    task = documented(problem).rstrip()
    return (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        f"### Instruction:\nCreate a Python Script for this problem:\n{task}\n\n### Response:"
    )


def _plain(problem: Problem, examples: Sequence[Problem]) -> str:
    """HumanEval's prompt as it is; MBPP's few-shot form with examples, its docstring form (text, first test) without."""
    if not examples:
        return documented(problem)
    shown = [_task(example) + f"{example.reference.strip()}\n[DONE]\n" for example in examples]
    return "\n".join([*shown, _task(problem)])


def _task(problem: Problem) -> str:
    tests = "\n".join(problem.tests.asserts)
    asked = f"You are an expert Python programmer, and here is your task: {problem.text} Your code should pass these tests:"
    return f"{asked}\n\n{tests}\n[BEGIN]\n"
