"""Groups become tokens, steps and micro-batches without losing, repeating or splitting anything."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from training_models import group, groups, tokenizer

from rrtf.errors import MissingDataError
from rrtf.records import Group
from rrtf.training.batches import Tokens, count_steps, encode, micro_batches, padded, shortfall, steps, waste
from rrtf.training.loader import StepLoader
from rrtf.training.packing import packed
from rrtf.training.settings import Batching

TOKENIZER = tokenizer()


def tokens(sizes: list[tuple[int, int, int]]) -> list[Tokens]:
    """Groups of (prompt, response, rows) lengths."""
    return [
        Tokens(number, [1] * prompt, [[2] * response] * rows, [0.0] * rows, [True] + [False] * (rows - 1), [False] * rows)
        for number, (prompt, response, rows) in enumerate(sizes)
    ]


SIZES = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 6)), min_size=1, max_size=20)


@given(sizes=SIZES, devices=st.integers(1, 4), budget=st.integers(1, 500), packed=st.booleans())
@settings(max_examples=60, deadline=None)
def test_micro_batches_keep_groups_whole_within_the_budget(
    sizes: list[tuple[int, int, int]], devices: int, budget: int, packed: bool
) -> None:
    made = tokens(sizes)
    batching = Batching(token_budget=budget, packed=packed)
    bins = micro_batches(made, batching=batching, devices=devices)
    assert sorted(group.number for groups in bins for group in groups) == list(range(len(made)))
    assert len(bins) % devices == 0
    for chosen in bins:
        width = max((group.widest for group in chosen), default=0)
        padded_cost = width * sum(len(group.responses) for group in chosen)
        cost = sum(group.cost(packed=True) for group in chosen) if packed else padded_cost
        assert cost <= budget or len(chosen) == 1


@given(sizes=SIZES, epochs=st.integers(1, 3), per_step=st.integers(1, 7), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_each_epoch_sees_each_group_once_in_an_order_of_its_own(
    sizes: list[tuple[int, int, int]], epochs: int, per_step: int, seed: int
) -> None:
    made = tokens(sizes)
    batching = Batching(prompts_per_step=per_step, epochs=epochs, token_budget=200)
    plan = list(steps(made, batching=batching, seed=seed, devices=1))
    assert len(plan) == count_steps(len(made), batching=batching)
    for epoch in range(epochs):
        mine = [step for step in plan if step.epoch == epoch]
        seen = [group.number for step in mine for groups in step.micro for group in groups]
        assert sorted(seen) == list(range(len(made)))
        assert [step.last_of_epoch for step in mine] == [False] * (len(mine) - 1) + [True]
        assert all(sum(map(len, step.micro)) == per_step for step in mine[:-1])


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    made = encode(groups(12), TOKENIZER, batching=Batching())
    order = lambda seed: [  # noqa: E731
        [group.number for part in step.micro for group in part]
        for step in steps(made, batching=Batching(prompts_per_step=4, epochs=2), seed=seed, devices=1)
    ]
    assert order(1) == order(1) != order(2)
    assert order(1)[:3] != order(1)[3:]


@pytest.mark.parametrize("devices", [1, 2, 3, 5])
def test_devices_share_a_step_and_its_shares_add_up_to_one(devices: int) -> None:
    made = encode(groups(7), TOKENIZER, batching=Batching())
    batching = Batching(prompts_per_step=4, epochs=2, token_budget=200)
    loaders = [
        list(StepLoader(made, batching=batching, seed=0, pad=0, rank=rank, devices=devices, start=0)) for rank in range(devices)
    ]
    assert len({tuple(batch.last for batch in loader) for loader in loaders}) == 1
    shares = [0.0]
    for turn in zip(*loaders, strict=True):
        shares[-1] += sum(batch.share * len(batch.facts.group.unique()) for batch in turn)
        if turn[0].last:
            shares.append(0.0)
    assert shares == pytest.approx([1.0] * 4 + [0.0])


def test_a_loader_goes_on_after_the_steps_done() -> None:
    made = encode(groups(7), TOKENIZER, batching=Batching())
    batching = Batching(prompts_per_step=2, epochs=2, token_budget=200)
    whole = list(StepLoader(made, batching=batching, seed=0, pad=0))
    rest = list(StepLoader(made, batching=batching, seed=0, pad=0, start=3))
    begun = [i for i, batch in enumerate(whole) if batch.last][2] + 1
    assert len(rest) == len(whole) - begun
    assert all(torch.equal(a.input_ids, b.input_ids) for a, b in zip(whole[begun:], rest, strict=True))


def test_what_is_scored_is_the_response_and_its_end() -> None:
    one = group(0, rows=3)
    made = encode([one], TOKENIZER, batching=Batching())
    for batch in (padded(made, pad=0), packed(made)):
        for row, response in enumerate(one.responses):
            assert TOKENIZER.decode(batch.label[batch.row == row]) == response.text + "<|end|>"
        assert torch.equal(batch.facts.length, torch.bincount(batch.row))
    bare = padded(encode([one], TOKENIZER, batching=Batching(append_eos=False)), pad=0)
    assert TOKENIZER.decode(bare.label[bare.row == 0]) == one.responses[0].text


def test_the_hidden_state_before_a_token_predicts_it() -> None:
    made = encode(groups(3), TOKENIZER, batching=Batching())
    for batch in (padded(made, pad=0), packed(made)):
        flat = batch.input_ids.flatten()
        follows = batch.row[1:] == batch.row[:-1]
        assert torch.equal(flat[batch.source[1:]][follows], batch.label[:-1][follows])


def test_long_rows_are_cut_and_counted_and_prompts_without_room_left_out() -> None:
    one = group(0, rows=4)
    limit = len(one.prompt) + 5
    (made,) = encode([one], TOKENIZER, batching=Batching(max_length=limit))
    assert made.widest <= limit
    assert made.cut == sum(len(response.text) + 1 > 5 for response in one.responses)
    with pytest.raises(MissingDataError, match="prompt of batching.max_length"):
        encode([one], TOKENIZER, batching=Batching(max_length=len(one.prompt)))


def test_dropped_and_empty_groups_are_not_trained_on() -> None:
    dropped = Group(task_id="x", prompt="p", responses=group(0).responses, dropped="tie")
    empty = Group(task_id="y", prompt="p", responses=())
    assert len(encode([dropped, empty, group(1)], TOKENIZER, batching=Batching())) == 1
    with pytest.raises(MissingDataError, match="no group to train on"):
        encode([dropped, empty], TOKENIZER, batching=Batching())


def test_padding_is_counted_and_packing_has_none() -> None:
    made = encode(groups(4), TOKENIZER, batching=Batching())
    rows = padded(made, pad=0)
    real = sum((len(g.prompt) * len(g.responses)) + sum(map(len, g.responses)) for g in made)
    assert waste(rows) == rows.input_ids.numel() - real > 0
    assert waste(packed(made)) == 0


@pytest.mark.parametrize("empty", [0, 2])
def test_a_response_without_a_token_is_left_out(empty: int) -> None:
    """It has no probability: as a score of 0, the best there is, it would win every pair."""
    one = group(0, rows=4)
    texts = [replace(response, text="" if k == empty else response.text) for k, response in enumerate(one.responses)]
    silent = replace(one, responses=tuple(texts))
    (made,) = encode([silent], TOKENIZER, batching=Batching(append_eos=False))
    assert [TOKENIZER.decode(ids) for ids in made.responses] == [r.text for k, r in enumerate(one.responses) if k != empty]
    assert made.reward == [r.reward for k, r in enumerate(one.responses) if k != empty]
    assert made.target == [k == 0 for k in range(4) if k != empty]
    assert shortfall([silent], [made]) == {"groups_left_out": 0, "responses_left_out": 1, "responses_cut": 0}
    assert len(encode([silent], TOKENIZER, batching=Batching())[0].responses) == 4, "the end of the text is a token"
    nothing = replace(one, responses=(replace(one.responses[0], text=""),))
    with pytest.raises(MissingDataError, match="no group to train on"):
        encode([nothing], TOKENIZER, batching=Batching(append_eos=False))


def test_a_tokenizer_that_ends_texts_by_itself_does_not_end_prompts() -> None:
    """As with add_eos_token: the model would be trained to answer after the end. A beginning it adds is kept, once."""
    ending, bos = tokenizer(), "<|begin|>"
    ending.add_special_tokens({"bos_token": bos})
    pieces = [(bos, ending.bos_token_id), ("<|end|>", ending.eos_token_id)]
    ending.backend_tokenizer.post_processor = TemplateProcessing(single=f"{bos} $A <|end|>", special_tokens=pieces)
    for prompt in ("abc", f"{bos}abc"):
        (made,) = encode([replace(group(0), prompt=prompt)], ending, batching=Batching())
        assert ending.decode(made.prompt) == f"{bos}abc"
        assert [ending.decode(ids) for ids in made.responses] == [r.text + "<|end|>" for r in group(0).responses]


def test_an_empty_prompt_still_predicts_the_first_token(tmp_path: Path) -> None:
    (made,) = encode([Group(task_id="e", prompt="", responses=group(0).responses)], TOKENIZER, batching=Batching())
    assert made.prompt == [TOKENIZER.eos_token_id]
    assert len(packed([made]).label) == sum(map(len, made.responses))


def test_mistakes_are_listed_in_words() -> None:
    assert Batching(prompts_per_step=0, max_length=1).mistakes() == [
        "batching.prompts_per_step: 0 is outside [1, inf]", "batching.max_length: 1 is outside [2, inf]",
    ]  # fmt: skip
