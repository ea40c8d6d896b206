"""Keys and values of many answers at once, in two parts: each prompt's, held once for all its answers, and each answer's own.

An answer that finishes gives its slot to the last one, a prompt without answers to the last prompt, so that what is in use
stays together. Rows are at their own lengths; a mask hides what lies behind them.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

# arrays grow by this many positions at a time: attention reads whole arrays, because a batched product copies what is not
# contiguous, so a larger step wastes reading and a smaller one grows more often
STEP = 32


class Prompts(NamedTuple):
    """One layer's prompts, and who asks them: every prompt has as many places as the one with most answers has answers.

    Rows and places are told apart by key head too, so that going from one order to the other is one copy of whole lines.
    """

    keys: Float[Tensor, "prompts kv_heads positions width"]
    values: Float[Tensor, "prompts kv_heads positions width"]
    row_of_place: Int[Tensor, " prompts*kv_heads*asked"]
    place_of_row: Int[Tensor, " rows*kv_heads"]

    def scores(self, query: Float[Tensor, "rows kv_heads group width"]) -> Float[Tensor, "rows kv_heads group positions"]:
        """q k^T of each row with its own prompt; a prompt's keys are read once for all its rows."""
        return self._by_row(self._by_prompt(query) @ self.keys.transpose(2, 3), query.shape[2])

    def mix(self, weight: Float[Tensor, "rows kv_heads group positions"]) -> Float[Tensor, "rows kv_heads group width"]:
        """The weighted sum of its own prompt's values, for each row."""
        return self._by_row(self._by_prompt(weight) @ self.values, weight.shape[2])

    def _by_prompt(self, rows: Float[Tensor, "rows kv_heads group any"]) -> Float[Tensor, "prompts kv_heads asked any"]:
        prompts, heads = self.keys.shape[:2]
        return rows.flatten(2).flatten(0, 1).index_select(0, self.row_of_place).view(prompts, heads, -1, rows.shape[3])

    def _by_row(
        self, asked: Float[Tensor, "prompts kv_heads asked any"], group: int
    ) -> Float[Tensor, "rows kv_heads group any"]:
        lines = asked.view(-1, group * asked.shape[3]).index_select(0, self.place_of_row)
        return lines.view(-1, asked.shape[1], group, asked.shape[3])


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values: those of the answers, [slots, heads, positions, width], and the same of the prompts."""

    is_sliding = False
    prompt_keys: Tensor
    prompt_values: Tensor

    def __init__(self, slots: "SlotCache") -> None:
        super().__init__()
        self.slots = slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take shapes and types from the first prompts."""
        self.dtype, self.device = key_states.dtype, key_states.device
        for name, like in (("keys", key_states), ("values", value_states)):
            empty = like.new_empty(0, like.shape[1], 0, like.shape[3])
            setattr(self, name, _grown(empty, self.slots.most_rows, self.slots.positions))
            setattr(self, f"prompt_{name}", empty)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object) -> tuple[Tensor, Tensor]:
        """Write one new position for every answer; give back the answers' own, with the prompts hung on the keys."""
        assert self.keys is not None and self.values is not None
        slots = self.slots
        for kept, states in ((self.keys, key_states), (self.values, value_states)):
            kept.view(-1, kept.shape[3]).index_copy_(0, slots.line_of_row, states.reshape(-1, kept.shape[3]))
        keys: Any = self.keys[: slots.rows]
        count = len(slots.prompt_lengths)
        keys.prompts = Prompts(self.prompt_keys[:count], self.prompt_values[:count], slots.row_of_place, slots.place_of_row)
        return keys, self.values[: slots.rows]

    def grow(self, prefix: str, count: int, positions: int) -> None:
        """Make room for so many slots and positions."""
        for name in (f"{prefix}keys", f"{prefix}values"):
            setattr(self, name, _grown(getattr(self, name), count, positions))

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(positions a mask must cover, offset)."""
        return self.slots.prompt_positions + self.slots.positions, 0

    def get_seq_length(self) -> int:
        """Positions of the longest row."""
        return max(self.slots.prompt_lengths, default=0) + self.slots.longest

    def get_max_length(self) -> int:
        """No limit of its own."""
        return -1


def _grown(old: Tensor, count: int, positions: int) -> Tensor:
    """A larger array with the old one's content; the rest is zero, because what a mask hides must still be a number."""
    new = old.new_empty(count, old.shape[1], positions, old.shape[3])
    new[: len(old), :, : old.shape[2]] = old
    new[: len(old), :, old.shape[2] :] = 0
    new[len(old) :] = 0
    return new


class SlotCache(Cache):
    """The slots of all layers. `lengths` says how many positions of each answer are filled, its prompt's not counted."""

    def __init__(self, *, layers: int, most_rows: int, device: torch.device) -> None:
        self.most_rows = most_rows
        self.positions, self.prompt_positions, self.prompt_slots = STEP, 0, 0
        self.rows = self.longest = 0
        self.lengths = torch.zeros(most_rows, dtype=torch.long, device=device)
        self.prompt_lengths: list[int] = []
        self.owner: list[int] = []  # the prompt of each row
        super().__init__(layers=[SlotLayer(self) for _ in range(layers)])
        self.layers: list[Any]
        self.settle()

    @property
    def free(self) -> int:
        """Slots not in use."""
        return self.most_rows - self.rows

    def admit(self, prompts: Any, *, lengths: list[int], copies: list[int], shared: int = 0) -> None:
        """Take in prompts with so many answers each.

        `prompts` is a DynamicCache, padded on the left but for the first `shared` positions, which all prompts have in common.
        """
        first = len(self.prompt_lengths)
        width = prompts.layers[0].keys.shape[2]
        for layer, source in zip(self.layers, prompts.layers, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(source.keys, source.values)
        self._reserve_prompts(first + len(lengths), max(lengths))
        for layer, source in zip(self.layers, prompts.layers, strict=True):
            for kept, new in ((layer.prompt_keys, source.keys), (layer.prompt_values, source.values)):
                for number, length in enumerate(lengths):
                    kept[first + number, :, :shared] = new[number, :, :shared]
                    kept[first + number, :, shared:length] = new[number, :, width - length + shared :]
        self.prompt_lengths += lengths
        self.owner += [first + number for number, count in enumerate(copies) for _ in range(count)]
        self.lengths[self.rows : len(self.owner)] = 0
        self.rows = len(self.owner)
        self.settle()

    def step(self) -> tuple[Int[Tensor, "rows one"], Float[Tensor, "rows one one positions"]]:
        """Positions and attention mask for one new token a row; call `stepped` after the forward pass."""
        self._reserve(self.longest + 1)
        own = self.lengths[: self.rows, None]
        self.line_of_row = (self.line_of_head * self.positions + own).flatten()
        hidden = torch.arange(self.positions, device=own.device) > own
        hidden = torch.cat([self.hidden_prompt, hidden], 1)
        dtype = self.layers[0].dtype
        mask = torch.zeros(hidden.shape, dtype=dtype, device=own.device).masked_fill_(hidden, torch.finfo(dtype).min)
        return own + self.row_prompt_lengths, mask[:, None, None]

    def stepped(self) -> None:
        """Count the position that the forward pass has written."""
        self.lengths[: self.rows] += 1
        self.longest += 1

    def release(self, row: int) -> int:
        """Free a slot; the last row moves there. Gives back the number that row had. Call `settle` after the last one."""
        last = self.rows - 1
        if row != last:
            length = int(self.lengths[last])
            for layer in self.layers:
                layer.keys[row, :, :length] = layer.keys[last, :, :length]
                layer.values[row, :, :length] = layer.values[last, :, :length]
            self.lengths[row] = length
            self.owner[row] = self.owner[last]
        self.owner.pop()
        self.rows = last
        return last

    def settle(self) -> None:
        """After rows came or went: let go prompts without answers, and say anew which rows ask which prompt."""
        for prompt in sorted(set(range(len(self.prompt_lengths))) - set(self.owner), reverse=True):
            self._release_prompt(prompt)
        device = self.lengths.device
        self.longest = int(self.lengths[: self.rows].max()) if self.rows else 0
        rows_of: list[list[int]] = [[] for _ in self.prompt_lengths]
        for row, prompt in enumerate(self.owner):
            rows_of[prompt].append(row)
        most = max(map(len, rows_of), default=0)
        row_of_place = [rows + rows[:1] * (most - len(rows)) for rows in rows_of]  # places nobody has repeat the first row
        place_of_row = [(prompt, rows_of[prompt].index(row)) for row, prompt in enumerate(self.owner)]
        heads = torch.arange(self.layers[0].keys.shape[1] if self.rows else 0, device=device)
        asked = torch.tensor(row_of_place, dtype=torch.long, device=device).view(len(rows_of), 1, most)
        self.row_of_place = (asked * len(heads) + heads[:, None]).flatten()
        owner, place = torch.tensor(place_of_row, dtype=torch.long, device=device).view(self.rows, 2, 1).unbind(1)
        self.place_of_row = ((owner * len(heads) + heads) * most + place).flatten()
        self.line_of_head = torch.arange(self.rows, device=device)[:, None] * len(heads) + heads
        lengths = [self.prompt_lengths[prompt] for prompt in self.owner]
        self.row_prompt_lengths = torch.tensor(lengths, dtype=torch.long, device=device)[:, None]
        self.hidden_prompt = torch.arange(self.prompt_positions, device=device) >= self.row_prompt_lengths

    def _release_prompt(self, prompt: int) -> None:
        """Free a prompt's slot; the last prompt moves there."""
        last = len(self.prompt_lengths) - 1
        length = self.prompt_lengths.pop()
        if prompt == last:
            return
        for layer in self.layers:
            for kept in (layer.prompt_keys, layer.prompt_values):
                kept[prompt, :, :length] = kept[last, :, :length]
        self.prompt_lengths[prompt] = length
        self.owner = [prompt if owner == last else owner for owner in self.owner]

    def _reserve(self, positions: int) -> None:
        if positions > self.positions:
            self.positions = -(-positions // STEP) * STEP
            for layer in self.layers:
                layer.grow("", self.most_rows, self.positions)

    def _reserve_prompts(self, count: int, positions: int) -> None:
        if count > self.prompt_slots or positions > self.prompt_positions:
            self.prompt_slots = min(self.most_rows, max(2 * self.prompt_slots, count))
            self.prompt_positions = max(self.prompt_positions, -(-positions // STEP) * STEP)
            for layer in self.layers:
                layer.grow("prompt_", self.prompt_slots, self.prompt_positions)
