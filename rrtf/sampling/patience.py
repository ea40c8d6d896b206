"""What a failed request means, how long to wait before the next, and how fast to ask at all."""

import asyncio
import json
import random
import re
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import openai

LONGEST_PAUSE = 60.0

# how servers say that a prompt does not fit: OpenAI's words (and vLLM's, SGLang's), llama.cpp's, Gemini's, TGI's
_TOO_LONG = re.compile(
    r"context.{0,40}(?:length|window|size)|maximum context|(?:prompt|input|request|message)\w*.{0,40}too (?:long|large)"
    r"|exceeds the maximum number of tokens|`inputs` tokens|reduce the length of the messages",
    re.IGNORECASE | re.DOTALL,
)

# a server-sent event, or what stands in one
_PIECES = re.compile(r"(?:^|: )data: ?\{|chat\.completion\.chunk")


class Verdict(NamedTuple):
    """What to do about a failure: try `again`, slow all down (`crowded`), give the endpoint up (`fatal`).

    `finish` is set where the failure is an answer: the prompt is longer than the model's context.
    """

    reason: str
    again: bool = False
    crowded: bool = False
    fatal: bool = False
    finish: str = ""


def judge_failure(error: BaseException, *, secret: str = "") -> Verdict:
    """What an error of the client means; `secret` is left out of what a server says, which may repeat it."""
    if isinstance(error, (openai.AuthenticationError, openai.PermissionDeniedError)):
        return Verdict(f"the key is refused (status {error.status_code}){_moved(error)}", fatal=True)
    if isinstance(error, openai.NotFoundError):
        return Verdict(f"no such model or address (status 404): {_said(error, secret)}{_moved(error)}", fatal=True)
    if isinstance(error, openai.RateLimitError):
        if "insufficient_quota" in (error.code, error.type) or "insufficient_quota" in told(error):
            return Verdict("the account has no credit left (insufficient_quota)", fatal=True)
        return Verdict("too many requests (status 429)", again=True, crowded=True)
    if isinstance(error, (openai.APITimeoutError, asyncio.TimeoutError)):
        return Verdict("no answer in time", again=True)
    if isinstance(error, openai.APIStatusError):
        return _status(error, secret)
    if isinstance(error, openai.APIConnectionError):
        why = _said(error.__cause__, secret) if error.__cause__ else ""
        return Verdict(f"no connection ({why})" if why else "no connection", again=True)
    said = _said(error, secret)
    if _PIECES.search(said):
        return Verdict(f"the server answers in pieces (a stream) where whole answers are asked for: {said}")
    return Verdict(f"unreadable answer ({said or type(error).__name__})", again=True)


def _status(error: openai.APIStatusError, secret: str) -> Verdict:
    said = _said(error, secret)
    if error.status_code in (400, 413, 422, 500) and _TOO_LONG.search(told(error)):
        return Verdict(said, finish="too_long")
    again = error.status_code >= 500 or error.status_code in (408, 409)
    return Verdict(f"status {error.status_code}: {said}{_moved(error)}", again=again)


def _moved(error: openai.APIStatusError) -> str:
    """Where the error came from, if not from the address asked: the client follows there without key, or without question."""
    where = error.response.url.host
    return f" (redirected to {where}: set base_url to where it leads)" if error.response.history else ""


def told(error: BaseException) -> str:
    """What an error says, with the server's answer where that is not of OpenAI's form: the client leaves it out then."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error}: {error.doc}"
    body = getattr(error, "body", None)
    ours = not body or (isinstance(body, dict) and body.get("message"))
    return str(error) if ours or str(body) in str(error) else f"{error}: {body}"


def _said(error: BaseException, secret: str) -> str:
    """What an error says, on one line and not too much of it."""
    text = " ".join(told(error).split())
    return (text.replace(secret, "(hidden)") if secret else text)[:200]


def pause(error: BaseException, attempt: int) -> float:
    """Seconds before the next try: what the server asks for, else twice as long each time, with some chance in it."""
    response = getattr(error, "response", None)
    asked = _asked(response.headers.get("retry-after", "")) if response is not None else None
    if asked is not None:
        return min(max(asked, 0.0), LONGEST_PAUSE)
    return min(0.5 * 2.0**attempt, LONGEST_PAUSE) * random.uniform(0.75, 1.25)


def _asked(header: str) -> float | None:
    """The seconds in a Retry-After header, which may name them or a moment."""
    if re.fullmatch(r"\d+(\.\d+)?", header):
        return float(header)
    try:
        return parsedate_to_datetime(header).timestamp() - time.time()
    except ValueError:
        return None


class Limiter:
    """Lets requests through at a given rate, and none while the server asks for quiet."""

    def __init__(self, per_minute: float) -> None:
        self.gap = 60.0 / per_minute if per_minute else 0.0
        self.next = 0.0

    def hold(self, seconds: float) -> None:
        """Let nothing through for some seconds."""
        self.next = max(self.next, time.monotonic() + seconds)

    async def wait(self) -> None:
        """Return when the next request may go."""
        now = time.monotonic()
        turn = max(self.next, now)
        self.next = turn + self.gap
        if turn > now:
            await asyncio.sleep(turn - now)
