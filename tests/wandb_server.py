"""As much of a W&B server as one run needs: it keeps each run's group, name, config, history and summary, and no files."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Runs(dict[str, dict[str, Any]]):
    """run id -> what the server was told of it."""

    # for processes that are to find this server
    environment: dict[str, str]

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL operation; KeyError for one that is not known here."""
        entity, project = {"id": "e", "name": "me"}, {"id": "p", "name": "rrtf", "entity": {"id": "e", "name": "me"}}
        if operation == "Viewer":
            flags = {"id": "u", "entity": "me", "username": "me", "email": "me@here", "flags": "{}", "teams": {"edges": []}}
            return {"viewer": flags}
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "RunResumeStatus":
            run = self.get(given["name"])
            return {"model": {"id": "p", "name": "rrtf", "entity": entity, "bucket": run and self._bucket(given["name"], run)}}
        if operation == "UpsertBucket":
            name = given["name"]
            inserted = name not in self
            run = self.setdefault(name, {"config": "{}", "history": [], "summary": {}, "exits": []})
            run |= {key: value for key, value in given.items() if value is not None}
            return {"upsertBucket": {"bucket": self._bucket(name, run) | {"project": project}, "inserted": inserted}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"/nowhere/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}
        raise KeyError(operation)

    def _bucket(self, name: str, run: dict[str, Any]) -> dict[str, Any]:
        history = run["history"]
        lines = {"historyLineCount": len(history), "logLineCount": 0, "eventsLineCount": 0, "eventsTail": "[]"}
        lines |= {"historyTail": json.dumps([json.dumps(row) for row in history[-1:]])}
        told = {"config": run["config"], "summaryMetrics": json.dumps(run["summary"]), "displayName": run.get("displayName")}
        fixed = {"sweepName": None, "tags": [], "notes": "", "wandbConfig": '{"t": 1}'}
        return {"id": name, "name": name, **fixed, **lines, **told}

    def stream(self, name: str, sent: dict[str, Any]) -> None:
        """What W&B sends while a run goes on."""
        run = self[name]
        for file, part in sent.get("files", {}).items():
            rows = [json.loads(line) for line in part["content"]]
            if file == "wandb-history.jsonl":
                run["history"][part["offset"] :] = rows
            elif file == "wandb-summary.json":
                run["summary"] = rows[-1]
        if sent.get("complete"):
            run["exits"].append(sent.get("exitcode"))


@contextmanager
def serving() -> Iterator[tuple[str, Runs]]:
    """The server's address and its runs."""
    runs = Runs()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.path.endswith(("/graphql", "/file_stream")):  # telemetry
                self.reply({})
                return
            body = json.loads(gzip.decompress(sent) if self.headers["Content-Encoding"] == "gzip" else sent)
            if self.path == "/graphql":
                operation = re.search(r"(?:query|mutation)\s+(\w+)", body["query"])
                try:
                    self.reply({"data": runs.answer(operation[1] if operation else "", body.get("variables") or {})})
                except KeyError as error:
                    self.reply({"data": None, "errors": [{"message": f"no operation {error}"}]})
            else:
                runs.stream(self.path.split("/")[-2], body)
                self.reply({})

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.reply({})

        def reply(self, value: Any) -> None:
            text = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *unused: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", runs
        server.shutdown()
