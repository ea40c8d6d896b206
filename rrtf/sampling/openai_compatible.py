"""Any server that speaks OpenAI's protocol: many requests at once, limits respected, failures retried, counted and named.

The key is read from the environment when the first request is made; it is in no setting, row, key or message.
"""

import asyncio
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import openai

from rrtf.errors import ConfigurationError, InfrastructureError
from rrtf.profiles import Prompt
from rrtf.sampling.generator import Request, Response, Skip
from rrtf.sampling.patience import Limiter, Verdict, judge_failure, pause, told
from rrtf.sampling.settings import Decoding, OpenAICompatible
from rrtf.sampling.stops import cut

# the client's own line a request would bury the progress line
for chatty in ("httpx", "httpx2", "openai"):
    logging.getLogger(chatty).setLevel(logging.WARNING)

# OpenAI's protocol takes at most four; an answer is cut at all of them here
MOST_STOPS = 4

SHORTEST_SECRET = 8

# failures in which nothing came back at all
_SILENCE = (openai.APIConnectionError, asyncio.TimeoutError)


class ChatText:
    """An account of a chat prompt in words; what a server's own template makes of it is not known here."""

    def text(self, prompt: Prompt) -> str:
        """Plain text as it is sent; messages under their roles."""
        if not prompt.messages:
            return prompt.text + prompt.prefill
        return "\n\n".join(f"<{message.role}>\n{message.content}" for message in prompt.messages)


class Usage:
    """Tokens and money spent, as the server counts them."""

    def __init__(self, source: OpenAICompatible) -> None:
        self.source = source
        self.read = self.written = self.retried = 0

    def add(self, usage: Any) -> None:
        """Count one answer's usage; servers may leave it out."""
        self.read += _count(usage, "prompt_tokens")
        self.written += _count(usage, "completion_tokens")

    @property
    def cost(self) -> float:
        """In the currency of the prices."""
        return (self.read * self.source.input_price + self.written * self.source.output_price) / 1e6

    def __str__(self) -> str:
        money = f", cost {self.cost:.4f}" if self.source.input_price or self.source.output_price else ""
        again = f", {self.retried} tried again" if self.retried else ""
        return f"{self.read} tokens in, {self.written} out{money}{again}"


class _Failed(NamedTuple):
    """The thread that talks to the server ended with this error."""

    error: BaseException


class OpenAIGenerator:
    """Answers requests through one endpoint."""

    def __init__(self, source: OpenAICompatible, decoding: Decoding) -> None:
        if decoding.num_beams > 1:
            raise ConfigurationError(["num_beams: OpenAI's protocol has no beam search; use a local model"])
        self.source, self.decoding = source, decoding
        self.usage = Usage(source)
        self.answered = 0
        self.lost_before_answer = 0
        self.key = _key(source)
        # what servers are told in the place of a key ("EMPTY", "none") is shorter, and no secret
        self.secret = self.key if source.key_variable and len(self.key) >= SHORTEST_SECRET else ""
        # what the token limit is called; OpenAI's reasoning models know the newer name only, and other servers the older
        self.limit = "max_tokens"

    def note(self) -> str:
        """See Generator."""
        return str(self.usage)

    def generate(self, requests: Sequence[Request]) -> Iterator[Response | Skip]:
        """See Generator. Raises InfrastructureError where the endpoint is dead or refuses the key or the model."""
        self.start = time.monotonic()
        results: queue.Queue[Response | Skip | _Failed] = queue.Queue()
        stop = threading.Event()
        thread = threading.Thread(target=self._in_thread, args=(requests, results, stop), daemon=True)
        thread.start()
        try:
            for _ in requests:
                result = results.get()
                if isinstance(result, _Failed):
                    raise result.error
                yield result
        finally:
            stop.set()
            thread.join(timeout=5.0)

    def _in_thread(self, requests: Sequence[Request], results: "queue.Queue[Any]", stop: threading.Event) -> None:
        try:
            asyncio.run(self._all(requests, results, stop))
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            results.put(_Failed(error))

    async def _all(self, requests: Sequence[Request], results: "queue.Queue[Any]", stop: threading.Event) -> None:
        """Keep `concurrency` requests under way until all are answered, or the reader has gone."""
        waiting = iter(requests)
        limiter = Limiter(self.source.requests_per_minute)
        # our own patience replaces the client's: it must count, and hold back all requests after a 429
        address, seconds = self.source.base_url or None, self.source.timeout
        client = openai.AsyncOpenAI(api_key=self.key, base_url=address, max_retries=0, timeout=seconds)

        async def worker() -> None:
            for request in waiting:
                if stop.is_set():
                    return
                results.put(await self._patiently(client, request, limiter))

        async with client:
            workers = [asyncio.create_task(worker()) for _ in range(min(self.source.concurrency, len(requests)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for task in workers:
                    task.cancel()

    async def _patiently(self, client: openai.AsyncOpenAI, request: Request, limiter: Limiter) -> Response | Skip:
        """One request, tried again while that may help."""
        failures, answered = 0, self.answered
        while True:
            limit = self.limit
            await limiter.wait()
            try:
                # the client's own time-out counts between two bytes; a server that drips for ever is cut off by this one
                answer = await asyncio.wait_for(self._ask(client, request), timeout=self.source.timeout)
            except (openai.OpenAIError, asyncio.TimeoutError, ValueError, RecursionError) as error:
                verdict = judge_failure(error, secret=self.secret)
                if verdict.finish:
                    return Response(request.key, "", 0, verdict.finish)
                if verdict.fatal:
                    raise InfrastructureError(f"{self._place()}: {verdict.reason}") from None
                if limit == "max_tokens" and "max_completion_tokens" in told(error):
                    self.limit = "max_completion_tokens"
                    continue
                # while others get through, the server is busy and not broken, and waiting in line is no failure
                failures = 0 if verdict.crowded and self.answered > answered else failures + 1
                answered = self.answered
                unheard = not self.answered and failures > 2 and isinstance(error, _SILENCE)
                if failures > self.source.retries or not verdict.again or unheard:
                    return self._lost(request, verdict)
                self.usage.retried += 1
                wait = pause(error, failures)
                limiter.hold(wait if verdict.crowded else 0.0)
                await asyncio.sleep(wait)
            else:
                self.answered += 1
                return answer

    def _lost(self, request: Request, verdict: Verdict) -> Skip:
        """Give a request up; give the endpoint up if it has never answered."""
        self.lost_before_answer += not self.answered
        if not self.answered and self.lost_before_answer >= self.source.dead_after:
            lost = self.lost_before_answer
            raise InfrastructureError(f"{self._place()}: {lost} requests failed, none was answered; the last: {verdict.reason}")
        return Skip(request.key, verdict.reason)

    def _place(self) -> str:
        return f"{self.source.base_url or 'api.openai.com'} (model {self.source.model})"

    async def _ask(self, client: openai.AsyncOpenAI, request: Request) -> Response:
        """One try. Raises ValueError for an answer that holds nothing."""
        shared: dict[str, Any] = {
            "model": self.source.model,
            "temperature": request.temperature,
            "top_p": self.decoding.top_p,
            "seed": request.seed,
        }
        if request.stop:
            shared["stop"] = list(request.stop[:MOST_STOPS])
        if self.decoding.top_k:
            shared["extra_body"] = {"top_k": self.decoding.top_k}  # not OpenAI's, but vLLM's and llama.cpp's
        if request.prompt.messages:
            messages: Any = [message._asdict() for message in request.prompt.messages]
            shared[self.limit] = self.decoding.max_new_tokens
            answer: Any = await client.chat.completions.create(messages=messages, **shared)
        else:
            shared["max_tokens"] = self.decoding.max_new_tokens
            answer = await client.completions.create(prompt=request.text, **shared)
        usage = getattr(answer, "usage", None)
        self.usage.add(usage)  # before anything is refused: it is paid
        text, finish = _text(answer, chat=bool(request.prompt.messages))
        return Response(request.key, cut(text, request.stop), _count(usage, "completion_tokens"), finish)


def _count(usage: Any, name: str) -> int:
    """Tokens as the server counts them; what is no count counts nothing."""
    found = getattr(usage, name, None)
    return int(found) if isinstance(found, (int, float)) and 0 < found < math.inf else 0


def _text(answer: Any, *, chat: bool) -> tuple[str, str]:
    """The text of an answer and how it ended. Raises ValueError for one that holds nothing.

    Servers have been seen to send text, a list of parts, nothing, or an empty list. A reasoning model that spent all its
    tokens on thoughts has answered, with nothing; the thoughts, in fields of their own, are no part of the answer.
    """
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices:
        # gateways report errors with status 200; a model's fields that are not in the answer are None
        held = {} if answer is None else answer if isinstance(answer, str) else {k: v for k, v in answer if v is not None}
        raise ValueError(f"a response without choices: {held}")
    text = getattr(getattr(choices[0], "message", None), "content", None) if chat else getattr(choices[0], "text", None)
    if isinstance(text, list):
        parts = (part.get("text") for part in text if isinstance(part, dict) and part.get("type") == "text")
        text = "".join(part for part in parts if isinstance(part, str))
    ended = getattr(choices[0], "finish_reason", None)
    if not isinstance(text, str) or not text:
        if ended == "length":
            return "", "length"
        raise ValueError("an empty response" + (f", ended by {ended}" if ended not in (None, "stop") else ""))
    return text, "length" if ended == "length" else "stop"


def _key(source: OpenAICompatible) -> str:
    if not source.key_variable:
        return "none"  # the client insists on one; a server that wants none ignores it
    key = os.environ.get(source.key_variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigurationError([f"{source.key_variable}: holds a line break or a letter that no key has"])
    if not key:
        raise ConfigurationError(
            [
                f"no key in the environment: export {source.key_variable}=…, or set the source's key_variable to the name of "
                'the variable that holds it ("" for a server that wants none)'
            ]
        )
    return key
