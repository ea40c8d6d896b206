"""CTranslate2: a converted model in int8 (or another type), on CPU or GPU."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import groupby
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import ctranslate2
import torch

from rrtf.checkpoints import cache_folder, make_once
from rrtf.ctranslate_conversion import convert
from rrtf.errors import ConfigurationError
from rrtf.loading import load_config, load_generation
from rrtf.sampling.generator import Request, Response, speed
from rrtf.sampling.local import Writer, limits
from rrtf.sampling.settings import CTranslate2, Decoding
from rrtf.sampling.stops import Stops, cut


class Batch(NamedTuple):
    """Requests for the same prompt at the same temperature, its ids, and how many tokens an answer may have."""

    requests: list[Request]
    ids: list[int]
    room: int


class CTranslate2Generator:
    """Answers requests with one converted checkpoint, so that no answer depends on what else is asked.

    Greedy prompts are answered alone, on a processor as many side by side as it has threads: int8 rounds what it multiplies,
    so the last bit that a batch changes is soon another word (19 of 24 answers of SmolLM2-135M differ between one and 24 at a
    time), and two threads at one prompt are no faster than one (26 tokens a second). A problem's samples are drawn together,
    by the first one's seed: CTranslate2 has one random generator for all rows of a batch.
    """

    def __init__(self, source: CTranslate2, decoding: Decoding, *, path: Path) -> None:
        if decoding.top_k > 0 and decoding.num_beams > 1:
            raise ConfigurationError(["top_k: CTranslate2 draws no samples in beam search"])
        self.source, self.decoding, self.writer = source, decoding, Writer(path)
        config, tokenizer = load_config(path), self.writer.tokenizer
        self.limits = limits(tokenizer, config, load_generation(path))
        self.stops = Stops(tokenizer, vocabulary=max(len(tokenizer), config.get_text_config().vocab_size))
        self.device = source.device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.threads = torch.get_num_threads() if self.device == "cpu" else 1
        self.folder = path if (path / "model.bin").is_file() else converted(path, source.compute_type)
        self.ended = Event()
        self.tokens = 0
        self.start = time.monotonic()

    def note(self) -> str:
        """See Generator."""
        return speed(self.tokens, self.start)

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """See Generator."""
        self.start = time.monotonic()
        self.ended.clear()
        for response in self._responses(list(self._batches(requests))):
            self.tokens += response.tokens
            yield response

    def _responses(self, batches: Sequence[Batch]) -> Iterator[Response]:
        yield from (Response(asked.key, "", 0, "too_long") for b in batches if b.room < 1 or not b.ids for asked in b.requests)
        fit = [batch for batch in batches if batch.room > 0 and batch.ids]
        yield from self._greedy([batch for batch in fit if batch.requests[0].temperature <= 0])
        for batch in fit:
            if batch.requests[0].temperature > 0:
                # the seed is read when the library's threads start, so each draw needs threads of its own (0.3 s for 135M)
                ctranslate2.set_random_seed(batch.requests[0].seed)
                yield from self._answer(self._load(beside=1, within=self.threads), batch)

    def _batches(self, requests: Sequence[Request]) -> Iterator[Batch]:
        for (text, temperature), same in groupby(requests, key=lambda request: (request.text, request.temperature)):
            ids, together = self.writer.ids(text), list(same)
            room = min(self.decoding.max_new_tokens, self.limits.context - len(ids))
            rows = self.source.rows if temperature > 0 else 1
            for first in range(0, len(together), rows):
                yield Batch(together[first : first + rows], ids, room)

    def _load(self, *, beside: int, within: int) -> Any:
        """The model, for so many batches side by side with so many threads each."""
        threads = {"inter_threads": beside, "intra_threads": within} if self.device == "cpu" else {}
        return ctranslate2.Generator(str(self.folder), device=self.device, compute_type=self.source.compute_type, **threads)

    def _greedy(self, batches: Sequence[Batch]) -> Iterator[Response]:
        """The likeliest answers, as they are finished."""
        if not batches:
            return
        model = self._load(beside=self.threads, within=1)
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                for answered in as_completed([pool.submit(self._answer, model, batch) for batch in batches]):
                    yield from answered.result()
            except BaseException:  # those under way end with their next token
                self.ended.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _answer(self, model: Any, batch: Batch) -> list[Response]:
        asked, tokenizer = batch.requests[0], self.writer.tokenizer
        warm = asked.temperature > 0
        results = model.generate_batch(
            [tokenizer.convert_ids_to_tokens(batch.ids)] * len(batch.requests),
            max_length=batch.room,
            include_prompt_in_result=False,
            beam_size=self.decoding.num_beams,
            sampling_topk=(self.decoding.top_k or 0) if warm else 1,
            sampling_topp=self.decoding.top_p if warm else 1.0,
            sampling_temperature=asked.temperature if warm else 1.0,
            end_token=sorted(self.limits.ends),
            callback=self._watch(batch) if self.decoding.num_beams == 1 else None,
        )
        rows = zip(batch.requests, (result.sequences_ids[0] for result in results), strict=True)
        return [self._response(request, written, batch.room) for request, written in rows]

    def _watch(self, batch: Batch) -> Any:
        """What CTranslate2 calls with each new token, and which says whether that row is over: it knows no stop texts."""
        stop = batch.requests[0].stop
        last = self.stops.triggers(stop).tolist() if stop else []
        written: list[list[int]] = [[] for _ in batch.requests]

        def over(step: Any) -> bool:
            tokens = written[step.batch_id]
            tokens.append(step.token_id)
            return self.ended.is_set() or bool(last and last[step.token_id] and self.stops.hit(tokens, stop))

        return over

    def _response(self, request: Request, written: list[int], room: int) -> Response:
        text = self.writer.tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        kept = cut(text, request.stop)
        return Response(request.key, kept, len(written), "length" if len(written) >= room and kept == text else "stop")


def converted(path: Path, compute_type: str) -> Path:
    """The CTranslate2 form of a Hugging Face folder, converted once into the user's cache folder."""
    from rrtf.checkpoints import resolve

    digest = resolve(str(path)).digest
    target = cache_folder() / "ctranslate2" / f"{digest}-{compute_type}"
    make_once(target, cache_folder(), lambda folder: convert(path, folder, quantization=compute_type))
    return target
