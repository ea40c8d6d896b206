"""Groups -> tokens -> steps -> micro-batches. A problem's responses always stay together.

A step is `prompts_per_step` prompts, on any number of devices. Inside a step, groups are sorted by length and filled into
micro-batches of at most `token_budget` tokens; the devices get equally many micro-batches of about equal cost. The order
depends on the seed and the epoch only, so a run that stops can go on at the same place.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rrtf.errors import MissingDataError
from rrtf.records import Group, Role
from rrtf.training.losses import Rows
from rrtf.training.settings import Batching


class Tokens(NamedTuple):
    """One group in token ids; `number` is its place among the groups trained on, `cut` how many responses were shortened,
    `reference` the log-probabilities of the responses under a frozen model, where the loss wants them."""

    number: int
    prompt: list[int]
    responses: list[list[int]]
    reward: list[float]
    target: list[bool]
    teacher: list[bool]
    cut: int = 0
    reference: list[float] | None = None

    @property
    def widest(self) -> int:
        """Tokens of the longest prompt plus response: the width RRHF would pad this group to."""
        return len(self.prompt) + max(map(len, self.responses))

    def cost(self, *, packed: bool) -> int:
        """Tokens of a forward pass over this group alone."""
        if packed:
            return len(self.prompt) + sum(map(len, self.responses))
        return self.widest * len(self.responses)


class Layout(NamedTuple):
    """Where the packed tokens of `rrtf.training.packing` belong; see there."""

    prompt: Int[Tensor, "groups prompt_tokens"]
    query: Int[Tensor, "rows response_tokens"]
    key: Int[Tensor, "rows key_tokens"]
    mask: Bool[Tensor, "rows 1 response_tokens key_tokens"]
    back: Int[Tensor, " tokens"]
    segment: Int[Tensor, " tokens"]
    parent: Int[Tensor, " tokens"]


class Batch(NamedTuple):
    """One forward pass. Padded: a row is a prompt with one response. Packed: one row holds everything, and `layout` is set.

    `source` says which hidden state (counted over all positions) predicts each response token `label`, `row` whose it is.
    `facts.logp` is empty until the model fills it. `share` is this batch's weight per group: 1 / prompts of the whole step.
    """

    input_ids: Int[Tensor, "batch tokens"]
    position_ids: Int[Tensor, "batch tokens"]
    attention_mask: Bool[Tensor, "batch tokens"]
    layout: Layout | None
    source: Int[Tensor, " targets"]
    label: Int[Tensor, " targets"]
    row: Int[Tensor, " targets"]
    facts: Rows
    number: Int[Tensor, " rows"]
    share: float
    last: bool


def encode(groups: Sequence[Group], tokenizer: PreTrainedTokenizerBase, *, batching: Batching) -> list[Tokens]:
    """Token ids of every group that is trained on. Left out are groups dropped by ranking, groups whose prompt leaves no room,
    and responses without a token, which have no probability (an empty text, where no end-of-text token is added).

    Raises MissingDataError if nothing is left.
    """
    kept = [group for group in groups if group.responses and not group.dropped]
    encoded = [_encode(group, tokenizer, number=number, batching=batching) for number, group in enumerate(kept)]
    said = [tokens for tokens in encoded if tokens.responses]
    fitting = [tokens for tokens in said if len(tokens.prompt) < batching.max_length]
    if not fitting:
        raise MissingDataError(
            f"no group to train on: {len(groups)} given, {len(groups) - len(kept)} dropped by ranking, {len(kept) - len(said)} "
            f"with empty responses only, {len(said)} with a prompt of batching.max_length={batching.max_length} tokens or more"
        )
    return fitting


def shortfall(groups: Sequence[Group], encoded: Sequence[Tokens]) -> dict[str, float]:
    """How much of what ranking kept `encode` left out or shortened: data that is not trained on as it was written."""
    kept = [group for group in groups if group.responses and not group.dropped]
    silent = sum(len(kept[tokens.number].responses) - len(tokens.responses) for tokens in encoded)
    counts = {
        "groups_left_out": len(kept) - len(encoded),
        "responses_left_out": silent,
        "responses_cut": sum(tokens.cut for tokens in encoded),
    }
    return {name: float(count) for name, count in counts.items()}


def _encode(group: Group, tokenizer: PreTrainedTokenizerBase, *, number: int, batching: Batching) -> Tokens:
    prompt, responses, kept, cut = prompt_ids(group.prompt, tokenizer), [], [], 0
    for response in group.responses:
        ids = _continuation(prompt, group.prompt, response.text, tokenizer)
        if batching.append_eos and tokenizer.eos_token_id is not None:
            ids = [*ids, tokenizer.eos_token_id]
        room = batching.max_length - len(prompt)
        cut += len(ids) > room
        if ids:
            responses.append(ids[: max(room, 1)])
            kept.append(response)
    return Tokens(
        number=number,
        prompt=prompt,
        responses=responses,
        reward=[float(response.reward) for response in kept],
        target=[response.target for response in kept],
        teacher=[response.role is Role.teacher for response in kept],
        cut=cut,
    )


def prompt_ids(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a prompt, without the end that some tokenizers add by themselves (add_eos_token).

    At least one, because the first response token needs something to be predicted from.
    """
    begun = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
    ids = list(tokenizer(text, add_special_tokens=not begun)["input_ids"])
    if tokenizer.eos_token_id in ids[-1:] and not text.endswith(str(tokenizer.eos_token)):
        ids.pop()
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return ids or [0 if start is None else start]


def _continuation(prompt: list[int], before: str, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of `text` after the prompt: as they follow it where the prompt's own ids stay intact, else on their own."""
    whole = prompt_ids(before + text, tokenizer)
    if before and whole[: len(prompt)] == prompt:
        return whole[len(prompt) :]
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


class Step(NamedTuple):
    """The micro-batches of one optimizer step, and the epoch (from 0) it belongs to."""

    epoch: int
    last_of_epoch: bool
    micro: list[list[Tokens]]


def steps(groups: Sequence[Tokens], *, batching: Batching, seed: int, devices: int) -> Iterator[Step]:
    """All steps of a run. The last step of an epoch may hold fewer prompts: its mean is over those it has."""
    for epoch in range(batching.epochs):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(groups), generator=generator).tolist()
        for start in range(0, len(order), batching.prompts_per_step):
            chosen = [groups[i] for i in order[start : start + batching.prompts_per_step]]
            last = start + batching.prompts_per_step >= len(order)
            yield Step(epoch, last, micro_batches(chosen, batching=batching, devices=devices))


def count_steps(groups: int, *, batching: Batching) -> int:
    """Optimizer steps of a whole run."""
    return batching.epochs * -(-groups // batching.prompts_per_step)


def micro_batches(groups: Sequence[Tokens], *, batching: Batching, devices: int) -> list[list[Tokens]]:
    """Groups of similar length together, each micro-batch within the token budget, as many as a multiple of `devices`.

    Micro-batch i goes to device i modulo `devices`; they are sorted by cost, so neighbours cost about the same. Where there are
    too few groups, the list ends in empty micro-batches.
    """
    bins: list[list[Tokens]] = []
    for group in sorted(groups, key=lambda group: (group.cost(packed=batching.packed), group.number), reverse=True):
        if bins and _cost([*bins[-1], group], packed=batching.packed) <= batching.token_budget:
            bins[-1].append(group)
        else:
            bins.append([group])
    while len(bins) % devices and any(len(bin) > 1 for bin in bins):
        heaviest = max((bin for bin in bins if len(bin) > 1), key=lambda bin: _cost(bin, packed=batching.packed))
        bins.remove(heaviest)
        bins += [heaviest[0::2], heaviest[1::2]]
    bins += [[] for _ in range(-len(bins) % devices)]
    return sorted(bins, key=lambda bin: -_cost(bin, packed=batching.packed))


def _cost(groups: Sequence[Tokens], *, packed: bool) -> int:
    if packed or not groups:
        return sum(group.cost(packed=packed) for group in groups)
    return max(group.widest for group in groups) * sum(len(group.responses) for group in groups)


def facts(groups: Sequence[Tokens]) -> Rows:
    """What the losses need beside log-probabilities, in row order."""
    rows = [(place, group, k) for place, group in enumerate(groups) for k in range(len(group.responses))]
    return Rows(
        logp=torch.zeros(0),
        reference=torch.tensor([0.0 if group.reference is None else group.reference[k] for _, group, k in rows]),
        length=torch.tensor([len(group.responses[k]) for _, group, k in rows]),
        width=torch.tensor([group.widest for _, group, _ in rows]),
        group=torch.tensor([place for place, _, _ in rows]),
        reward=torch.tensor([group.reward[k] for _, group, k in rows]),
        target=torch.tensor([group.target[k] for _, group, k in rows]),
        teacher=torch.tensor([group.teacher[k] for _, group, k in rows]),
    )


def padded(groups: Sequence[Tokens], *, pad: int, share: float = 1.0, last: bool = True) -> Batch:
    """Each row a prompt and one response, padded on the right to the longest."""
    rows = [(group.prompt, response) for group in groups for response in group.responses]
    width = max(len(prompt) + len(response) for prompt, response in rows)
    input_ids = torch.full((len(rows), width), pad)
    present = torch.zeros(len(rows), width, dtype=torch.bool)
    completion = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, (prompt, response) in enumerate(rows):
        input_ids[i, : len(prompt) + len(response)] = torch.tensor(prompt + response)
        present[i, : len(prompt) + len(response)] = True
        completion[i, len(prompt) : len(prompt) + len(response)] = True
    return from_rows(input_ids, present, completion, facts(groups), number=_numbers(groups), share=share, last=last)


def from_rows(
    input_ids: Int[Tensor, "rows tokens"],
    present: Bool[Tensor, "rows tokens"],
    completion: Bool[Tensor, "rows tokens"],
    facts: Rows,
    *,
    number: Int[Tensor, " rows"],
    share: float = 1.0,
    last: bool = True,
) -> Batch:
    """A padded batch, with its padding on either side: `completion` marks the tokens that are scored."""
    place = completion.flatten().nonzero().squeeze(1)
    return Batch(
        input_ids=input_ids,
        position_ids=(present.cumsum(dim=1) - 1).clamp(min=0),
        attention_mask=present,
        layout=None,
        source=place - 1,
        label=input_ids.flatten()[place],
        row=place // input_ids.shape[1],
        facts=facts,
        number=number,
        share=share,
        last=last,
    )


def _numbers(groups: Sequence[Tokens]) -> Int[Tensor, " rows"]:
    return torch.tensor([group.number for group in groups for _ in group.responses])


def waste(batch: Batch) -> int:
    """Padding tokens of a batch."""
    return int((~batch.attention_mask).sum())
