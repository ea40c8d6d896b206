"""The OpenAI-compatible source against a real HTTP server that misbehaves in every way a real one does."""

import json
import logging
import socket
import time
from email.utils import formatdate

import httpx
import openai
import pytest
from endpoint import answer, endpoint, error

from rrtf.errors import ConfigurationError, InfrastructureError
from rrtf.prompts import Profile, Style
from rrtf.records import Problem, Role, TestKind, Tests
from rrtf.sampling import patience
from rrtf.sampling.settings import Decoding, OpenAICompatible
from rrtf.sampling.stage import sample

PROBLEMS = [
    Problem(
        task_id=f"p/{number}",
        text=f"Add {number}.",
        entry_point="add",
        signature="def add(a, b):",
        tests=Tests(kind=TestKind.asserts, asserts=("assert add(1, 2) == 3",)),
    )
    for number in range(6)
]
DECODING = Decoding(n=2, temperatures=[0.7])
PIECES = b'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "x"}}]}\n\ndata: [DONE]\n\n'


@pytest.fixture(autouse=True)
def quick_and_keyed(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    monkeypatch.setattr(patience, "LONGEST_PAUSE", 0.05)


def ask(url, *, cache=None, problems=PROBLEMS, decoding=DECODING, progress=lambda done, total, note: None, **settings):
    source = OpenAICompatible(**({"model": "m", "base_url": url, "timeout": 5.0, "retries": 3} | settings))
    found = sample(problems, source, decoding, name="api", role=Role.teacher, cache=cache, progress=progress)
    return list(found)


def test_answers_become_candidates_with_tokens_and_cost():
    notes = []
    with endpoint(lambda number, body: answer(f"```python\ndef add(a, b):\n    return {number}\n```")) as (url, seen):
        rows = ask(url, progress=lambda done, total, note: notes.append(note), input_price=1000.0, output_price=2000.0)
    assert [(row.task_id, row.sample) for row in rows] == [(p.task_id, n) for p in PROBLEMS for n in (0, 1)]
    assert all(row.program.startswith("def add") and row.tokens == 5 and row.role is Role.teacher for row in rows)
    assert notes[-1] == "120 tokens in, 60 out, cost 0.2400"
    bodies = [body for _, body, _ in seen]
    assert len({body["seed"] for body in bodies}) == 12
    assert all(body["max_tokens"] == 256 and body["temperature"] == 0.7 and "stop" not in body for body in bodies)


def test_the_key_is_sent_and_written_nowhere(tmp_path):
    with endpoint(lambda number, body: answer()) as (url, seen):
        rows = ask(url, cache=tmp_path / "cache.jsonl")
    assert seen[0][2]["authorization"] == "Bearer secret-key"
    assert "secret-key" not in (tmp_path / "cache.jsonl").read_text() + repr(rows)


def test_a_missing_key_says_how_to_give_it(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigurationError, match="export OPENAI_API_KEY"):
        ask("http://127.0.0.1:9/v1")
    with endpoint(lambda number, body: answer()) as (url, _):
        assert len(ask(url, key_variable="")) == 12


def test_plain_prompts_use_the_completions_address():
    with endpoint(lambda number, body: answer("\n    return a + b\n\nprint(1)")) as (url, seen):
        source = OpenAICompatible(model="m", base_url=url, profile=Profile(style=Style.paper))
        rows = list(sample(PROBLEMS[:1], source, DECODING, name="api", role=Role.student))
    assert seen[0][1]["prompt"].endswith("def add(a, b):")
    assert len(seen[0][1]["stop"]) == 4
    assert rows[0].program.rstrip() == "def add(a, b):\n    return a + b"


def test_a_storm_of_429_is_waited_out():
    def behave(number, body):
        return error(429, "slow down", headers={"Retry-After": "0.01"}) if number % 3 else answer()

    with endpoint(behave) as (url, seen):
        rows = ask(url, retries=30)
    assert len(rows) == 12
    assert len(seen) > 12


def test_waiting_in_line_is_no_failure_while_others_get_through():
    """Of the first 250 tries one in ten is let through: thirty requests are refused 225 times, six `retries` each are 180."""

    def behave(number, body):
        refused = number < 250 and number % 10
        return error(429, "slow down", headers={"Retry-After": "0.05"}) if refused else answer()

    with endpoint(behave) as (url, seen):
        assert len(ask(url, decoding=Decoding(n=5, temperatures=[0.7]), retries=6, concurrency=30)) == 30
    assert len(seen) > 250


def test_a_storm_that_never_ends_is_given_up():
    with endpoint(lambda number, body: error(429, "slow down")) as (url, seen):
        with pytest.raises(InfrastructureError, match="none was answered; the last: too many requests"):
            ask(url, retries=2)
    assert len(seen) <= 12 * 3


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("2", 2, 2),
        ("0.5", 0.5, 0.5),
        ("9999", 60, 60),
        ("date", 5, 10),
        ("yesterday", 0, 0),
        ("soon", 0.3, 0.7),
        ("", 0.3, 0.7),
    ],
)
def test_the_server_says_how_long_to_wait(monkeypatch, header, least, most):
    monkeypatch.setattr(patience, "LONGEST_PAUSE", 60.0)
    moments = {"date": time.time() + 10, "yesterday": time.time() - 86_400}
    said = formatdate(moments[header], usegmt=True) if header in moments else header
    refusal = httpx.Response(429, headers={"retry-after": said}, request=httpx.Request("POST", "http://x"))
    assert least <= patience.pause(openai.RateLimitError("no", response=refusal, body=None), 0) <= most


def test_everybody_waits_after_a_429():
    def behave(number, body):
        return error(429, "slow down", headers={"Retry-After": "0.6"}) if number == 0 else answer()

    patience.LONGEST_PAUSE = 1.0
    with endpoint(behave) as (url, seen):
        ask(url, concurrency=1)
    assert seen[1][0] - seen[0][0] >= 0.55


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((200, b'{"choices": [{"mess', {}), "unreadable"),
        ((200, b"<html>busy</html>", {"Content-Type": "text/html"}), "without choices|unreadable"),
        ((200, json.dumps(answer("")).encode(), {}), "empty response"),
        ((200, json.dumps(answer(None)).encode(), {}), "empty response"),
        ((200, b'{"choices": []}', {}), "without choices"),
        ((200, b"null", {}), "without choices|unreadable"),
        (error(500, "oops"), "status 500"),
        (error(503, "overloaded"), "status 503"),
        ((200, b'{"choices": {"0": 1}}', {}), "without choices"),
        ((200, b'{"choices": ' + b"[" * 3000 + b"]" * 3000 + b"}", {}), "unreadable"),
        ((400, b'[{"error": {"message": "API key not valid"}}]', {}), "status 400: .*API key not valid"),
        ((422, b'{"detail": [{"msg": "field required"}]}', {}), "status 422: .*field required"),
        ((500, b'{"error": "out of memory"}', {}), "status 500: .*out of memory"),
        ((502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}), "status 502: .*bad gateway"),
        (error(400, "bad field"), "status 400: .*bad field"),
    ],
    ids=[
        "half json",
        "html",
        "empty",
        "null text",
        "no choices",
        "null",
        "500",
        "503",
        *("map", "deep", "list", "detail", "text", "page"),
        "400",
    ],
)
def test_a_server_that_never_answers_well_is_named_and_given_up(reply, reason):
    with endpoint(lambda number, body: reply) as (url, _), pytest.raises(InfrastructureError, match=reason) as caught:
        ask(url, retries=1)
    assert url in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((200, b'{"choices"', {"Content-Length": "5000"}), "no connection .*incomplete|no connection .*complete"),
        ((200, b"xxxx", {"Content-Encoding": "gzip"}), "no connection .*header"),
        ((307, b"", {"Location": "/v1/chat/completions"}), "no connection .*redirects"),
        ((302, b"", {"Location": "/v1/elsewhere"}), "redirected to 127.0.0.1: set base_url to where it leads"),
        ((200, PIECES, {"Content-Type": "text/event-stream"}), "the server answers in pieces .*whole answers are asked for"),
        ((200, PIECES, {}), "the server answers in pieces .*whole answers are asked for"),
        ((200, b'{"error": {"message": "model is loading"}}', {}), "without choices: .*model is loading"),
        ((200, b'{"object": "error", "message": "too big"}', {}), "without choices: .*too big"),
        ((200, b"<html>Sign in to the proxy</html>", {}), "unreadable .*Sign in to the proxy"),
        ((200, b"you sent secret-key", {}), r"unreadable .*you sent \(hidden\)"),
    ],
    ids=[
        "cut off",
        "no gzip",
        "in circles",
        "elsewhere",
        "stream",
        "stream as json",
        "error as 200",
        "error",
        "page",
        "secret",
    ],
)
def test_why_an_answer_never_came_is_told(reply, reason):
    with endpoint(lambda number, body: reply) as (url, _), pytest.raises(InfrastructureError, match=reason):
        ask(url, retries=1)


def test_a_redirect_is_followed_without_the_key():
    with endpoint(lambda number, body: error(401, "no key")) as (other, _):
        with endpoint(lambda number, body: (307, b"", {"Location": f"{other}/chat/completions"})) as (url, _):
            with pytest.raises(InfrastructureError, match="key is refused .*redirected to 127.0.0.1: set base_url"):
                ask(url)
    with endpoint(lambda number, body: answer()) as (other, seen):
        with endpoint(lambda number, body: (307, b"", {"Location": f"{other}/chat/completions"})) as (url, _):
            assert len(ask(url)) == 12
    assert len(seen) == 12 and not any("authorization" in headers for _, _, headers in seen)


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_server_that_repeats_the_key_does_not_get_it_into_messages(status, caplog):
    def behave(number, body):
        return answer() if number == 0 else error(status, "bad header Authorization: Bearer secret-key " + "x" * 300)

    with endpoint(behave) as (url, _), caplog.at_level(logging.DEBUG, logger="rrtf"):
        with pytest.raises(InfrastructureError, match=r"Bearer \(hidden\)") as caught:
            ask(url, retries=0, concurrency=1)
    assert "secret-key" not in str(caught.value) + caplog.text


@pytest.mark.parametrize("key", ["secret-key\n", " secret-key "])
def test_a_key_out_of_a_file_loses_its_line_break(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with endpoint(lambda number, body: answer()) as (url, seen):
        ask(url, problems=PROBLEMS[:1])
    assert seen[0][2]["authorization"] == "Bearer secret-key"


def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret\nkey-\u2019")
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY: holds") as caught:
        ask("http://127.0.0.1:9/v1")
    assert "secret" not in str(caught.value)


def test_thoughts_are_no_answer_and_without_one_the_answer_is_empty():
    """A reasoning model's thoughts come in a field of their own; with its tokens spent on them nothing else comes."""

    def behave(number, body):
        spent = "Add 3." in body["messages"][-1]["content"]
        reply = answer(
            None if spent else "```python\ndef add(a, b):\n    return a + b\n```", finish="length" if spent else "stop"
        )
        reply["choices"][0]["message"]["reasoning_content"] = "def add(a, b):\n    return 0"
        return reply

    notes = []
    with endpoint(behave) as (url, seen):
        rows = ask(url, progress=lambda done, total, note: notes.append(note))
    assert len(rows) == len(seen) == 12
    assert {(row.program, row.finish, row.tokens) for row in rows if row.task_id == "p/3"} == {("", "length", 5)}
    assert all("return a + b" in row.program for row in rows if row.task_id != "p/3")
    assert notes[-1].startswith("120 tokens in, 60 out")


def test_thoughts_and_text_in_parts_are_told_apart():
    parts = [{"type": "thinking", "thinking": "x = 0"}, {"type": "text", "text": "def add(a, b):\n"}]
    parts += [{"type": "text", "text": "    return a + b\n"}, {"type": "text"}, "x"]
    with endpoint(lambda number, body: answer(parts)) as (url, _):
        assert {row.program for row in ask(url)} == {"def add(a, b):\n    return a + b\n"}


@pytest.mark.parametrize("counts", [("10", "5"), ({}, [1]), (-1, -5), (float("nan"), float("inf")), (None, True)])
def test_a_count_that_is_none_counts_nothing_and_no_answer_is_lost(counts, tmp_path):
    usage = dict(zip(("prompt_tokens", "completion_tokens"), counts, strict=True))
    with endpoint(lambda number, body: answer() | {"usage": usage}) as (url, seen):
        rows = ask(url, cache=tmp_path / "cache")
        assert {type(row.tokens) for row in rows} == {int} and min(row.tokens for row in rows) >= 0
        assert ask(url, cache=tmp_path / "cache") == rows
    assert len(seen) == 12


def test_what_an_unusable_answer_cost_is_counted():
    notes = []
    with endpoint(lambda number, body: answer("" if number == 0 else "x")) as (url, _):
        ask(url, problems=PROBLEMS[:1], progress=lambda done, total, note: notes.append(note))
    assert notes[-1] == "30 tokens in, 15 out, 1 tried again"


def test_a_model_that_wants_the_newer_name_of_the_token_limit_gets_it():
    def behave(number, body):
        if "max_tokens" in body:
            return error(400, "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.")
        return answer()

    with endpoint(behave) as (url, seen):
        assert len(ask(url, retries=0)) == 12
    assert [body["max_completion_tokens"] for _, body, _ in seen if "max_tokens" not in body] == [256] * 12


def test_one_bad_request_is_an_error_that_keeps_the_rest(tmp_path):
    def behave(number, body):
        return error(500, "oops") if "Add 3." in body["messages"][-1]["content"] else answer()

    with endpoint(behave) as (url, seen):
        with pytest.raises(InfrastructureError, match="2 of 12 requests got no answer: 2 x status 500: .*10 answers are kept"):
            ask(url, cache=tmp_path / "log", retries=0)
    assert len(seen) == 12
    assert len((tmp_path / "log").read_text().splitlines()) == 10


def test_what_was_answered_is_never_asked_again(tmp_path):
    broken = [True]

    def behave(number, body):
        bad = broken[0] and "Add 3." in body["messages"][-1]["content"]
        return error(500, "oops") if bad else answer(f"answer {number}")

    with endpoint(behave) as (url, seen):
        with pytest.raises(InfrastructureError):
            ask(url, cache=tmp_path / "log", retries=0)
        broken[0] = False
        rows = ask(url, cache=tmp_path / "log", retries=0)
        assert len(rows) == 12
        assert len(seen) == 14
        assert ask(url, cache=tmp_path / "log") == rows
        assert len(seen) == 14


def test_a_tolerated_loss_is_counted_and_shown(caplog):
    def behave(number, body):
        return error(500, "oops") if "Add 3." in body["messages"][-1]["content"] else answer()

    with endpoint(behave) as (url, _), caplog.at_level(logging.WARNING):
        rows = ask(url, retries=0, most_failed=0.5)
    assert len(rows) == 10
    assert "2 of 12 requests got no answer and are left out: 2 x status 500" in caplog.text


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, None, "key is refused"),
        (403, None, "key is refused"),
        (404, None, "no such model"),
        (429, "insufficient_quota", "no credit"),
    ],
)
def test_what_no_waiting_mends_stops_at_once(status, code, reason):
    message = "You exceeded your current quota, please check your plan." if code else "no"
    with endpoint(lambda number, body: error(status, message, code=code)) as (url, seen):
        with pytest.raises(InfrastructureError, match=reason):
            ask(url, concurrency=1)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "This model's maximum context length is 10 tokens. However, you requested 20 tokens"),
        (400, "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum context length is 256 tokens"),
        (400, "the request exceeds the available context size. try increasing the context size or enable context shift"),
        (500, "the request exceeds the available context size"),
        (400, "prompt is too long: 213462 tokens > 200000 maximum"),
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 2100"),
        (400, "The input (4000 tokens) is longer than the model's context length (2048 tokens)."),
        (400, "Please reduce the length of the messages or completion."),
        (413, "Request entity too large"),
    ],
)
def test_a_prompt_beyond_the_servers_context_is_an_empty_answer(caplog, status, message):
    with endpoint(lambda number, body: error(status, message)) as (url, seen), caplog.at_level(logging.WARNING):
        rows = ask(url, problems=PROBLEMS[:2])
    assert {(row.finish, row.program) for row in rows} == {("too_long", "")}
    assert "4 of 4 prompts are longer" in caplog.text
    assert len(seen) == 4


@pytest.mark.parametrize("form", [lambda said: {"error": said}, lambda said: [{"error": {"message": said}}]])
def test_a_prompt_beyond_the_context_is_known_in_other_servers_forms_too(form):
    """TGI's error is a text, Gemini's is in a list; the client tells neither."""
    said = json.dumps(form("The input token count (1200000) exceeds the maximum number of tokens allowed")).encode()
    with endpoint(lambda number, body: (400, said, {})) as (url, _):
        assert {row.finish for row in ask(url)} == {"too_long"}


def test_a_dead_address_is_given_up_soon():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(InfrastructureError, match=f"127.0.0.1:{port}.*no connection"):
        ask(f"http://127.0.0.1:{port}/v1", retries=50)
    assert time.monotonic() - start < 60  # fifty retries would take an hour


@pytest.mark.parametrize("behaviour", ["sleep", "drip"])
def test_a_slow_server_is_cut_off(behaviour):
    def behave(number, body):
        if behaviour == "drip":
            return "drip"
        time.sleep(2.0)
        return answer()

    with endpoint(behave) as (url, _), pytest.raises(InfrastructureError, match="no answer in time"):
        ask(url, timeout=0.3, retries=0, problems=PROBLEMS[:3], dead_after=2)


def test_the_rate_is_kept():
    with endpoint(lambda number, body: answer()) as (url, seen):
        ask(url, requests_per_minute=1200.0, problems=PROBLEMS[:3])
    times = [moment for moment, _, _ in seen]
    assert max(times) - min(times) >= 4 * 0.05  # five gaps, less one: the first may arrive late on a busy machine


def test_beams_are_refused_in_words():
    with endpoint(lambda number, body: answer()) as (url, _), pytest.raises(ConfigurationError, match="beam"):
        ask(url, decoding=Decoding(n=1, temperatures=[0.0], num_beams=4))


def test_an_endless_model_is_cut_where_it_is_said_to_be():
    with endpoint(lambda number, body: answer("x = 1\n" * 999, finish="length")) as (url, _):
        assert {row.finish for row in ask(url)} == {"length"}
