"""Tiny random models of every family, a tokenizer and groups, made on the spot."""

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from rrtf.records import Group, Outcome, RankedResponse, Role

VOCABULARY = 300
NARROW = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
LEARNED = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": NARROW,
    "qwen2": NARROW,
    "qwen3": NARROW | {"head_dim": 16},
    "starcoder2": NARROW,
    "gemma": NARROW | {"head_dim": 16},
    "gpt_bigcode": LEARNED,
    "gpt2": LEARNED,
}


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as tokens, one end-of-text token."""
    vocabulary = {token: number for number, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary["<|end|>"] = len(vocabulary)
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|end|>")


def tiny(family: str = "llama", *, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A random model in fp32; weights are larger than usual, so that mistakes show."""
    torch.manual_seed(seed)
    options = {"bos_token_id": 256, "eos_token_id": 256, "pad_token_id": 256, "max_position_embeddings": 256}
    config = AutoConfig.for_model(family, **{"vocab_size": VOCABULARY, **options, **FAMILIES[family], **changes})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    return model.eval()


def checkpoint(folder: Path, family: str = "llama", **changes: Any) -> Path:
    """A checkpoint folder with model and tokenizer."""
    model = tiny(family, **changes)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def group(number: int, *, rows: int = 4, seed: int = 0) -> Group:
    """A group with texts of random length, a teacher target first, then the student's rows, rewards with a tie."""
    draw = random.Random(f"{seed}-{number}")
    text = lambda most: "".join(draw.choice("abcdefgh \n") for _ in range(draw.randint(1, most)))  # noqa: E731
    rewards = [1.0, 0.5, -0.3, -0.3, -1.0, -1.0][:rows]
    responses = tuple(
        RankedResponse(
            source="teacher" if k == 0 else "student",
            role=Role.teacher if k == 0 else Role.student,
            text=text(24),
            reward=reward,
            outcome=Outcome.all_tests_passed if k == 0 else Outcome.runtime_error,
            target=k == 0,
        )
        for k, reward in enumerate(rewards)
    )
    return Group(task_id=f"t{number}", prompt=f"# task {number}\n" + text(30), responses=responses)


def groups(count: int, *, seed: int = 0) -> list[Group]:
    """Ragged groups of two to six rows."""
    return [group(number, rows=2 + number % 5, seed=seed) for number in range(count)]
