"""The LightningModule: wires batches, scorer, loss, optimizer and meters together, and holds no mathematics of its own."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from peft import PeftModel
from pytorch_lightning.strategies import ParallelStrategy
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rrtf.cores import Cores
from rrtf.loading import padding
from rrtf.memory import give_back
from rrtf.training.batches import Batch, Tokens, count_steps
from rrtf.training.loader import StepLoader
from rrtf.training.losses import Rows, terms
from rrtf.training.meter import Meter, Watch, memory_gb, metrics
from rrtf.training.models import COMPUTE
from rrtf.training.optimizer import adamw, scheduled
from rrtf.training.probe import check_scores
from rrtf.training.reference import reference_table, with_reference
from rrtf.training.saving import rng_state, set_rng_state
from rrtf.training.scorer import Scorer
from rrtf.training.settings import Adapter, Batching, Loss, Optim, StrategyName, Trainer
from rrtf.training.throughput import arithmetic, matmul_peak

Log = Callable[[int, dict[str, float]], None]


class Settings(NamedTuple):
    """Everything that was set, together."""

    loss: Loss
    adapter: Adapter
    optim: Optim
    trainer: Trainer
    batching: Batching
    seed: int


class RankingModule(pl.LightningModule):
    """Trains on micro-batches with gradients summed over a step. `before_first(module)` runs before the first step of all,
    `after_step(module, step, values)` after each.

    The gradient of a step is the gradient of the mean loss over its prompts, however they were split over micro-batches and
    devices: each micro-batch is weighted by 1 / prompts of the step, and DDP's mean over devices is undone.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        groups: Sequence[Tokens],
        *,
        settings: Settings,
        held_out: Sequence[Tokens] = (),
        shard: Callable[["RankingModule"], None] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False
        self.scorer = Scorer(model, logits=settings.batching.logits)
        self.tokenizer = tokenizer
        self.settings = settings
        self.held_out = held_out
        self.before_first: Callable[[RankingModule], None] = lambda module: None
        self.after_step: Callable[[RankingModule, int, dict[str, float]], None] = lambda module, step, values: None
        self.peak = 0.0
        self.shard = shard
        self.groups = groups
        self.pad = padding(tokenizer)
        self.total_steps = count_steps(len(groups), batching=settings.batching)
        self.done = 0
        self.carried: dict[str, Any] = {}
        self.cores: Cores | None = None
        self.meter = Meter(settings.loss)
        self.watch = Watch(loss=settings.loss, trainer=settings.trainer)
        self.norm = 0.0

    def configure_model(self) -> None:
        """Shard the weights where the strategy asks for it, once."""
        if self.shard is not None:
            self.shard(self)
            self.shard = None

    def configure_optimizers(self) -> Any:
        """AdamW and its schedule, which is stepped by hand after each optimizer step."""
        optimizer = adamw(self.parameters(), optim=self.settings.optim)
        return [optimizer], [scheduled(optimizer, optim=self.settings.optim, steps=self.total_steps)]

    def on_fit_start(self) -> None:
        """Try the model, time the device, and score all with the frozen reference unless a resume point brought its scores."""
        trainer, batching = self.settings.trainer, self.settings.batching
        dtype = COMPUTE[trainer.precision]
        check_scores(self)
        self.peak = matmul_peak(self.scorer.model, tokens=min(batching.token_budget, 2048), dtype=dtype, device=self.device)
        if self.settings.loss.reference:
            for name in ("groups", "held_out"):
                if name not in self.carried and getattr(self, name):
                    self.carried[name] = reference_table(self, getattr(self, name))
            self.groups = with_reference(self.groups, self.carried["groups"])
            self.held_out = with_reference(self.held_out, self.carried.get("held_out", {}))
        # in fp32 another number of threads sums in another order, and a resumed run would not be the uninterrupted one
        self.cores = Cores(self.device) if dtype is torch.bfloat16 else None
        if not self.done:
            torch.manual_seed(self.settings.seed * 1_000_003 + self.global_rank)

    def on_train_start(self) -> None:
        """What is to be known of the untouched student; a run that goes on knows it already."""
        if not self.done:
            self.before_first(self)

    def on_fit_end(self) -> None:
        """All threads again."""
        if self.cores:
            self.cores.release()

    def train_dataloader(self) -> StepLoader:
        """This device's micro-batches, from the step the run is at."""
        self.meter = Meter(self.settings.loss)
        place = {"rank": self.global_rank, "devices": self.trainer.world_size, "start": self.done}
        return StepLoader(self.groups, batching=self.settings.batching, seed=self.settings.seed, pad=self.pad, **place)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Forward and backward of one micro-batch; after the last of a step, the step."""
        with self.cores.step() if self.cores else contextlib.nullcontext():
            rows = self.score(batch)
            found = terms(rows, loss=self.settings.loss)
            loss = self.settings.loss.rank_weight * found.rank + self.settings.loss.ce_weight * found.ce
            if self.settings.trainer.strategy is StrategyName.deepspeed:
                engine: Any = self.trainer.strategy.model
                engine.set_gradient_accumulation_boundary(batch.last)
            with contextlib.nullcontext() if batch.last else self._unsynchronised():
                self.manual_backward(loss * (batch.share * self.trainer.world_size))
        self.meter.add(batch, rows, found, operations=arithmetic(self.scorer.model, batch))
        if batch.last:
            with self.cores.whole() if self.cores else contextlib.nullcontext():
                self._step()

    def score(self, batch: Batch) -> Rows:
        """The batch's facts with the model's log-probabilities filled in."""
        return batch.facts._replace(logp=self.scorer(batch))

    def _unsynchronised(self) -> contextlib.AbstractContextManager[None]:
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else contextlib.nullcontext()

    def _step(self) -> None:
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()
        rate = float(schedule.get_last_lr()[0])
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        give_back()
        self.done += 1
        total = self.trainer.strategy.reduce(self.meter.vector(self.device), reduce_op="sum")
        now = time.perf_counter()
        values = metrics(
            total, loss=self.settings.loss, seconds=now - self.meter.began, peak=self.peak, devices=self.trainer.world_size
        )
        per_epoch = self.total_steps / self.settings.batching.epochs
        values |= {
            "learning_rate": rate,
            "gradient_norm": self.norm,
            "memory_gb": memory_gb(self.device),
            "epoch": self.done / per_epoch,
        }
        self.watch.check(self.done, values)
        self.after_step(self, self.done, values)
        self.meter = Meter(self.settings.loss)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip, after fp16's loss scale is taken out; DeepSpeed clips by itself."""
        if self.settings.trainer.strategy is StrategyName.deepspeed:
            return
        clip = self.settings.trainer.clip or float("inf")
        norm: Any = nn.utils.clip_grad_norm_([p for p in self.parameters() if p.grad is not None], clip)
        self.norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Beside Lightning's own: the place in the data, every process's random state; of the weights, the trained ones.

        FSDP's checkpoints keep frozen weights too, because Lightning loads them whole or not at all.
        """
        states: list[Any] = [rng_state()]
        if torch.distributed.is_initialized():
            states = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(states, rng_state())
        checkpoint["rrtf"] = {"done": self.done, "rng": states, "over": self.watch.over, **self.carried}
        if "state_dict" in checkpoint and self.settings.trainer.strategy is not StrategyName.fsdp:
            trained = {name for name, p in self.named_parameters(remove_duplicate=False) if p.requires_grad}
            checkpoint["state_dict"] = {n: v for n, v in checkpoint["state_dict"].items() if n in trained}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the checkpoint was made."""
        carried = dict(checkpoint["rrtf"])
        self.done, self.watch.over = carried.pop("done"), carried.pop("over")
        set_rng_state(carried.pop("rng")[self.global_rank])
        self.carried = carried

    def weights(self) -> dict[str, Tensor]:
        """All weights in full, by the model's own names, on the first process; every process must call this."""
        if self.settings.trainer.strategy is StrategyName.fsdp:
            from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

            options = StateDictOptions(full_state_dict=True, cpu_offload=True)
            return get_model_state_dict(self.scorer.tuned, options=options)  # type: ignore[return-value]
        if self.settings.trainer.strategy is StrategyName.deepspeed and self.settings.trainer.zero_stage == 3:
            engine: Any = self.trainer.strategy.model
            whole = engine._zero3_consolidated_16bit_state_dict() or {}
            prefix = "scorer.tuned."
            return {name.removeprefix(prefix): value for name, value in whole.items() if name.startswith(prefix)}
        return self.scorer.tuned.state_dict()
