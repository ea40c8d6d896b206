"""Groups and a checkpoint in, a trained checkpoint out."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from rrtf.errors import ConfigurationError
from rrtf.records import Group
from rrtf.training.batches import encode
from rrtf.training.models import load_model, load_tokenizer, unavailable
from rrtf.training.module import Log, RankingModule, Settings
from rrtf.training.progress import Keeper
from rrtf.training.saving import ResumePoints, remove
from rrtf.training.settings import Adapter, Batching, Loss, Optim, StrategyName, Trainer
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
    same weights, bit for bit on a CPU, as a run that was never stopped. `log(step, numbers)` is called after each step and
    validation, `log_text(step, {prompt: answer})` with the generations of a validation. Raises ConfigurationError for settings
    that can't work here, Diverged (a UserError) when training goes wrong.
    """
    settings = Settings(loss, adapter, optim, trainer, batching, seed)
    check(settings)
    if (out / "model").is_dir():
        return out / "model"
    torch.manual_seed(seed)
    tokenizer = load_tokenizer(checkpoint)
    tokens = encode(groups, tokenizer, batching=batching)
    model = load_model(checkpoint, adapter=adapter, trainer=trainer, batching=batching)
    points = ResumePoints(out / "resume")
    keeper = Keeper(settings, validation=validation, points=points, out=out, log=log, log_text=log_text)
    module = RankingModule(
        model,
        tokenizer,
        tokens,
        settings=settings,
        after_step=keeper,
        shard=shard if trainer.strategy is StrategyName.fsdp else None,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
        latest = points.latest()
        lightning_trainer(trainer, steps=module.total_steps).fit(module, ckpt_path=None if latest is None else str(latest))
    keeper.finish(module)
    remove(points.folder)
    return out / "model"


def check(settings: Settings) -> None:
    """Raise ConfigurationError with everything wrong with the settings, before anything is loaded."""
    parts = (settings.loss, settings.adapter, settings.optim, settings.trainer, settings.batching)
    found = [mistake for part in parts for mistake in part.mistakes()]
    found += unavailable(adapter=settings.adapter, trainer=settings.trainer, batching=settings.batching)
    if found:
        raise ConfigurationError(found)
