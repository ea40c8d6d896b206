"""Looking at the model between steps: the loss on held-out groups, and a few answers."""

import sys
from collections.abc import Sequence
from typing import Any

import torch

from rrtf.training.batches import Tokens, micro_batches, prompt_ids
from rrtf.training.loader import collate
from rrtf.training.losses import terms
from rrtf.training.meter import Meter, metrics
from rrtf.training.module import RankingModule


@torch.no_grad()
def evaluate(module: RankingModule, groups: Sequence[Tokens]) -> dict[str, float]:
    """The training loss and the share of pairs ordered rightly on `groups`, over all devices, as `validation_...`."""
    settings, world = module.settings, module.trainer.world_size
    meter = Meter(settings.loss)
    bins = micro_batches(groups, batching=settings.batching, devices=world)
    smallest = min(groups, key=lambda group: group.cost(packed=True))
    module.eval()
    with module.trainer.precision_plugin.forward_context():
        for mine in bins[module.global_rank :: world]:
            batch = collate(mine or [smallest], batching=settings.batching, pad=module.pad, share=float(bool(mine)))
            batch = module.trainer.strategy.batch_to_device(batch, module.device)
            rows = module.score(batch)
            meter.add(batch, rows, terms(rows, loss=settings.loss), operations=0.0)
    module.train()
    total = module.trainer.strategy.reduce(meter.vector(module.device), reduce_op="sum")
    values = metrics(total, loss=settings.loss, seconds=1.0, peak=0.0, devices=world)
    if "pairs_ordered" in values:
        values["ordering"] = values.pop("pairs_ordered")
    wanted = ("loss", "loss_rank", "loss_ce", "ordering", "gap_teacher_student")
    return {f"validation_{name}": values[name] for name in wanted if name in values}


@torch.no_grad()
def answers(module: RankingModule, prompts: Sequence[str]) -> dict[str, str]:
    """Each prompt's greedy answer, as long as the model's positions last."""
    model: Any = module.scorer.model
    limit = getattr(model.config, "max_position_embeddings", None) or sys.maxsize
    module.eval()
    found = {}
    with module.trainer.precision_plugin.forward_context():
        for prompt in prompts:
            ids = torch.tensor([prompt_ids(prompt, module.tokenizer)], device=module.device)
            options: dict[str, Any] = {"do_sample": False, "use_cache": True, "pad_token_id": module.pad}
            tokens = min(module.settings.trainer.generation_tokens, limit - ids.shape[1])
            if tokens < 1:
                continue
            options |= {"max_new_tokens": tokens, "attention_mask": torch.ones_like(ids)}
            whole = model.generate(ids, **options)
            found[prompt] = str(module.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True))
    module.train()
    return found
