"""A plan: steps with names, each made once. What a step depends on is its recipe; the recipe's digest names its artifact.

Running a plan again is resuming it: a step whose artifact exists is not run. Two processes never make the same artifact: the
second waits for the first and then finds it made.
"""

import gc
import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rrtf.errors import UserError
from rrtf.memory import give_back
from rrtf.progress import Progress, Report
from rrtf.records import to_row
from rrtf.store import Store, digest


class Stage(str, Enum):
    """The stages in their order; `stages=[…]` says which of them may do work."""

    problems = "problems"
    evolve = "evolve"
    sample = "sample"
    vote = "vote"
    judge = "judge"
    rank = "rank"
    train = "train"
    quantize = "quantize"
    evaluate = "evaluate"
    report = "report"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One artifact to make. `make(path, report)` writes it, whole or not at all.

    Everything it depends on is either in `recipe` (settings, versions, digests of outside files) or an artifact in `needs`.
    """

    stage: Stage
    title: str
    unit: str
    recipe: dict[str, Any]
    make: Callable[[Path, Report], None]
    store: Store
    needs: "tuple[Step, ...]" = ()
    suffix: str = ".jsonl"

    @cached_property
    def key(self) -> str:
        """The digest that names the artifact and stands for it in the keys of later steps."""
        return digest({"stage": self.stage.value, "recipe": self.recipe, "needs": [step.key for step in self.needs]})

    @property
    def path(self) -> Path:
        """Where the artifact is, or will be."""
        return self.store.path(self.stage.value, self.key, self.suffix)

    @property
    def done(self) -> bool:
        """Whether the artifact is there, whole, with what it took to make it, which is written last."""
        return self._meta.exists() and self.path.exists()

    @property
    def seconds(self) -> float:
        """How long making it took, whenever that was."""
        return float(json.loads(self._meta.read_text())["seconds"])

    @property
    def _meta(self) -> Path:
        return self.store.path(self.stage.value, self.key, ".meta.json")

    def run(self, console: Console) -> None:
        """Make the artifact unless another process has done so meanwhile, and note its recipe and the time it took."""
        with self.store.lock(self.stage.value, self.key):
            if self.done:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            start = time.monotonic()
            if not self.path.exists():  # it does where a process was killed before it wrote the rest
                with Progress(self.title, console=console, unit=self.unit) as report:
                    self.make(self.path, report)
                gc.collect()  # a model lives in reference cycles
                give_back()
            meta = {"seconds": round(time.monotonic() - start, 2), "title": self.title, "recipe": to_row(self.recipe)}
            partial = self._meta.with_suffix(".partial")
            partial.write_text(json.dumps(meta, indent=1, default=str))
            partial.replace(self._meta)


def show(steps: Sequence[Step], console: Console, *, stages: Collection[Stage]) -> None:
    """Print the plan: each step, its artifact's key, and whether it will run, is there already, or is left out."""
    table = Table(title="plan", title_justify="left", title_style="bold", box=None, header_style="bold", pad_edge=False)
    # in a narrow window a step's title breaks before the state does
    for column in ("stage", "step", "artifact", "state"):
        table.add_column(column, no_wrap=column != "step")
    for step in steps:
        state = "cached" if step.done else "to do" if step.stage in stages or not stages else "left out"
        table.add_row(step.stage.value, step.title, step.key, state)
    console.print(table)


def execute(steps: Sequence[Step], console: Console, *, stages: Collection[Stage]) -> None:
    """Run the steps of the chosen stages in order, skipping what is made already.

    Raises UserError, before anything runs, when such a step needs one that is neither made nor of a chosen stage.
    """
    chosen = [step for step in steps if step.stage in stages]
    missing = {needed.stage: needed for step in chosen if not step.done for needed in _missing(step, stages)}
    if missing:
        wanted = ",".join(stage.value for stage in Stage if stage in stages or stage in missing)
        titles = ", ".join(step.title for step in missing.values())
        raise UserError(f"not made yet with these settings: {titles}. Let those stages run too: stages=[{wanted}]")
    for step in chosen:
        if step.done:
            console.print(f"  [dim]{step.title}: cached[/dim]", highlight=False)
        else:
            step.run(console)
            console.print(f"  {step.title}: {step.seconds:.1f} s", highlight=False)


def _missing(step: Step, stages: Collection[Stage]) -> list[Step]:
    """What `step` needs, directly or not, that is not there and that no chosen stage makes."""
    found = []
    for needed in step.needs:
        if not needed.done:
            found += [*([] if needed.stage in stages else [needed]), *_missing(needed, stages)]
    return found
