"""What the writer of Evol-Instruct is asked, and how its answer is read. All wording is this project's own.

The frame has the parts of the paper's Figure 2: the writer designs programming contests, makes a given task a bit harder by one
method, and the result must be answerable by people, solvable with code, independent of the given task, of similar length and
solved by one function; code, tables and input of the given task are kept, and the words for the two tasks must not appear.
"""

import hashlib
import re

from rrtf.fences import without_thoughts
from rrtf.problems.data_settings import Evolve
from rrtf.records import Problem, TestKind, Tests

# raise when any wording changes: it is part of every prompt, so answers are asked for anew by themselves
METHODS = {
    "constraints": "add one more requirement or restriction, in about ten extra words",
    "specific": "take one everyday requirement in it and put a rarer, more particular one in its place",
    "steps": "if it falls to a few obvious steps, change it so that solving it takes more steps of reasoning",
    "misdirection": "add a short piece of code that contains a mistake, offered as a reference, to lead the solver astray",
    "complexity": "ask for a better time or memory complexity than the obvious solution has",
}

_FRAME = """You design tasks for programming contests. Below is a task. Make it a bit harder by this one change: {change}.

What you write must
- make sense to people, be answerable by them, and be solvable with code alone;
- stand by itself, for a reader who never sees the task below;
- keep any code, table or input that the task below contains;
- be about as long as the task below;
- be solved by writing one Python function{name}.

Write only the harder task: no heading, no solution, no remark about the change, and neither the words "given task" nor
"rewritten task".

The task:
{task}"""


def request(problem: Problem, method: str, *, round: int) -> Problem:
    """What the writer is asked, as a problem of its own whose text is the whole message."""
    name = f" called `{problem.entry_point}`" if problem.entry_point else ""
    text = _FRAME.format(change=METHODS[method], name=name, task=problem.text.strip())
    return Problem(task_id=f"{problem.task_id}~{round}{method}", text=text, tests=Tests(kind=TestKind.asserts))


def choose(problem: Problem, settings: Evolve, *, round: int) -> str:
    """The method for one task in one round: drawn by weight, from the task's id, the round and the seed alone."""
    coded = f"{settings.seed}|{round}|{problem.task_id}".encode()
    point = int.from_bytes(hashlib.sha256(coded).digest()[:8], "big") / 2**64 * sum(settings.methods.values())
    for method, weight in settings.methods.items():
        point -= weight
        if point < 0:
            return method
    return max(settings.methods, key=lambda method: settings.methods[method])


def rewritten(response: str) -> str:
    """The task in a writer's answer: without thoughts, heading ("Rewritten task:"), greeting, quotes or fence around it."""
    text = without_thoughts(response)[0].strip()
    text = re.sub(r"\A(?:sure|certainly|of course|okay|here is|here's)\b[^\n]{0,120}[:!.]\s*\n+", "", text, flags=re.IGNORECASE)
    text = re.sub(
        r"\A[#*\s]*(?:the )?(?:(?:harder|rewritten|new|evolved|modified) )?(?:task|prompt|problem)[#*\s]*:[*#]*\s*",
        "",
        text,
        flags=re.IGNORECASE,
    )
    fenced = re.fullmatch(r"```\w*\n(.*?)\n?```", text, flags=re.DOTALL)
    text = fenced[1].strip() if fenced else text
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1] else text
