"""Groups and a checkpoint in, a trained checkpoint out."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from rrtf.errors import ConfigurationError
from rrtf.loading import load_tokenizer
from rrtf.records import Group
from rrtf.training.batches import encode, shortfall
from rrtf.training.models import check_window, load_model, unavailable
from rrtf.training.module import Log, RankingModule, Settings
from rrtf.training.progress import Keeper
from rrtf.training.quiet import keep_freed_memory, quiet
from rrtf.training.saving import ResumePoints, remove, room_for
from rrtf.training.settings import Accelerator, Adapter, Batching, Loss, Optim, StrategyName, Trainer
from rrtf.training.strategies import lightning_trainer, shard


def fit(
    groups: Sequence[Group],
    checkpoint: Path,
    *,
    validation: Sequence[Group],
    loss: Loss,
    adapter: Adapter,
    optim: Optim,
    trainer: Trainer,
    batching: Batching,
    seed: int,
    out: Path,
    log: Log,
    log_text: Callable[[int, dict[str, str]], None] | None = None,
) -> Path:
    """Train `checkpoint` on `groups`; returns a Hugging Face folder (full) or an adapter folder, under `out`.

    Started again with the same arguments after any kind of end, it goes on from the last resume point in `out` and gives the
    same weights, bit for bit on a CPU, as a run that was never stopped; steps after that point are logged a second time.
    `log(step, numbers)` is called after each step and each validation (step 0: what of the data is left out or cut, and the
    untouched checkpoint's validation),
    `log_text(step, {prompt: answer})` with a validation's generations. Raises ConfigurationError for settings that
    can't work here, Diverged (a UserError) when training goes wrong, InfrastructureError when the disk is full.
    """
    settings = Settings(loss, adapter, optim, trainer, batching, seed)
    check(settings)
    if (out / "model").is_dir():
        remove(out / "resume")  # a run killed at the very end left its last point
        return out / "model"
    if trainer.accelerator is Accelerator.cpu:
        keep_freed_memory()
    with quiet(), room_for(out):
        torch.manual_seed(seed)
        module = build(groups, checkpoint, validation=validation, settings=settings)
        prompts, lost, points = _prompts(validation, trainer), shortfall(groups, module.groups), ResumePoints(out / "resume")
        _run(module, Keeper(settings, prompts=prompts, points=points, out=out, log=log, shortfall=lost, log_text=log_text))
    return out / "model"


def _run(module: RankingModule, keeper: Keeper) -> None:
    """All steps from the last resume point on."""
    module.before_first, module.after_step = keeper.begin, keeper
    latest = keeper.points.latest()
    lightning_trainer(module.settings.trainer, steps=module.total_steps).fit(
        module, ckpt_path=None if latest is None else str(latest), weights_only=True
    )
    keeper.finish(module)


def build(groups: Sequence[Group], checkpoint: Path, *, validation: Sequence[Group], settings: Settings) -> RankingModule:
    """The module with model, tokenizer and data in place."""
    batching = settings.batching
    tokenizer = load_tokenizer(checkpoint)
    tokens = encode(groups, tokenizer, batching=batching)
    held_out = encode(validation, tokenizer, batching=batching) if validation else []
    model = load_model(checkpoint, adapter=settings.adapter, trainer=settings.trainer, batching=batching)
    check_window(model, widest=max(group.widest for group in (*tokens, *held_out)), batching=batching)
    sharding = shard if settings.trainer.strategy is StrategyName.fsdp else None
    return RankingModule(model, tokenizer, tokens, held_out=held_out, settings=settings, shard=sharding)


def _prompts(validation: Sequence[Group], trainer: Trainer) -> list[str]:
    return [group.prompt for group in validation[: trainer.generations]]


def check(settings: Settings) -> None:
    """Raise ConfigurationError with everything wrong with the settings, before anything is loaded."""
    parts = (settings.loss, settings.adapter, settings.optim, settings.trainer, settings.batching)
    found = [mistake for part in parts for mistake in part.mistakes()]
    found += unavailable(adapter=settings.adapter, trainer=settings.trainer, batching=settings.batching)
    if found:
        raise ConfigurationError(found)
