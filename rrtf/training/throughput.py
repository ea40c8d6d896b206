"""How fast training is, against what the hardware can do."""

import time
from typing import Any

import torch
from transformers import PreTrainedModel

from rrtf.training.batches import Batch


def arithmetic(model: PreTrainedModel, batch: Batch) -> float:
    """Floating-point operations of one training pass over a batch, the useful ones only.

    Each weight of a linear layer costs six a token: two forward, two for its input's gradient, two for its own, which a frozen
    weight saves. Padding is left out, the head counts at response tokens only, attention at the pairs that are allowed.
    Recomputation is not counted as useful.
    """
    body = sum(_products(module) for module in model.base_model.modules())
    tokens = int(batch.attention_mask.sum())
    config: Any = model.config.get_text_config()
    per_pair = 12 * config.num_hidden_layers * config.hidden_size
    head = _products(model.get_output_embeddings())
    return float(body * tokens + head * len(batch.label) + per_pair * _pairs(batch))


def _products(module: Any) -> int:
    """Operations a token of a linear layer (a 4-bit weight counts as one), 0 for anything else."""
    if type(module).__name__ != "Conv1D" and not (hasattr(module, "in_features") and not list(module.children())):
        return 0
    width, out = _shape(module)
    return (6 if module.weight.requires_grad else 4) * width * out


def _shape(module: Any) -> tuple[int, int]:
    """(inputs, outputs) of a linear layer; GPT-2's Conv1D is one with its weight transposed."""
    if type(module).__name__ == "Conv1D":
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return int(module.in_features), int(module.out_features)


def _pairs(batch: Batch) -> float:
    """(query, key) pairs that attention allows."""
    seen = (batch.position_ids + 1) * batch.attention_mask
    return float(seen.sum())


@torch.no_grad()
def matmul_peak(model: PreTrainedModel, *, tokens: int, dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of plain matrix products [tokens, in] x [in, out] at the model's own layer shapes, best of several.

    Each shape weighted by how often it occurs: what training could reach.
    """
    shapes: dict[tuple[int, int], int] = {}
    for module in [*model.base_model.modules(), model.get_output_embeddings()]:
        if _products(module):
            shape = _shape(module)
            shapes[shape] = shapes.get(shape, 0) + 1
    work = {shape: 2.0 * tokens * shape[0] * shape[1] for shape in shapes}
    took = {shape: _best(tokens, *shape, device=device, dtype=dtype) for shape in shapes}
    return sum(work[s] * n for s, n in shapes.items()) / sum(took[s] * n for s, n in shapes.items())


def _best(tokens: int, width: int, out: int, *, device: torch.device, dtype: torch.dtype) -> float:
    """The least time of one product, over four of them and more while they are short."""
    left, right = torch.ones(tokens, width, device=device, dtype=dtype), torch.ones(out, width, device=device, dtype=dtype)
    times: list[float] = []
    while len(times) < 4 or (sum(times) < 0.02 and len(times) < 50):
        begin = time.perf_counter()
        torch.nn.functional.linear(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
    return min(times[1:])
