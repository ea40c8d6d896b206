"""A small OpenAI-compatible server whose behaviour a test scripts, answer by answer."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer(text="def add(a, b):\n    return a + b", *, finish="stop"):
    """A well-formed chat completion, which is also a well-formed text completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "text": text, "finish_reason": finish}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def error(status, message, *, headers=(), code=None):
    """A well-formed error."""
    return status, json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode(), dict(headers)


@contextmanager
def endpoint(behave: Callable[[int, dict], object]):
    """A server for which `behave(number of the request, its body)` gives a dict, or (status, bytes, headers).

    Yields (base URL, list of (time, body, headers) of the requests so far).
    """
    seen: list[tuple[float, dict, dict]] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                seen.append((time.monotonic(), body, {key.lower(): value for key, value in self.headers.items()}))
                number = len(seen) - 1
            reply = behave(number, body)
            if reply == "drip":
                self.drip()
                return
            status, content, headers = reply if isinstance(reply, tuple) else (200, json.dumps(reply).encode(), {})
            self.send_response(status)
            for key, value in ({"Content-Type": "application/json", "Content-Length": str(len(content))} | headers).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content)

        def drip(self):
            """A byte now and then, for ever: no read ever times out."""
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            try:
                for _ in range(600):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                pass

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", seen
    finally:
        server.shutdown()
        server.server_close()
