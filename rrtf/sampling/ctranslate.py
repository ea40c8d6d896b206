"""CTranslate2: a converted model in int8 (or another type), on CPU or GPU."""

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import ctranslate2
import torch

from rrtf.checkpoints import cache_folder, make_once
from rrtf.ctranslate_conversion import convert
from rrtf.errors import ConfigurationError
from rrtf.loading import load_config
from rrtf.sampling.generator import Request, Response, speed
from rrtf.sampling.local import Writer, limits
from rrtf.sampling.settings import CTranslate2, Decoding
from rrtf.sampling.stops import cut


class CTranslate2Generator:
    """Answers requests with one converted checkpoint, a problem's samples together.

    CTranslate2 has one random generator for all rows of a batch: it is set from the first request of each batch, so a
    problem's samples are drawn again alike only together. It knows no stop texts; answers are cut after they are written.
    """

    def __init__(self, source: CTranslate2, decoding: Decoding, *, path: Path) -> None:
        if decoding.top_k > 0 and decoding.num_beams > 1:
            raise ConfigurationError(["top_k: CTranslate2 draws no samples in beam search"])
        self.source, self.decoding, self.writer = source, decoding, Writer(path)
        self.limits = limits(self.writer.tokenizer, load_config(path), None)
        device = source.device or ("cuda" if torch.cuda.is_available() else "cpu")
        folder = path if (path / "model.bin").is_file() else converted(path, source.compute_type)
        threads = {"intra_threads": torch.get_num_threads()} if device == "cpu" else {}
        self.model: Any = ctranslate2.Generator(str(folder), device=device, compute_type=source.compute_type, **threads)
        self.tokens = 0
        self.start = time.monotonic()

    def note(self) -> str:
        """See Generator."""
        return speed(self.tokens, self.start)

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """See Generator."""
        self.start = time.monotonic()
        for (text, _), same in groupby(requests, key=lambda request: (request.text, request.temperature)):
            ids = self.writer.ids(text)
            room = min(self.decoding.max_new_tokens, self.limits.context - len(ids))
            if room < 1 or not ids:
                yield from (Response(request.key, "", 0, "too_long") for request in same)
                continue
            together = list(same)
            for first in range(0, len(together), self.source.rows):
                yield from self._batch(ids, room, together[first : first + self.source.rows])

    def _batch(self, ids: list[int], room: int, requests: list[Request]) -> Iterator[Response]:
        """The samples of one problem at one temperature."""
        ctranslate2.set_random_seed(requests[0].seed)
        tokens = self.writer.tokenizer.convert_ids_to_tokens(ids)
        warm = requests[0].temperature > 0
        results = self.model.generate_batch(
            [tokens] * len(requests),
            max_length=room,
            include_prompt_in_result=False,
            beam_size=self.decoding.num_beams,
            sampling_topk=(self.decoding.top_k or 0) if warm else 1,
            sampling_topp=self.decoding.top_p if warm else 1.0,
            sampling_temperature=requests[0].temperature if warm else 1.0,
            end_token=sorted(self.limits.ends),
        )
        for request, result in zip(requests, results, strict=True):
            written = result.sequences_ids[0]
            self.tokens += len(written)
            text = self.writer.tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            kept = cut(text, request.stop)
            finish = "length" if len(written) >= room and kept == text else "stop"
            yield Response(request.key, kept, len(written), finish)


def converted(path: Path, compute_type: str) -> Path:
    """The CTranslate2 form of a Hugging Face folder, converted once into the user's cache folder."""
    from rrtf.checkpoints import resolve

    digest = resolve(str(path)).digest
    target = cache_folder() / "ctranslate2" / f"{digest}-{compute_type}"
    make_once(target, cache_folder(), lambda folder: convert(path, folder, quantization=compute_type))
    return target
