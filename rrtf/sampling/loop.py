"""The decoding loop: every prompt computed once, its answers side by side, finished rows replaced by new ones. What all
prompts begin with (a system message) is computed once for all.

Beside `transformers.generate(num_return_sequences=n)`, which computes a prompt n times, carries finished rows to the end of
the longest and sorts the vocabulary at every step. The logits are the same (tests compare them), and so is the distribution.

An answer's random numbers depend on its seed alone. What is left of the batch in the result is rounding: a matrix product's
last bits depend on how many rows it has, so that now and then a draw next to a border falls to its other side.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import DynamicCache

from rrtf.cores import Cores
from rrtf.sampling.generator import Request, Response
from rrtf.sampling.local import Limits, Writer
from rrtf.sampling.nucleus import pick, uniforms
from rrtf.sampling.slots import SlotCache
from rrtf.sampling.stops import Stops, cut

# tokens of prompts computed in one forward pass; more is slower (1024: 1,207, 4096: 1,142 tokens/s) and costs memory
PREFILL_TOKENS = 1024


class Shape(NamedTuple):
    """How tokens are drawn and how many rows run at once."""

    top_p: float
    top_k: int
    max_new_tokens: int
    rows: int
    cache_bytes: int


@dataclass
class _Job:
    """A prompt and the answers still to draw for it."""

    ids: list[int]
    requests: list[Request]
    room: int


@dataclass
class _Row:
    """An answer under way."""

    request: Request
    room: int
    random: np.ndarray
    tokens: list[int] = field(default_factory=list)


class Loop:
    """Decodes requests with one model."""

    def __init__(self, model: Any, writer: Writer, limits: Limits, shape: Shape) -> None:
        self.model, self.writer, self.limits, self.shape = model, writer, limits, shape
        self.device = model.device
        self.layers = model.config.get_text_config().num_hidden_layers
        self.stops = Stops(writer.tokenizer, vocabulary=model.config.get_text_config().vocab_size)
        self.tokens = 0

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer all requests, each as soon as it is finished; shortest prompts first, so that rows are alike in length."""
        jobs, too_long = self._jobs(requests)
        yield from too_long
        jobs.sort(key=lambda job: len(job.ids), reverse=True)  # the next one is at the end
        self.cache = SlotCache(layers=self.layers, most_rows=self._most_rows(jobs), device=self.device)
        self.rows: list[_Row] = []
        self.next = torch.zeros(0, dtype=torch.long)
        self.cores = Cores(self.device)
        try:
            self.shared = self._shared(jobs)
            while jobs or self.rows:
                if jobs and (not self.rows or self.cache.free >= min(len(jobs[-1].requests), self.cache.most_rows)):
                    yield from self._admit(jobs)
                    continue
                yield from self._advance()
        finally:
            self.cores.release()

    def _jobs(self, requests: Sequence[Request]) -> tuple[list[_Job], list[Response]]:
        """Requests by prompt, and empty answers for prompts that leave no room."""
        by_text: dict[str, list[Request]] = {}
        for request in requests:
            by_text.setdefault(request.text, []).append(request)
        jobs, too_long = [], []
        for text, same in by_text.items():
            ids = self.writer.ids(text)
            room = min(self.shape.max_new_tokens, self.limits.context - len(ids))
            if room < 1 or not ids:
                too_long += [Response(request.key, "", 0, "too_long") for request in same]
            else:
                jobs.append(_Job(ids, same, room))
        return jobs, too_long

    def _most_rows(self, jobs: list[_Job]) -> int:
        """Rows that fit the memory set for keys and values, for the longest prompt."""
        config = self.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        longest = max((len(job.ids) + job.room for job in jobs), default=1) + 64
        size = 2 * self.layers * heads * width * self.model.dtype.itemsize * longest
        wanted = sum(len(job.requests) for job in jobs)
        return max(1, min(self.shape.rows, wanted, self.shape.cache_bytes // size))

    def _shared(self, jobs: list[_Job]) -> DynamicCache:
        """Keys and values of what all prompts begin with; at least one token of each prompt is left to compute."""
        cache = DynamicCache()
        same = os.path.commonprefix([job.ids[:-1] for job in jobs]) if len(jobs) > 1 else []
        if same:
            self.model(input_ids=torch.tensor([same], device=self.device), past_key_values=cache, logits_to_keep=1)
        return cache

    def _admit(self, jobs: list[_Job]) -> Iterator[Response]:
        """Compute the next prompts in one pass and draw the first token of each of their answers."""
        chosen: list[_Job] = []
        free, shared = self.cache.free, self.shared.get_seq_length()
        while jobs and free:
            job = jobs[-1]
            width = max(len(other.ids) for other in [job, *chosen]) - shared
            if chosen and (width * (len(chosen) + 1) > PREFILL_TOKENS or len(job.requests) > free):
                break
            taken, rest = job.requests[:free], job.requests[free:]
            chosen.append(_Job(job.ids, taken, job.room))
            free -= len(taken)
            if rest:
                job.requests = rest
            else:
                jobs.pop()
        with self.cores.step():
            logits, prompts = self._prefill([job.ids for job in chosen])
        copies = [len(job.requests) for job in chosen]
        self.cache.admit(prompts, lengths=[len(job.ids) for job in chosen], copies=copies, shared=shared)
        new = [_Row(request, job.room, uniforms(request.seed, job.room)) for job in chosen for request in job.requests]
        self.rows += new
        drawn = self._draw(logits.repeat_interleave(torch.tensor(copies, device=self.device), 0), new)
        self.next = torch.cat([self.next, drawn])
        yield from self._settle(range(len(self.rows) - len(new), len(self.rows)))

    def _prefill(self, prompts: list[list[int]]) -> tuple[Float[Tensor, "prompts vocabulary"], DynamicCache]:
        """The logits behind each prompt, and the prompts' keys and values; padding is behind what all share."""
        shared = self.shared.get_seq_length()
        width = max(map(len, prompts)) - shared
        ids = torch.zeros(len(prompts), width, dtype=torch.long)
        mask = torch.zeros(len(prompts), shared + width, dtype=torch.long)
        mask[:, :shared] = 1
        for row, prompt in enumerate(prompts):
            rest = prompt[shared:]
            ids[row, width - len(rest) :] = torch.tensor(rest)
            mask[row, shared + width - len(rest) :] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, shared:]
        cache = DynamicCache()
        layers: list[Any] = self.shared.layers
        for number, layer in enumerate(layers):
            cache.update(*(part.expand(len(prompts), -1, -1, -1) for part in (layer.keys, layer.values)), number)
        out = self.model(
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=positions.to(self.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1], cache

    def _advance(self) -> Iterator[Response]:
        """One token more for every row."""
        positions, mask = self.cache.step()
        with self.cores.step():
            out = self.model(
                input_ids=self.next[:, None].to(self.device),
                attention_mask=mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
            )
            self.cache.stepped()
            self.next = self._draw(out.logits[:, -1], self.rows)
        yield from self._settle(range(len(self.rows)))

    def _draw(self, logits: Float[Tensor, "rows vocabulary"], rows: list[_Row]) -> Int[Tensor, " rows"]:
        temperature = torch.tensor([row.request.temperature for row in rows], device=self.device)
        uniform = torch.from_numpy(np.stack([row.random[len(row.tokens)] for row in rows])).to(self.device)
        shape = self.shape
        return pick(logits, temperature=temperature, uniform=uniform, top_p=shape.top_p, top_k=shape.top_k).cpu()

    def _settle(self, places: range) -> Iterator[Response]:
        """Take in the drawn tokens; yield and remove the rows they finish."""
        drawn = self.next.tolist()
        finished = []
        for place in places:
            row, token = self.rows[place], drawn[place]
            ended = token in self.limits.ends
            if not ended:
                row.tokens.append(token)
            self.tokens += 1
            stop = row.request.stop
            stopped = bool(stop) and not ended and bool(self.stops.triggers(stop)[token]) and self.stops.hit(row.tokens, stop)
            if ended or stopped or len(row.tokens) >= row.room:
                finished.append(place)
                yield self._response(row, "stop" if ended or stopped else "length")
        for place in reversed(finished):
            last = self.cache.release(place)
            self.rows[place] = self.rows[last]
            self.rows.pop()
            self.next[place] = self.next[last]
            self.next = self.next[:last]
        if finished:
            self.cache.settle()

    def _response(self, row: _Row, finish: str) -> Response:
        text = self.writer.tokenizer.decode(row.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Response(row.request.key, cut(text, row.request.stop), len(row.tokens), finish)
