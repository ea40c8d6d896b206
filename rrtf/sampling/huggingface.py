"""A transformers model: loaded in the precision that is fastest here, decoded by our loop, or by `generate` for beams."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from rrtf.errors import UserError
from rrtf.sampling.generator import Request, Response
from rrtf.sampling.local import Writer, limits
from rrtf.sampling.loop import Loop, Shape
from rrtf.sampling.packed import pack
from rrtf.sampling.settings import Decoding, HuggingFace, Precision


class HuggingFaceGenerator:
    """Answers requests with one checkpoint."""

    def __init__(self, source: HuggingFace, decoding: Decoding, *, path: Path) -> None:
        self.writer = Writer(path)
        self.decoding = decoding
        device = torch.device(source.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = load(path, dtype=precision(source.precision, device), device=device)
        pack(self.model, rows=source.rows)
        self.limits = limits(self.writer.tokenizer, self.model.config.get_text_config(), self.model.generation_config)
        self.shape = Shape(decoding.top_p, decoding.top_k, decoding.max_new_tokens, source.rows, source.cache_mb << 20)
        self.loop = Loop(self.model, self.writer, self.limits, self.shape)

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """See Generator."""
        self.start = time.monotonic()
        return self.loop.run(requests)

    def note(self) -> str:
        """See Generator."""
        return f"{self.loop.tokens / max(time.monotonic() - self.start, 1e-9):.0f} tokens/s"


def load(path: Path, *, dtype: torch.dtype, device: torch.device) -> Any:
    """The model of a checkpoint folder, ready to decode; its own code is never run."""
    transformers_logging.disable_progress_bar()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, use_safetensors=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: can't be loaded as a causal language model: {error}") from None
    return model.to(device).eval()


def precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """The type to compute in; `auto` is bfloat16 on a GPU and on a CPU that has instructions for it, else float32."""
    if wanted is not Precision.auto:
        return getattr(torch, wanted.value)
    fast = device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if fast else torch.float32
