"""The frozen reference of DPO: the starting checkpoint's log-probabilities, computed once before the first step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from rrtf.training.batches import Tokens, micro_batches
from rrtf.training.loader import collate

if TYPE_CHECKING:
    from rrtf.training.module import RankingModule

Table = dict[int, list[float]]


@torch.no_grad()
def reference_table(module: "RankingModule", groups: Sequence[Tokens]) -> Table:
    """Each group's rows under the module's present weights, by group number; devices share the work and get the whole table."""
    world, table = module.trainer.world_size, {}
    smallest = min(groups, key=lambda group: group.cost(packed=True))
    module.eval()
    with module.trainer.precision_plugin.forward_context():
        for mine in micro_batches(groups, batching=module.settings.batching, devices=world)[module.global_rank :: world]:
            batch = collate(mine or [smallest], batching=module.settings.batching, pad=module.pad)
            rows = module.score(module.trainer.strategy.batch_to_device(batch, module.device))
            values = iter(rows.logp.tolist())
            table.update({group.number: [next(values) for _ in group.responses] for group in mine})
    module.train()
    if world == 1:
        return table
    tables: list[Table] = [{} for _ in range(world)]
    torch.distributed.all_gather_object(tables, table)
    return {number: values for part in tables for number, values in part.items()}


def with_reference(groups: Sequence[Tokens], table: Table) -> list[Tokens]:
    """The groups with their rows' reference log-probabilities filled in."""
    return [group._replace(reference=table[group.number]) for group in groups]
