"""What makes two judgements the same: program, tests, limits, the judge's version and the interpreter with its packages."""

import functools
import hashlib
import os
import sys
from collections import OrderedDict
from typing import Any

from rrtf.judge.settings import Judge
from rrtf.records import Problem, to_row
from rrtf.store import digest

JUDGE_VERSION = "13"
REMEMBERED = 2048  # problems whose digest is kept
# packages that programs import, by the names of their distributions: another version may give another verdict
PACKAGES = ("numpy", "pandas", "scipy", "sympy", "networkx", "scikit_learn", "torch")


class Keys:
    """The keys of one `judge` call."""

    def __init__(self, settings: Judge) -> None:
        s = settings
        limits = [s.time_limit, s.reference_factor, s.memory_mb, s.output_mb, s.processes, s.early_exit]
        self._circumstances = "\0".join([JUDGE_VERSION, interpreter(), repr(limits)])
        self._problems: OrderedDict[int, tuple[Problem, str]] = OrderedDict()

    def tests(self, problem: Problem) -> str:
        """Stands for everything of a problem that its verdicts depend on."""
        if id(problem) not in self._problems:
            parts: list[Any] = [to_row(problem.tests), problem.entry_point, problem.prompt, problem.reference]
            self._problems[id(problem)] = (problem, digest([*parts, problem.signature, problem.split]))
            if len(self._problems) > REMEMBERED:
                self._problems.popitem(last=False)
        return self._problems[id(problem)][1]

    def program(self, tests: str, program: str) -> str:
        """Stands for one verdict."""
        text = "\0".join([tests, self._circumstances, program])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@functools.cache
def interpreter() -> str:
    """This Python and the packages of it that programs use, with their versions."""
    found = []
    for folder in filter(os.path.isdir, sys.path):  # noqa: PTH112
        for name in os.listdir(folder):  # noqa: PTH208
            if name.endswith(".dist-info") and name.lower().startswith(tuple(f"{package}-" for package in PACKAGES)):
                found.append(name)
    return "\0".join([sys.version, *sorted(found)])
