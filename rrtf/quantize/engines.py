"""A checkpoint of any format, loaded by the library that serves it, behind four verbs: the same for the original and the small.

A folder with model.bin is CTranslate2's. Everything else is transformers': the original, and a GPTQ folder, whose layers
transformers hands to GPTQModel (extra `gptq`). Tokens are ids everywhere.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any, NamedTuple, Protocol, runtime_checkable

from rrtf.checkpoints import is_ctranslate2
from rrtf.errors import UserError
from rrtf.loading import load_causal_lm, load_config, load_generation, load_tokenizer, padding
from rrtf.sampling.local import Limits, limits

# the checkpoint's own generation settings may name these; greedy decoding warns about them
_GREEDY: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}


class Draw(NamedTuple):
    """How the next tokens are chosen: temperature 0 is the likeliest token each time."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@runtime_checkable
class Engine(Protocol):
    """A loaded model with its tokenizer. `kernel` says what multiplies its weights, and in which numbers; `limits` what ends an
    answer: the same for every format of a model, and for those that sample it."""

    tokenizer: Any
    kernel: str
    limits: Limits

    def generate(self, prompts: Sequence[Sequence[int]], *, new_tokens: int, forced: bool) -> list[list[int]]:
        """The likeliest continuation of each prompt; `forced` goes on past end tokens to exactly `new_tokens`."""

    def score(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        """Natural log-probability of each token of the answer given the prompt and those before it."""

    def stream(self, prompt: Sequence[int], draw: Draw) -> Iterator[int]:
        """New tokens one by one, until an end token (which is left out) or the limit."""


def load(folder: Path, *, threads: int = 0, scoring: bool = False) -> Engine:
    """Load `folder` on the GPU where there is one, else on `threads` processor threads (0: the library's own choice).

    `scoring` is for many tokens at once (see `plain` of rrtf.loading.load_causal_lm), by several threads of the caller's side
    by side.

    Raises UserError for a folder no engine reads and MissingDataError for a package that is not installed.
    """
    if is_ctranslate2(folder):
        return CTranslate2Engine(folder, threads=threads, beside=threads if scoring else 1)
    return TransformersEngine(folder, threads=threads, plain=scoring)


class CTranslate2Engine:
    """A CTranslate2 folder; on a processor it serves `beside` callers at once, each with its part of the threads."""

    def __init__(self, folder: Path, *, threads: int = 0, beside: int = 1) -> None:
        import ctranslate2

        self.tokenizer = load_tokenizer(folder)
        self.limits = limits(self.tokenizer, load_config(folder), load_generation(folder))
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        self._seed = ctranslate2.set_random_seed
        try:
            beside = max(1, beside) if device == "cpu" else 1
            within = threads // beside
            self.model = ctranslate2.Generator(str(folder), device=device, inter_threads=beside, intra_threads=within)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{folder}: CTranslate2 can't load it: {error}") from None
        self.kernel = f"CTranslate2 {self.model.compute_type}"

    def _tokens(self, ids: Sequence[int]) -> list[str]:
        return list(self.tokenizer.convert_ids_to_tokens(list(ids)))

    def generate(self, prompts: Sequence[Sequence[int]], *, new_tokens: int, forced: bool) -> list[list[int]]:
        """See Engine."""
        least = new_tokens if forced else 0
        rows = [self._tokens(prompt) for prompt in prompts]
        options = {"max_length": new_tokens, "min_length": least, "end_token": sorted(self.limits.ends)}
        results = self.model.generate_batch(rows, include_prompt_in_result=False, **options)
        return [result.sequences_ids[0] for result in results]

    def score(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        """See Engine."""
        (result,) = self.model.score_batch([self._tokens([*prompt, *answer])], max_input_length=0)
        return list(result.log_probs[len(prompt) - 1 :])

    def stream(self, prompt: Sequence[int], draw: Draw) -> Iterator[int]:
        """See Engine."""
        self._seed(draw.seed)
        drawn = {"sampling_topk": 0, "sampling_topp": draw.top_p, "sampling_temperature": draw.temperature}
        ended = Event()
        options = {"max_length": draw.max_new_tokens, "callback": lambda step: ended.is_set()}
        options |= {"end_token": sorted(self.limits.ends)}
        steps = self.model.generate_tokens(self._tokens(prompt), **options, **(drawn if draw.temperature else {}))
        try:
            for step in steps:
                if step.token_id not in self.limits.ends:
                    yield step.token_id
        finally:  # an interrupted wait for a token would leave the library's thread writing up to the limit
            ended.set()
            steps.close()


class TransformersEngine:
    """A Hugging Face folder, in the precision it is stored in."""

    def __init__(self, folder: Path, *, threads: int = 0, plain: bool = False) -> None:
        import torch
        from transformers.utils import logging

        if threads:
            torch.set_num_threads(threads)
        logging.disable_progress_bar()
        self.tokenizer = load_tokenizer(folder)
        self.model = load_causal_lm(folder, device="cuda" if torch.cuda.is_available() else "cpu", plain=plain).eval()
        self.limits = limits(self.tokenizer, self.model.config, self.model.generation_config)
        layers = Counter(name for layer in self.model.modules() if "Linear" in (name := type(layer).__name__))
        self.kernel = f"{layers.most_common(1)[0][0]} {str(self.model.dtype).removeprefix('torch.')}"
        self.padding = padding(self.tokenizer)
        self.always = {"pad_token_id": self.padding, "eos_token_id": sorted(self.limits.ends) or None}

    def _padded(self, rows: Sequence[Sequence[int]], *, left: bool) -> dict[str, Any]:
        import torch

        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.padding)
        seen = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            place = slice(longest - len(row), longest) if left else slice(0, len(row))
            ids[index, place] = torch.tensor(list(row))
            seen[index, place] = 1
        return {"input_ids": ids.to(self.model.device), "attention_mask": seen.to(self.model.device)}

    def generate(self, prompts: Sequence[Sequence[int]], *, new_tokens: int, forced: bool) -> list[list[int]]:
        """See Engine."""
        inputs = self._padded(prompts, left=True)
        least = new_tokens if forced else None
        options = _GREEDY | {"min_new_tokens": least} | self.always
        rows = self.model.generate(**inputs, max_new_tokens=new_tokens, **options)
        return [row.tolist() for row in rows[:, inputs["input_ids"].shape[1] :]]

    def score(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        """See Engine."""
        import torch

        with torch.inference_mode():
            inputs = self._padded([[*prompt, *answer]], left=False)
            logits = self.model(**inputs, logits_to_keep=len(answer) + 1).logits[0, -len(answer) - 1 : -1].float()
            chosen = inputs["input_ids"][0, len(prompt) :, None]
            found: list[float] = (logits.gather(1, chosen)[:, 0] - logits.logsumexp(1)).tolist()
        return found

    def stream(self, prompt: Sequence[int], draw: Draw) -> Iterator[int]:
        """See Engine."""
        import torch

        torch.manual_seed(draw.seed)
        queue: Queue[Any] = Queue()
        chosen: dict[str, Any] = {"do_sample": True, "temperature": draw.temperature, "top_p": draw.top_p, "top_k": 0}
        options = chosen if draw.temperature else dict(_GREEDY)
        ended = Event()
        options |= {"max_new_tokens": draw.max_new_tokens, "streamer": _Streamer(queue)} | self.always
        options |= {"stopping_criteria": [lambda ids, scores, **rest: ended.is_set()]}
        thread = Thread(target=self._fill, args=(queue, self._padded([prompt], left=True) | options), daemon=True)
        thread.start()
        try:
            while (item := queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                if item not in self.limits.ends:
                    yield item
        finally:  # a process that ends while a thread of its is in the libraries is aborted by them
            ended.set()
            thread.join()

    def _fill(self, queue: "Queue[Any]", options: dict[str, Any]) -> None:
        try:
            self.model.generate(**options)
        except Exception as error:  # raised again by the thread that reads the queue
            queue.put(error)
        queue.put(None)


class _Streamer:
    """What `generate` calls with the prompt first and then with each new token."""

    def __init__(self, queue: "Queue[Any]") -> None:
        self.queue, self.prompt = queue, True

    def put(self, value: Any) -> None:
        if not self.prompt:
            for token in value.reshape(-1).tolist():
                self.queue.put(token)
        self.prompt = False

    def end(self) -> None:
        """The queue's end is put by the thread, after errors."""
