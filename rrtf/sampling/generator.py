"""What every engine is: something that takes requests and yields responses as they finish."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from rrtf.profiles import Prompt


class Request(NamedTuple):
    """One answer to draw. Requests of one `text`, the exact prompt, share its computation.

    `seed` alone decides the answer's random numbers. `stop` texts end the answer and are no part of it. `prompt` is what
    `text` was made of: a server with a chat template of its own gets that instead.
    """

    key: str
    prompt: Prompt
    text: str
    temperature: float
    seed: int
    stop: tuple[str, ...]


class Response(NamedTuple):
    """One answer: its text without stop text, its tokens, and how it ended.

    `finish` is "stop", "length" (cut at the token limit) or "too_long": the prompt leaves no room in the model's context.
    That is the model's failing, so it is an answer, an empty one.
    """

    key: str
    text: str
    tokens: int
    finish: str


class Skip(NamedTuple):
    """A request that the machinery could not get answered, and why: never a row, always counted and shown."""

    key: str
    reason: str


def speed(tokens: int, start: float) -> str:
    """Tokens a second since `start` on the monotonic clock, for the progress line."""
    return f"{tokens / max(time.monotonic() - start, 1e-9):.0f} tokens/s"


@runtime_checkable
class Generator(Protocol):
    """An engine with its model loaded and its decoding fixed."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Response | Skip]:
        """Answer all requests, in any order, each as soon as it is finished. Raises InfrastructureError."""

    def note(self) -> str:
        """A few words on the work so far for the progress line: tokens per second, or cost."""
