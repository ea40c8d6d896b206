"""What a problem is told in: its wording and the words of it, the same for all who compare texts."""

import re

from rrtf.records import Problem


def wording(problem: Problem) -> str:
    """The text, or the prompt of a problem that is told there alone."""
    return problem.text or problem.prompt


def words(text: str) -> list[str]:
    """Lower-case words and numbers."""
    return re.findall(r"[^\W_]+", text.lower())
