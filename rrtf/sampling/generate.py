"""transformers' own `generate`, for what our loop does not do: beam search, and models whose cache is not plain attention."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from rrtf.sampling.generator import Request, Response
from rrtf.sampling.local import Limits, Writer
from rrtf.sampling.nucleus import pick, uniforms
from rrtf.sampling.settings import Decoding
from rrtf.sampling.stops import cut


class Generate:
    """Decodes one problem at a time, all its answers at one temperature together, so that no other problem counts."""

    def __init__(self, model: Any, writer: Writer, limits: Limits, decoding: Decoding, *, rows: int) -> None:
        self.model, self.writer, self.limits, self.decoding, self.rows = model, writer, limits, decoding, rows
        self.tokens = 0

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer all requests."""
        for (text, _), same in groupby(requests, key=lambda request: (request.text, request.temperature)):
            ids = self.writer.ids(text)
            room = min(self.decoding.max_new_tokens, self.limits.context - len(ids))
            together = list(same)
            if room < 1 or not ids:
                yield from (Response(request.key, "", 0, "too_long") for request in together)
                continue
            for first in range(0, len(together), self.rows):
                yield from self._batch(ids, room, together[first : first + self.rows])

    def _batch(self, ids: list[int], room: int, requests: list[Request]) -> Iterator[Response]:
        """The answers to one prompt."""
        prompt = torch.tensor([ids] * len(requests), device=self.model.device)
        stop = list(requests[0].stop)
        written = self.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=room,
            eos_token_id=sorted(self.limits.ends),
            pad_token_id=min(self.limits.ends, default=0),
            **({"stop_strings": stop, "tokenizer": self.writer.tokenizer} if stop else {}),
            **self._how(requests, len(ids), room),
        )[:, len(ids) :]
        for request, row in zip(requests, written.tolist(), strict=True):
            yield self._response(request, row, room)

    def _how(self, requests: list[Request], prompt: int, room: int) -> dict[str, Any]:
        """The arguments that say how tokens are drawn; those of the model's own generation settings do not count."""
        plain = {"top_p": None, "top_k": None, "temperature": None, "repetition_penalty": None, "do_sample": False}
        if self.decoding.num_beams > 1:
            return plain | {"num_beams": self.decoding.num_beams, "early_stopping": True}
        drawn = LogitsProcessorList([_Drawn(requests, self.decoding, prompt, room)] if requests[0].temperature > 0 else [])
        return plain | {"num_beams": 1, "logits_processor": drawn}

    def _response(self, request: Request, row: list[int], room: int) -> Response:
        end = next((place for place, token in enumerate(row) if token in self.limits.ends), len(row))
        tokens = row[:end]
        self.tokens += len(tokens)
        text = self.writer.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        kept = cut(text, request.stop)
        finish = "length" if len(tokens) >= room and kept == text else "stop"
        return Response(request.key, kept, len(tokens), finish)


class _Drawn(LogitsProcessor):
    """Draws each row's token with the row's own random numbers, as our loop does, and leaves `generate` no other to take.

    `generate` itself has one stream of random numbers for all rows, so that an answer would depend on those beside it.
    """

    def __init__(self, requests: Sequence[Request], decoding: Decoding, prompt: int, room: int) -> None:
        self.decoding, self.prompt = decoding, prompt
        self.temperature = torch.tensor([request.temperature for request in requests])
        self.random = torch.from_numpy(np.stack([uniforms(request.seed, room) for request in requests]))

    def __call__(
        self, input_ids: Int[Tensor, "rows positions"], scores: Float[Tensor, "rows vocabulary"]
    ) -> Float[Tensor, "rows vocabulary"]:
        """Scores that are 0 for the token that was drawn and -inf for all others."""
        uniform = self.random[:, input_ids.shape[1] - self.prompt].to(scores.device)
        temperature = self.temperature.to(scores.device)
        chosen = pick(scores, temperature=temperature, uniform=uniform, top_p=self.decoding.top_p, top_k=self.decoding.top_k)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen[:, None], 0.0)


def plain_attention(config: Any) -> bool:
    """Whether every layer keeps keys and values of all positions, which our loop's slots hold.

    Not so: sliding windows shorter than the context, linear attention, state-space layers.
    """
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    context = getattr(config, "max_position_embeddings", 0)
    recurrent = any(hasattr(config, name) for name in ("state_size", "ssm_cfg", "linear_num_key_heads"))
    return kinds == {"full_attention"} and not recurrent and (not window or window >= context)
