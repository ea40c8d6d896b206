"""Tiny random models with a real byte-level tokenizer, saved as the checkpoint folders that users have."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

COMMON = {"vocab_size": 320, "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
LLAMA = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}

FAMILIES = {
    "llama": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA | {"head_dim": 8},
    "gpt2": GPT,
    "gpt_bigcode": GPT | {"multi_query": True},
    "starcoder2": LLAMA | {"sliding_window": None},
    "gemma2": LLAMA | {"head_dim": 8, "sliding_window": 16},
}


def tokenizer(*, template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Bytes and a few merges; no pad token, as in many published tokenizers."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    raw.train_from_iterator(["def add(a, b):\n    return a + b\n```python\nclass print import def return"] * 3, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<|begin|>", eos_token="<|end|>")
    wrapped.chat_template = template
    return wrapped


def save(folder: Path, family: str = "llama", *, template: str | None = TEMPLATE, seed: int = 0, **changes: int) -> Path:
    """A checkpoint folder of a tiny model. Weights are wide, so that its answers differ and its nuclei are narrow."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **(COMMON | FAMILIES[family] | changes))
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "wpe" not in name:
                weight.normal_(0.0, 0.25)
    model.generation_config.pad_token_id = None
    model.save_pretrained(folder)
    tokenizer(template=template).save_pretrained(folder)
    return folder
