"""AdamW and its learning-rate schedule."""

import math
from collections.abc import Iterable

import torch
from torch.nn import Parameter

from rrtf.training.settings import Optim, Schedule


def factor(step: int, *, steps: int, optim: Optim) -> float:
    """The learning rate at `step` (from 0) over its peak: a straight line up over the warm-up, then the schedule down to 0."""
    warmup = math.ceil(optim.warmup_ratio * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return {
        Schedule.cosine: 0.5 * (1 + math.cos(math.pi * done)),
        Schedule.linear: 1 - done,
        Schedule.constant: 1.0,
    }[optim.schedule]


def adamw(parameters: Iterable[Parameter], *, optim: Optim) -> torch.optim.AdamW:
    """AdamW over what is trained; vectors (norms, biases) are not decayed, as usual."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    used = [group for group in groups if group["params"]]
    return torch.optim.AdamW(used, lr=optim.learning_rate, betas=(optim.beta1, optim.beta2), eps=optim.epsilon)


def scheduled(optimizer: torch.optim.Optimizer, *, optim: Optim, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """The schedule as PyTorch's object, stepped once after each optimizer step."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, steps=steps, optim=optim))
