"""Checkpoint folder -> model ready to train: precision, attention kernel, adapter; and back to a folder."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import PreTrainedModel

from rrtf.errors import ConfigurationError, UserError
from rrtf.loading import load_causal_lm, refuse_quantized
from rrtf.training.packing import NAME
from rrtf.training.settings import Accelerator, Adapter, AdapterKind, Attention, Batching, Precision, StrategyName, Trainer

KERNELS = {
    Attention.sdpa: "sdpa",
    Attention.eager: "eager",
    Attention.flex: "flex_attention",
    Attention.flash_attention_2: "flash_attention_2",
    Attention.flash_attention_3: "flash_attention_3",
}
COMPUTE = {
    Precision.fp32: torch.float32,
    Precision.bf16: torch.bfloat16,
    Precision.bf16_weights: torch.bfloat16,
    Precision.fp16: torch.float16,
}
PACKAGES = {
    Attention.flash_attention_2: ("flash_attn", "flash-attn"),
    Attention.flash_attention_3: ("flash_attn_interface", "flash-attn-3"),
}


def unavailable(*, adapter: Adapter, trainer: Trainer, batching: Batching) -> list[str]:
    """What this machine or these packages can't do, each with the way out; checked before anything is loaded."""
    found = []
    if trainer.accelerator is Accelerator.gpu and not torch.cuda.is_available():
        found.append("trainer.accelerator: gpu asked for, but torch.cuda.is_available() is False; use trainer=cpu")
    elif trainer.accelerator is Accelerator.gpu and torch.cuda.device_count() < trainer.devices:
        found.append(f"trainer.devices: {trainer.devices} asked for, {torch.cuda.device_count()} found")
    if trainer.attention in PACKAGES:
        module, package = PACKAGES[trainer.attention]
        if importlib.util.find_spec(module) is None:
            found.append(f"trainer.attention: {trainer.attention.value} needs the package {package}; install it or use sdpa")
        if batching.packed:
            found.append(
                f"batching.packed: {trainer.attention.value} has no shared-prompt form; use sdpa or flex, or packed: false"
            )
    if adapter.kind is AdapterKind.qlora:
        if trainer.accelerator is Accelerator.cpu:
            found.append(
                "adapter.kind: qlora needs a GPU (bitsandbytes trains 4-bit layers there only); use adapter=lora on the CPU"
            )
        if importlib.util.find_spec("bitsandbytes") is None:
            found.append("adapter.kind: qlora needs the package bitsandbytes; install rrtf[gpu] or use adapter=lora")
    if trainer.strategy is StrategyName.deepspeed and importlib.util.find_spec("deepspeed") is None:
        found.append("trainer.strategy: deepspeed needs the package deepspeed; install rrtf[deepspeed] or use fsdp")
    return found


def load_model(checkpoint: Path, *, adapter: Adapter, trainer: Trainer, batching: Batching) -> PreTrainedModel | PeftModel:
    """The model with its adapter, in training mode; raises ConfigurationError where `unavailable` finds something."""
    if found := unavailable(adapter=adapter, trainer=trainer, batching=batching):
        raise ConfigurationError(found)
    refuse_quantized(checkpoint)
    options: dict[str, Any] = {"dtype": weights_dtype(trainer, adapter), "attn_implementation": kernel(trainer, batching)}
    if adapter.kind is AdapterKind.qlora:
        options["quantization_config"] = _four_bit(trainer)
    try:
        model = load_causal_lm(checkpoint, **options)
    except UserError as error:
        if "does not support an attention implementation" in str(error):
            raise ConfigurationError([f"trainer.attention: {error}; use eager"]) from None
        raise
    if trainer.attention is Attention.sdpa and not model._supports_sdpa:  # packed, transformers does not look at it
        raise ConfigurationError([f"trainer.attention: {model.config.model_type} can't be computed by sdpa; use eager"])
    check_length(model, batching)
    return prepare(model, adapter=adapter, trainer=trainer)


def prepare(model: PreTrainedModel, *, adapter: Adapter, trainer: Trainer) -> PreTrainedModel | PeftModel:
    """Put on the adapter and switch on what the settings ask for."""
    model.config.use_cache = False
    if adapter.kind is AdapterKind.qlora:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if trainer.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    if adapter.kind is AdapterKind.full:
        return model
    modules: Any = "all-linear" if adapter.modules == ["all-linear"] else adapter.modules
    lora = LoraConfig(
        r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, target_modules=modules, task_type="CAUSAL_LM"
    )
    try:
        return get_peft_model(model, lora)
    except ValueError as error:
        raise ConfigurationError([f"adapter.modules: {error}"]) from None


def weights_dtype(trainer: Trainer, adapter: Adapter) -> torch.dtype:
    """fp32 for weights that are trained under autocast; a frozen base is held in the format it computes in."""
    if trainer.precision is Precision.bf16_weights:
        return torch.bfloat16
    if adapter.kind is AdapterKind.full or trainer.precision is Precision.fp32:
        return torch.float32
    return torch.float16 if trainer.precision is Precision.fp16 else torch.bfloat16


def kernel(trainer: Trainer, batching: Batching) -> str:
    """transformers' name for the attention kernel; sdpa has a packed form of ours."""
    return NAME if batching.packed and trainer.attention is Attention.sdpa else KERNELS[trainer.attention]


def check_length(model: PreTrainedModel, batching: Batching) -> None:
    """Raise ConfigurationError if rows may be longer than the positions the model has."""
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and batching.max_length > limit:
        raise ConfigurationError([f"batching.max_length: {batching.max_length} is more than the model's {limit} positions"])


def check_window(model: PreTrainedModel | PeftModel, *, widest: int, batching: Batching) -> None:
    """Raise ConfigurationError if packed rows are wider than the window of the model's attention: only padded rows obey it."""
    window = getattr(model.config, "sliding_window", None)
    if batching.packed and window is not None and widest > window:
        raise ConfigurationError(
            [f"batching.packed: a row of {widest} tokens is wider than the model's window of {window}; use packed=false"]
        )


def _four_bit(trainer: Trainer) -> Any:
    """NF4 with double quantization (QLoRA, arXiv 2305.14314, section 3)."""
    from transformers import BitsAndBytesConfig

    compute = torch.float16 if trainer.precision is Precision.fp16 else torch.bfloat16
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )
