"""Where a run's numbers go while it runs: always metrics.jsonl, and W&B unless it is disabled."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rrtf.records import Judged
from rrtf.report.metrics import Metrics, read_answers, read_steps
from rrtf.report.rows import RunRow, flat
from rrtf.report.settings import Logger, WandbMode


class RunLogs:
    """A run's logs. A context manager: call it with each training step's numbers, end it with `finish`.

    The arguments are those of `wandb_log.WandbRun`; wandb is imported only where its mode is not disabled.
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
        self.metrics = Metrics(folder / "metrics.jsonl")
        self.known: set[tuple[object, ...]] = {(step, *numbers) for step, numbers in self._steps()}
        self.known |= {(step, *texts) for step, texts in self._answers()}
        self.last = 0
        self.open = True
        self.wandb = None
        if settings.mode is not WandbMode.disabled:
            from rrtf.report.wandb_log import WandbRun  # a second to import, for those who want it

            self.wandb = WandbRun(
                settings,
                experiment=experiment,
                overrides=overrides,
                config=config,
                identity=identity,
                folder=folder,
                job_type=job_type,
            )
            if settings.mode is WandbMode.offline:
                # an offline W&B file is written in blocks of 32 KiB, and a kill -9 loses what came after the last full one
                for step, numbers in self._steps():
                    self.wandb(step, numbers)
                for step, texts in self._answers():
                    self.wandb.answers(step, texts)

    def __call__(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log one training step."""
        self.last = step
        self.metrics(step, numbers)
        if self.wandb:
            self.wandb(step, numbers)

    def answers(self, step: int, texts: Mapping[str, str]) -> None:
        """Log what the model under training answers to some held-out prompts."""
        self.metrics.answers(step, texts)
        if self.wandb:
            self.wandb.answers(step, texts)

    def take(self, path: Path, before: int = 0) -> None:
        """Log what an earlier process's training wrote to its metrics.jsonl, less what this run's own file held at the start.

        `before` steps came before the first of them: those of earlier rounds.
        """
        for step, numbers in read_steps(path):
            if (before + step, *numbers) not in self.known:
                self(before + step, numbers)
        for step, texts in read_answers(path):
            if (before + step, *texts) not in self.known:
                self.answers(before + step, texts)

    def _steps(self) -> list[tuple[int, dict[str, float]]]:
        return read_steps(self.metrics.path)

    def _answers(self) -> list[tuple[int, dict[str, str]]]:
        return read_answers(self.metrics.path)

    def finish(
        self, row: RunRow, *, judged: Mapping[str, Iterable[Judged]] | None = None, pictures: Mapping[str, Path] | None = None
    ) -> None:
        """Log the run's results and close it: the same numbers as the last line of metrics.jsonl and as W&B's summary."""
        self.metrics(self.last, flat(row))
        if self.wandb:
            self.wandb.finish(row, judged=judged, pictures=pictures)
        self.open = False

    def __enter__(self) -> "RunLogs":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """A run that ends without `finish` is closed as failed: W&B does not show it running, and its id is free again."""
        if self.open and self.wandb:
            self.wandb.fail()
        self.open = False
