"""Scores are the model's own, whatever its family does to its logits; what would not be is refused before the first step."""

from pathlib import Path
from typing import Any

import pytest
import torch
from training_models import FAMILIES, NARROW, checkpoint, groups, tiny, tokenizer
from transformers import PreTrainedModel

from rrtf.errors import ConfigurationError
from rrtf.training.batches import Tokens, encode, padded
from rrtf.training.fit import build
from rrtf.training.module import RankingModule, Settings
from rrtf.training.packing import NAME, packed
from rrtf.training.quiet import quiet
from rrtf.training.scorer import Scorer
from rrtf.training.settings import Adapter, Attention, Batching, Loss, Optim, Precision, Trainer
from rrtf.training.strategies import lightning_trainer

TOKENS = encode(groups(3), tokenizer(), batching=Batching(max_length=200))
ODD: dict[str, dict[str, Any]] = {
    "granite": NARROW | {"logits_scaling": 8.0, "attention_multiplier": 0.2},
    "cohere": NARROW | {"logit_scale": 0.2},
    "gemma2": NARROW | {"head_dim": 8, "sliding_window": 128},
    "mistral": NARROW | {"sliding_window": 128},
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "rotary_dim": 8},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 256},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
}


@pytest.fixture(autouse=True)
def odd_families(monkeypatch: pytest.MonkeyPatch) -> None:
    for family, sizes in ODD.items():
        monkeypatch.setitem(FAMILIES, family, sizes)


def own_scores(model: PreTrainedModel, groups: list[Tokens]) -> torch.Tensor:
    """Each response's log-probability from the model's own logits, one row at a time."""
    found = []
    for group in groups:
        for response in group.responses:
            logits = model(input_ids=torch.tensor([group.prompt + response])).logits[0, len(group.prompt) - 1 : -1]
            found.append(logits.log_softmax(dim=-1).gather(1, torch.tensor(response)[:, None]).sum())
    return torch.stack(found)


@pytest.mark.parametrize("family", [*FAMILIES, "granite", "cohere", "gemma2", "mistral", "gptj"])
@pytest.mark.parametrize("kernel", [NAME, "eager"])
@torch.no_grad()
def test_scores_are_those_of_the_models_own_logits(family: str, kernel: str) -> None:
    if family == "gemma2" and kernel == NAME:
        pytest.skip("caps its attention scores, which only eager and flex do")
    model = tiny(family)
    model.set_attn_implementation("eager")
    wanted = own_scores(model, TOKENS)
    model.set_attn_implementation(kernel)
    for batch in (packed(TOKENS), padded(TOKENS, pad=0)):
        torch.testing.assert_close(Scorer(model, logits=3000)(batch), wanted, rtol=1e-5, atol=1e-4)


def start(folder: Path, *, attention: Attention = Attention.sdpa, packed: bool = True) -> RankingModule:
    """A run's first step."""
    trainer = Trainer(precision=Precision.fp32, attention=attention)
    batching = Batching(prompts_per_step=6, epochs=1, max_length=200, packed=packed)
    settings = Settings(loss=Loss(), adapter=Adapter(), optim=Optim(), trainer=trainer, batching=batching, seed=0)
    with quiet():
        module = build(groups(6), folder, validation=[], settings=settings)
        lightning_trainer(trainer, steps=1).fit(module)
    return module


@pytest.mark.parametrize("family", ["mpt", "bloom", "mamba"])
def test_a_family_that_reads_packed_rows_otherwise_is_refused_and_trains_unpacked(family: str, tmp_path: Path) -> None:
    """ALiBi counts tokens where they lie, and a recurrence reads all of them: no error, only wrong numbers."""
    folder = checkpoint(tmp_path, family)
    with pytest.raises(ConfigurationError, match=f"batching.packed: {family}.*use batching.packed=false"):
        start(folder, attention=Attention.eager)
    assert start(folder, attention=Attention.eager, packed=False).done == 1


def test_logits_made_in_an_unknown_way_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint(tmp_path, "granite")
    monkeypatch.setattr("rrtf.training.scorer.logit_scale", lambda config: 1.0)
    with pytest.raises(ConfigurationError, match="granite.*logits"):
        start(folder, packed=False)


@pytest.mark.parametrize("attention", [Attention.sdpa, Attention.eager])
def test_packed_rows_wider_than_the_models_window_are_refused_before_training(attention: Attention, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "mistral", sliding_window=20)
    with pytest.raises(ConfigurationError, match="batching.packed: a row of .* is wider than the model's window of 20"):
        start(folder, attention=attention)
    assert start(folder, packed=False).done == 1


def test_a_window_is_a_rows_affair_not_a_batchs(tmp_path: Path) -> None:
    """The longest prompt of a batch and the longest response of another group are no row."""
    widest = max(tokens.widest for tokens in encode(groups(6), tokenizer(), batching=Batching(max_length=200)))
    assert start(checkpoint(tmp_path, "mistral", sliding_window=widest)).done == 1


@pytest.mark.parametrize("packed", [True, False])
def test_capped_attention_scores_ask_for_a_kernel_that_caps(packed: bool, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "gemma2")
    with pytest.raises(ConfigurationError, match="trainer.attention: .*eager"):
        start(folder, packed=packed)
    assert start(folder, attention=Attention.eager, packed=packed).done == 1
