"""Keys and values of many answers at once: one slot a row, each row at its own length, written in place.

A row that finishes gives its slot to the last row; a new prompt is computed once and copied into the slots of its answers.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

# slots grow by this many positions at a time: attention reads whole slots, because a batched product copies what is not
# contiguous, so a larger step wastes reading and a smaller one grows more often
STEP = 32


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values: [slots, heads, positions, width], of which the first `rows` slots are in use."""

    is_sliding = False

    def __init__(self, slots: "SlotCache") -> None:
        super().__init__()
        self.slots = slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take shapes and types from the first prompt."""
        self.dtype, self.device = key_states.dtype, key_states.device
        shape = (self.slots.most_rows, key_states.shape[1], self.slots.positions)
        self.keys = key_states.new_zeros(*shape, key_states.shape[3])
        self.values = value_states.new_zeros(*shape, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object) -> tuple[Tensor, Tensor]:
        """Write one new position for every row in use; give back all positions, of which a mask hides the unused."""
        assert self.keys is not None and self.values is not None
        rows, place = self.slots.index, self.slots.lengths[: self.slots.rows]
        self.keys[rows, :, place] = key_states[:, :, 0]
        self.values[rows, :, place] = value_states[:, :, 0]
        return self.keys[: self.slots.rows], self.values[: self.slots.rows]

    def grow(self, positions: int) -> None:
        """Make room for `positions`."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_empty(old.shape[0], old.shape[1], positions, old.shape[3])
            new[: self.slots.rows, :, : old.shape[2]] = old[: self.slots.rows]
            new[: self.slots.rows, :, old.shape[2] :] = 0  # hidden by the mask, but 0 times what memory held may be NaN
            new[self.slots.rows :] = 0
            setattr(self, name, new)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(positions a mask must cover, offset)."""
        return self.slots.positions, 0

    def get_seq_length(self) -> int:
        """Positions of the longest row."""
        return self.slots.longest

    def get_max_length(self) -> int:
        """No limit of its own."""
        return -1


class SlotCache(Cache):
    """The slots of all layers. `lengths` says how many positions of each slot are filled."""

    def __init__(self, *, layers: int, most_rows: int, device: torch.device) -> None:
        self.most_rows = most_rows
        self.positions = STEP
        self.rows = 0
        self.longest = 0
        self.lengths = torch.zeros(most_rows, dtype=torch.long, device=device)
        self.index = torch.arange(0, device=device)
        super().__init__(layers=[SlotLayer(self) for _ in range(layers)])
        self.layers: list[Any]

    @property
    def free(self) -> int:
        """Slots not in use."""
        return self.most_rows - self.rows

    def admit(self, prompts: Any, *, lengths: list[int], copies: list[int], shared: int = 0) -> None:
        """Copy each prompt's keys and values into the next `copies` slots.

        `prompts` is a DynamicCache, padded on the left but for the first `shared` positions, which all prompts have in common.
        """
        self._reserve(max(lengths) + 1)
        width = prompts.layers[0].keys.shape[2]
        for layer, source in zip(self.layers, prompts.layers, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(source.keys, source.values)
            place = self.rows
            for prompt, (length, count) in enumerate(zip(lengths, copies, strict=True)):
                rest = width - length + shared
                for kept, new in ((layer.keys, source.keys), (layer.values, source.values)):
                    kept[place : place + count, :, :shared] = new[prompt, :, :shared]
                    kept[place : place + count, :, shared:length] = new[prompt, :, rest:]
                place += count
        filled = [length for length, count in zip(lengths, copies, strict=True) for _ in range(count)]
        self.lengths[self.rows : self.rows + len(filled)] = torch.tensor(filled, device=self.lengths.device)
        self.rows += len(filled)
        self._measure()

    def step(self) -> tuple[Int[Tensor, "rows one"], Float[Tensor, "rows one one positions"]]:
        """Positions and attention mask for one new token a row; call `stepped` after the forward pass."""
        self._reserve(self.longest + 1)
        lengths = self.lengths[: self.rows, None]
        hidden = torch.arange(self.positions, device=lengths.device)[None] > lengths
        dtype = self.layers[0].dtype
        mask = torch.zeros(hidden.shape, dtype=dtype, device=lengths.device).masked_fill_(hidden, torch.finfo(dtype).min)
        return lengths, mask[:, None, None]

    def stepped(self) -> None:
        """Count the position that the forward pass has written."""
        self.lengths[: self.rows] += 1
        self.longest += 1

    def release(self, row: int) -> int:
        """Free a slot; the last row moves there. Gives back the number that row had."""
        last = self.rows - 1
        if row != last:
            length = int(self.lengths[last])
            for layer in self.layers:
                layer.keys[row, :, :length] = layer.keys[last, :, :length]
                layer.values[row, :, :length] = layer.values[last, :, :length]
            self.lengths[row] = length
        self.rows = last
        return last

    def settle(self) -> None:
        """Look again at how long the rows in use are, after some were released."""
        self._measure()

    def _measure(self) -> None:
        self.longest = int(self.lengths[: self.rows].max()) if self.rows else 0
        self.index = torch.arange(self.rows, device=self.lengths.device)

    def _reserve(self, positions: int) -> None:
        if positions <= self.positions:
            return
        self.positions = -(-positions // STEP) * STEP
        for layer in self.layers:
            if layer.is_initialized:
                layer.grow(self.positions)
