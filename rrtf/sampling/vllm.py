"""vLLM (extra `gpu`): the engine to use where there is a GPU."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rrtf.errors import MissingDataError
from rrtf.sampling.generator import Request, Response, speed
from rrtf.sampling.local import Writer
from rrtf.sampling.settings import Decoding, Precision, Vllm
from rrtf.sampling.stops import cut

# vLLM gives its answers back when all of a call are done; a call of this size keeps a GPU full and bounds what a kill loses
AT_ONCE = 2048


class VllmGenerator:
    """Answers requests with one checkpoint. vLLM shares a prompt's computation between answers by itself."""

    def __init__(self, source: Vllm, decoding: Decoding, *, path: Path) -> None:
        try:
            import vllm
        except ImportError:
            raise MissingDataError(
                "vLLM is not installed: pip install 'rrtf[gpu]' (it needs a GPU), or use a huggingface source"
            ) from None
        self.vllm: Any = vllm
        self.decoding = decoding
        self.writer = Writer(path)
        self.tokens = 0
        self.start = time.monotonic()
        dtype = "auto" if source.precision is Precision.auto else source.precision.value
        self.model: Any = vllm.LLM(
            model=str(path),
            dtype=dtype,
            gpu_memory_utilization=source.gpu_memory,
            tensor_parallel_size=source.tensor_parallel,
            enable_prefix_caching=True,
            trust_remote_code=False,
        )
        self.context: int = self.model.llm_engine.model_config.max_model_len

    def note(self) -> str:
        """See Generator."""
        return speed(self.tokens, self.start)

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """See Generator."""
        ids = {text: self.writer.ids(text) for text in {request.text for request in requests}}
        fitting = [request for request in requests if len(ids[request.text]) < self.context]
        yield from (Response(request.key, "", 0, "too_long") for request in requests if len(ids[request.text]) >= self.context)
        self.start = time.monotonic()
        for first in range(0, len(fitting), AT_ONCE):
            part = fitting[first : first + AT_ONCE]
            prompts = [{"prompt_token_ids": ids[request.text]} for request in part]
            outputs = self._beams(prompts) if self.decoding.num_beams > 1 else self._samples(prompts, part)
            for request, (text, tokens, finish) in zip(part, outputs, strict=True):
                self.tokens += tokens
                yield Response(request.key, cut(text, request.stop), tokens, finish)

    def _samples(self, prompts: list[Any], requests: Sequence[Request]) -> Iterator[tuple[str, int, str]]:
        parameters = [
            self.vllm.SamplingParams(
                temperature=request.temperature,
                top_p=self.decoding.top_p,
                top_k=self.decoding.top_k or -1,
                max_tokens=self.decoding.max_new_tokens,
                seed=request.seed,
                stop=list(request.stop),
            )
            for request in requests
        ]
        for output in self.model.generate(prompts, parameters, use_tqdm=False):
            best = output.outputs[0]
            yield best.text, len(best.token_ids), "length" if best.finish_reason == "length" else "stop"

    def _beams(self, prompts: list[Any]) -> Iterator[tuple[str, int, str]]:
        limit = self.decoding.max_new_tokens
        parameters = self.vllm.sampling_params.BeamSearchParams(beam_width=self.decoding.num_beams, max_tokens=limit)
        for prompt, output in zip(prompts, self.model.beam_search(prompts, parameters), strict=True):
            written = output.sequences[0].tokens[len(prompt["prompt_token_ids"]) :]
            text = self.writer.tokenizer.decode(written, skip_special_tokens=True)
            yield text, len(written), "length" if len(written) >= limit else "stop"
