"""How fast training is, against what the hardware can do."""

import time
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from rrtf.training.batches import Batch


def arithmetic(model: PreTrainedModel, batch: Batch) -> float:
    """Floating-point operations of one training pass over a batch, the useful ones only.

    Six per weight and token (two forward, four back) of every linear layer, padding left out; the head counts at response
    tokens only; attention counts the pairs that are allowed. Recomputation is not counted as useful.
    """
    head = model.get_output_embeddings()
    body = sum(_weights(module) for module in model.base_model.modules())
    tokens = int(batch.attention_mask.sum())
    config: Any = model.config.get_text_config()
    per_pair = 12 * config.num_hidden_layers * config.hidden_size
    return 6.0 * body * tokens + 6.0 * _weights(head) * len(batch.label) + per_pair * _pairs(batch)


def _weights(module: nn.Module) -> int:
    """Weights that take part in a matrix product, once a token; a 4-bit weight still counts as one."""
    if hasattr(module, "in_features") and hasattr(module, "out_features") and hasattr(module, "weight"):
        return int(module.in_features) * int(module.out_features)  # type: ignore[arg-type]
    if type(module).__name__ == "Conv1D":
        return int(module.weight.numel())  # type: ignore[operator]
    return 0


def _pairs(batch: Batch) -> float:
    """(query, key) pairs that attention allows."""
    seen = (batch.position_ids + 1) * batch.attention_mask
    return float(seen.sum())


@torch.no_grad()
def matmul_peak(model: PreTrainedModel, *, tokens: int, dtype: torch.dtype, seconds: float = 0.5) -> float:
    """Operations a second of plain matrix products [tokens, in] x [in, out] at the model's own layer shapes, best of several.

    Measured on the model's device, each shape weighted by how often it occurs: what training could reach.
    """
    device = next(model.parameters()).device
    shapes: dict[tuple[int, int], int] = {}
    for module in [*model.base_model.modules(), model.get_output_embeddings()]:
        if hasattr(module, "in_features") and hasattr(module, "out_features"):
            shape = (int(module.in_features), int(module.out_features))
            shapes[shape] = shapes.get(shape, 0) + 1
    work = {shape: 2.0 * tokens * shape[0] * shape[1] for shape in shapes}
    took = {shape: _best(tokens, *shape, device=device, dtype=dtype, seconds=seconds / len(shapes)) for shape in shapes}
    return sum(work[s] * n for s, n in shapes.items()) / sum(took[s] * n for s, n in shapes.items())


def _best(tokens: int, width: int, out: int, *, device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """The least time of one product, over at least three and at most `seconds` of them."""
    left, right = torch.ones(tokens, width, device=device, dtype=dtype), torch.ones(out, width, device=device, dtype=dtype)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 4 or time.perf_counter() < end:
        begin = time.perf_counter()
        torch.nn.functional.linear(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
    return min(times[1:])
