"""What every engine is: something that takes requests and yields responses as they finish."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from rrtf.progress import Report


class Request(NamedTuple):
    """One answer to draw. `text` is the exact prompt; requests that share it share its computation.

    `seed` alone decides the answer's random numbers. `stop` texts end the answer and are no part of it.
    """

    key: str
    text: str
    temperature: float
    seed: int
    stop: tuple[str, ...]


class Response(NamedTuple):
    """One answer: its text without stop text, its tokens, and "stop" or "length" (the token limit cut it)."""

    key: str
    text: str
    tokens: int
    finish: str


class Skip(NamedTuple):
    """A request that got no answer, and why: never a row, always counted and shown."""

    key: str
    reason: str


class Generator(Protocol):
    """An engine with its model loaded and its decoding fixed."""

    def generate(self, requests: Sequence[Request], *, progress: Report) -> Iterator[Response | Skip]:
        """Answer all requests, in any order, each as soon as it is finished. Raises InfrastructureError."""
