"""transformers' own `generate`, for what our loop does not do: beam search, and models whose cache is not plain attention."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch

from rrtf.sampling.generator import Request, Response
from rrtf.sampling.local import Limits, Writer
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
        """The answers to one prompt; the first one's seed draws them all."""
        torch.manual_seed(requests[0].seed)
        prompt = torch.tensor([ids], device=self.model.device)
        stop = list(requests[0].stop)
        written = self.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=room,
            eos_token_id=sorted(self.limits.ends),
            pad_token_id=min(self.limits.ends, default=0),
            **({"stop_strings": stop, "tokenizer": self.writer.tokenizer} if stop else {}),
            **self._how(requests),
        )[:, len(ids) :]
        for request, row in zip(requests, written.tolist(), strict=True):
            yield self._response(request, row, room)

    def _how(self, requests: list[Request]) -> dict[str, Any]:
        """The arguments that say how tokens are drawn; those of the model's own generation settings do not count."""
        plain = {"top_p": None, "top_k": None, "temperature": None, "repetition_penalty": None}
        if self.decoding.num_beams > 1:
            return plain | {"do_sample": False, "num_beams": self.decoding.num_beams, "early_stopping": True}
        if requests[0].temperature <= 0:
            return plain | {"do_sample": False, "num_beams": 1}
        return {
            "do_sample": True,
            "num_beams": 1,
            "temperature": requests[0].temperature,
            "top_p": self.decoding.top_p,
            "top_k": self.decoding.top_k,
            "num_return_sequences": len(requests),
        }

    def _response(self, request: Request, row: list[int], room: int) -> Response:
        end = next((place for place, token in enumerate(row) if token in self.limits.ends), len(row))
        tokens = row[:end]
        self.tokens += len(tokens)
        text = self.writer.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        kept = cut(text, request.stop)
        finish = "length" if len(tokens) >= room and kept == text else "stop"
        return Response(request.key, kept, len(tokens), finish)


def plain_attention(config: Any) -> bool:
    """Whether every layer keeps keys and values of all positions, which our loop's slots hold.

    Not so: sliding windows shorter than the context, linear attention, state-space layers.
    """
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    context = getattr(config, "max_position_embeddings", 0)
    recurrent = any(hasattr(config, name) for name in ("state_size", "ssm_cfg", "linear_num_key_heads"))
    return kinds == {"full_attention"} and not recurrent and (not window or window >= context)
