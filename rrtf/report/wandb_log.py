"""Weights & Biases: one run a pipeline run, online or offline, also for many runs in one process.

This is the only importer of wandb, and it is imported only where the mode is not disabled.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from wandb.errors import Error

from rrtf.errors import UserError
from rrtf.records import Judged
from rrtf.report.provenance import commit
from rrtf.report.redact import redact
from rrtf.report.rows import RunRow, flat, run_title
from rrtf.report.settings import Logger, WandbMode

LONGEST = 4000
LONGEST_NAME, LONGEST_VALUE = 128, 24
COLUMNS = ("task", "source", "role", "sample", "temperature", "outcome", "passed", "total", "program", "detail")


class WandbRun:
    """A W&B run: `log(step, numbers)` while it goes on, `finish(row)` at its end.

    `identity` stands for the run: the same one continues the same W&B run, so a killed run started again is one run, not two.
    """

    def __init__(
        self,
        settings: Logger,
        *,
        experiment: str,
        overrides: Sequence[str],
        config: Mapping[str, Any],
        identity: str,
        folder: Path,
        job_type: str = "train",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        online, code = settings.mode is WandbMode.online, commit()
        self.samples = settings.samples
        try:
            self.run = wandb.init(
                project=settings.project,
                entity=settings.entity or None,
                id=identity,
                group=experiment,
                name=run_name(experiment, overrides),
                job_type=job_type,
                config=redact({**config, "overrides": list(overrides), "commit": code.commit, "dirty": code.dirty}),
                dir=str(folder),
                mode="online" if online else "offline",
                resume="allow" if online else None,
                reinit="create_new",
                settings=_settings(),
            )
        except Error as error:
            raise UserError(
                f"W&B could not start the run: {error}. Set WANDB_API_KEY, or log now and send later: logger.mode=offline"
            ) from None
        self.run.define_metric("train/step", hidden=True)
        self.run.define_metric("*", step_metric="train/step")

    @property
    def folder(self) -> Path:
        """Where the run's own files are; `wandb sync FOLDER` sends an offline one."""
        return Path(self.run.settings.sync_dir)

    def __call__(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of one training step. The step is a number like the others, so a resumed run may repeat one."""
        self.run.log({"train/step": step, **numbers})

    def answers(self, step: int, texts: Mapping[str, str]) -> None:
        """Log a table of prompts and the model's answers to them at this step."""
        rows = [[step, _clean(prompt), _clean(answer)] for prompt, answer in texts.items()]
        table = wandb.Table(columns=["step", "prompt", "answer"], data=rows)
        self.run.log({"train/step": step, "validation/answers": table})

    def finish(
        self, row: RunRow, *, judged: Mapping[str, Iterable[Judged]] | None = None, pictures: Mapping[str, Path] | None = None
    ) -> None:
        """Add what is known only now, candidates to look at and pictures, and close the run."""
        self.run.config.update(redact(_facts(row)), allow_val_change=True)
        tables = {f"candidates/{name}": candidate_table(rows, most=self.samples) for name, rows in (judged or {}).items()}
        images = {f"pictures/{name}": wandb.Image(str(path)) for name, path in (pictures or {}).items()}
        if self.samples and (tables or images):
            self.run.log({**tables, **images})
        self.run.summary.update(flat(row))
        self.run.finish()

    def fail(self) -> None:
        """Close the run as failed; the same identity goes on from here."""
        self.run.finish(exit_code=1)


def run_name(experiment: str, overrides: Sequence[str]) -> str:
    """What tells this run from the others of its group, else the experiment. W&B takes 128 characters, so of long values,
    which are paths that all runs share, the end is kept."""
    shown = [_shortened(text) for text in redact(list(overrides))]
    name = run_title(experiment, shown).removeprefix(experiment).strip() or experiment
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def _shortened(override: str) -> str:
    name, sign, value = override.partition("=")
    return override if len(value) <= LONGEST_VALUE else f"{name}{sign}…{value[1 - LONGEST_VALUE :]}"


def candidate_table(rows: Iterable[Judged], *, most: int) -> wandb.Table:
    """Up to `most` candidates of each source, spread evenly over the problems."""
    sources: dict[str, list[Judged]] = {}
    for row in rows:
        sources.setdefault(row.candidate.source, []).append(row)
    picked = [row for listed in sources.values() for row in listed[:: max(1, -(-len(listed) // max(most, 1)))]]
    return wandb.Table(columns=list(COLUMNS), data=[_cells(row) for row in picked])


def _cells(row: Judged) -> list[Any]:
    candidate, verdict = row.candidate, row.verdict
    known = [candidate.task_id, candidate.source, candidate.role.value, candidate.sample, candidate.temperature]
    return [*known, verdict.outcome.value, verdict.passed, verdict.total, _clean(candidate.program), _clean(verdict.detail)]


def _clean(text: str) -> str:
    """Text that any encoder takes: programs may hold lone surrogates."""
    return text[:LONGEST].encode("utf-8", "replace").decode()


def _facts(row: RunRow) -> dict[str, Any]:
    return {
        "commit": row.commit,
        "dirty": row.dirty,
        "digests": row.digests,
        "versions": row.versions,
        "hardware": row.hardware,
    }


def _settings() -> wandb.Settings:
    """No git remote, command line, host or user name in the files: they may hold secrets, and the row has the facts."""
    return wandb.Settings(
        silent=True, console="off", disable_git=True, disable_code=True, x_disable_meta=True, x_disable_machine_info=True
    )
