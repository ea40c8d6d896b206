"""What happens between steps: logging, validation, resume points, snapshots, and which weights are kept at the end."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from rrtf.training.module import Log, RankingModule, Settings
from rrtf.training.saving import ResumePoints, remove, save_model
from rrtf.training.settings import Best, Precision
from rrtf.training.validation import answers, evaluate

DTYPES = {Precision.fp32: torch.float32, Precision.fp16: torch.float16}


class Keeper:
    """Called by the module after each step; its own state (the best value so far) travels in the resume points."""

    def __init__(
        self,
        settings: Settings,
        *,
        prompts: Sequence[str],
        points: ResumePoints,
        out: Path,
        log: Log,
        shortfall: Mapping[str, float],
        log_text: Callable[[int, dict[str, str]], None] | None,
    ) -> None:
        self.settings = settings
        self.prompts = prompts
        self.points = points
        self.out = out
        self.log = log
        self.shortfall = shortfall
        self.log_text = log_text

    def begin(self, module: RankingModule) -> None:
        """Log, as step 0, what of the data is not trained on, and the student's numbers on the held-out groups: what training
        is measured against."""
        values = evaluate(module, module.held_out) if module.held_out else {}
        if module.global_rank == 0:
            self.log(0, {**self.shortfall, **values})

    def __call__(self, module: RankingModule, step: int, values: dict[str, float]) -> None:
        """One step is done."""
        trainer = self.settings.trainer
        epoch_end = step % (module.total_steps // self.settings.batching.epochs) == 0
        if module.global_rank == 0:
            self.log(step, values)
        if module.held_out and (step % trainer.validate_every == 0 if trainer.validate_every else epoch_end):
            self._validate(module, step)
        if trainer.snapshot_every == -1 and epoch_end:
            epoch = step * self.settings.batching.epochs // module.total_steps
            self._save(module, self.out / "snapshots" / f"epoch-{epoch}")
        elif trainer.snapshot_every > 0 and step % trainer.snapshot_every == 0:
            self._save(module, self.out / "snapshots" / f"step-{step:06d}")
        if step < module.total_steps and (step % trainer.save_every == 0 if trainer.save_every else epoch_end):
            self._point(module, step)

    def _validate(self, module: RankingModule, step: int) -> None:
        values = evaluate(module, module.held_out)
        if module.global_rank == 0:
            self.log(step, values)
        if self.log_text is not None and self.prompts:
            texts = answers(module, self.prompts)
            if module.global_rank == 0:
                self.log_text(step, texts)
        self._keep_best(module, values)

    def _keep_best(self, module: RankingModule, values: dict[str, float]) -> None:
        best = self.settings.trainer.best
        if best is Best.last:
            return
        # groups without a pair have no ordering: then the last weights are kept
        value = values.get(best.value, float("-inf")) if best is Best.validation_ordering else -values[best.value]
        if value > module.carried.get("best", float("-inf")):
            module.carried["best"] = value
            self._save(module, self.out / "best")

    def _save(self, module: RankingModule, path: Path) -> None:
        weights = module.weights()
        if module.global_rank == 0:
            dtype = DTYPES.get(self.settings.trainer.precision, torch.bfloat16)
            save_model(module.scorer.tuned, module.tokenizer, path, weights=weights, dtype=dtype)
        module.trainer.strategy.barrier()

    def _point(self, module: RankingModule, step: int) -> None:
        path = self.points.place(step)
        module.trainer.save_checkpoint(path)
        module.trainer.strategy.barrier()
        if module.global_rank == 0:
            self.points.commit(path)

    def finish(self, module: RankingModule) -> None:
        """Put the weights that `trainer.best` chose at out/model; resume points have done their work."""
        if (self.out / "best").is_dir():
            if module.global_rank == 0:
                (self.out / "best").rename(self.out / "model")
            module.trainer.strategy.barrier()
        else:
            self._save(module, self.out / "model")
        if module.global_rank == 0:
            remove(self.points.folder)
