"""What a step is logged with, and when training has gone wrong."""

import math
import resource
import time

import torch
from torch import Tensor

from rrtf.errors import UserError
from rrtf.training.batches import Batch, waste
from rrtf.training.losses import Rows, Terms, ordering
from rrtf.training.settings import Loss, Precision, Trainer

NAMES = ("rank", "ce", "prompts", "ordered", "pairs", "gap", "gaps", "tokens", "responses", "padding", "operations")


class Diverged(UserError):
    """Training was stopped because its loss is no longer a number, or its rank term drowned the cross-entropy."""


class Meter:
    """Sums over the micro-batches of a step, on one device; `vector` is what devices add up."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.began = time.perf_counter()
        self.sums = dict.fromkeys(NAMES, 0.0)

    def add(self, batch: Batch, rows: Rows, terms: Terms, *, operations: float) -> None:
        """Take in one micro-batch; one that only keeps a device in step counts nothing."""
        if not batch.share:
            return
        order = ordering(rows._replace(logp=rows.logp.detach()), loss=self.loss)
        values = (
            float(terms.rank.detach()), float(terms.ce.detach()), float(len(batch.facts.group.unique())),
            *(float(value) for value in order),
            float(batch.attention_mask.sum()), float(len(batch.label)), float(waste(batch)), operations,
        )  # fmt: skip
        for name, value in zip(NAMES, values, strict=True):
            self.sums[name] += value

    def vector(self, device: torch.device) -> Tensor:
        """The sums, in the order of NAMES."""
        dtype = torch.float32 if device.type == "mps" else torch.float64
        return torch.tensor([self.sums[name] for name in NAMES], dtype=dtype, device=device)


def metrics(total: Tensor, *, loss: Loss, seconds: float, peak: float, devices: int) -> dict[str, float]:
    """The logged numbers of a step, from the sums over all devices; `peak` is one device's operations a second (0: unknown).

    Without a pair there is no share of pairs, and without a teacher beside a student no gap: they are left out then.
    """
    sums = dict(zip(NAMES, total.tolist(), strict=True))
    prompts = max(sums["prompts"], 1.0)
    rank, ce = sums["rank"] / prompts, sums["ce"] / prompts
    shares = {"pairs_ordered": ("ordered", "pairs"), "gap_teacher_student": ("gap", "gaps")}
    return {
        "loss": loss.rank_weight * rank + loss.ce_weight * ce,
        "loss_rank": rank,
        "loss_ce": ce,
        **{name: sums[part] / sums[whole] for name, (part, whole) in shares.items() if sums[whole]},
        "prompts": sums["prompts"],
        "tokens_per_second": sums["tokens"] / seconds,
        "response_tokens_per_second": sums["responses"] / seconds,
        "padding_waste": sums["padding"] / max(sums["padding"] + sums["tokens"], 1.0),
        "utilisation": sums["operations"] / (seconds * peak * devices) if peak else 0.0,
        "seconds": seconds,
    }


def memory_gb(device: torch.device) -> float:
    """Most memory used so far, in GiB: of the device where it has its own, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class Watch:
    """Raises Diverged when a step's numbers say that going on is pointless."""

    def __init__(self, *, loss: Loss, trainer: Trainer) -> None:
        self.loss = loss
        self.trainer = trainer
        self.over = 0

    def check(self, step: int, values: dict[str, float]) -> None:
        """Look at one step: NaN and infinity stop at once, a dominating rank term after `diverging_steps` steps in a row."""
        # fp16 finds infinite gradients while it looks for its scale, and leaves those steps out
        scaled = ("gradient_norm",) if self.trainer.precision is not Precision.fp16 else ()
        for name in ("loss", "loss_rank", "loss_ce", *scaled):
            if not math.isfinite(values[name]):
                raise Diverged(
                    f"step {step}: {name} is {values[name]}; lower optim.learning_rate, or use trainer.precision=bf16"
                )
        rank, ce = self.loss.rank_weight * values["loss_rank"], self.loss.ce_weight * values["loss_ce"]
        limit = self.trainer.max_diverging_ratio
        self.over = self.over + 1 if limit and ce > 0 and rank > limit * ce else 0
        if self.over >= self.trainer.diverging_steps:
            raise Diverged(
                f"step {step}: the rank term is {rank / ce:.0f} times the cross-entropy for {self.over} steps "
                f"(trainer.max_diverging_ratio={limit:g}); lower loss.rank_weight or the rewards' spread"
            )
