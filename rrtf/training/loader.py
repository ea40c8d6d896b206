"""The micro-batches of one device, from any step on."""

from collections.abc import Iterator, Sequence

from rrtf.training.batches import Batch, Step, Tokens, padded, steps
from rrtf.training.packing import packed
from rrtf.training.settings import Batching


class StepLoader:
    """An iterable of the micro-batches of device `rank` of `devices`, from the step after the first `start` on."""

    def __init__(
        self,
        groups: Sequence[Tokens],
        *,
        batching: Batching,
        seed: int,
        pad: int,
        rank: int = 0,
        devices: int = 1,
        start: int = 0,
    ) -> None:
        self.groups = groups
        self.batching = batching
        self.seed = seed
        self.pad = pad
        self.rank = rank
        self.devices = devices
        self.start = start

    def __iter__(self) -> Iterator[Batch]:
        """Every micro-batch of every step that is left."""
        plan = steps(self.groups, batching=self.batching, seed=self.seed, devices=self.devices)
        for number, step in enumerate(plan):
            if number >= self.start:
                yield from self._mine(step)

    def _mine(self, step: Step) -> Iterator[Batch]:
        """This device's share of a step; a device without work repeats the smallest group with weight 0, to keep in step."""
        prompts = sum(len(groups) for groups in step.micro)
        mine = step.micro[self.rank :: self.devices]
        smallest = min(self.groups, key=lambda group: group.cost(packed=True))
        for number, groups in enumerate(mine):
            share = 1 / prompts if groups else 0.0
            yield collate(groups or [smallest], batching=self.batching, pad=self.pad, share=share, last=number == len(mine) - 1)


def collate(groups: Sequence[Tokens], *, batching: Batching, pad: int, share: float = 1.0, last: bool = True) -> Batch:
    """One micro-batch in the form the settings ask for."""
    if batching.packed:
        return packed(groups, share=share, last=last)
    return padded(groups, pad=pad, share=share, last=last)
