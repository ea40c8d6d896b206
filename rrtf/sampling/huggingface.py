"""A transformers model: loaded in the precision that is fastest here, decoded by our loop, or by `generate`."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from rrtf.loading import load_causal_lm
from rrtf.sampling.attention import use_decoding_attention
from rrtf.sampling.generate import Generate, plain_attention
from rrtf.sampling.generator import Request, Response, speed
from rrtf.sampling.local import Writer, limits
from rrtf.sampling.loop import Loop, Shape
from rrtf.sampling.packed import pack
from rrtf.sampling.settings import Decoding, HuggingFace, Precision


class HuggingFaceGenerator:
    """Answers requests with one checkpoint."""

    def __init__(self, source: HuggingFace, decoding: Decoding, *, path: Path) -> None:
        self.writer = Writer(path)
        device = torch.device(source.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = load(path, dtype=precision(source.precision, device), device=device)
        config = self.model.config.get_text_config()
        ends = limits(self.writer.tokenizer, config, self.model.generation_config)
        self.start = time.monotonic()
        self.decoder: Loop | Generate
        if decoding.num_beams > 1 or not (plain_attention(config) and self.model._supports_attention_backend):
            self.decoder = Generate(self.model, self.writer, ends, decoding, rows=source.rows)
            return
        use_decoding_attention(self.model)
        if device.type == "cpu" and fast_bfloat16():
            pack(self.model, rows=source.rows)
        most = decoding.max_new_tokens
        shape = Shape(decoding.top_p, decoding.top_k, most, source.rows, source.cache_mb << 20)
        self.decoder = Loop(self.model, self.writer, ends, shape)

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """See Generator."""
        self.start = time.monotonic()
        return self.decoder.run(requests)

    def note(self) -> str:
        """See Generator."""
        return speed(self.decoder.tokens, self.start)


def load(path: Path, *, dtype: torch.dtype, device: torch.device) -> Any:
    """The model of a checkpoint folder, ready to decode; its own code is never run. Raises UserError."""
    transformers_logging.disable_progress_bar()
    return load_causal_lm(path, dtype=dtype, device=str(device), plain=True).eval()


def precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """The type to compute in; `auto` takes half precision where the device has instructions for it."""
    named = {Precision.bfloat16: torch.bfloat16, Precision.float16: torch.float16, Precision.float32: torch.float32}
    if wanted is not Precision.auto:
        return named[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if fast_bfloat16() and device.type == "cpu" else torch.float32


def fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; where it does not, oneDNN emulates it at less than float32's speed."""
    return torch.backends.mkldnn.is_available() and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
