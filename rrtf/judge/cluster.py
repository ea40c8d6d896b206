"""The judge over the nodes of a Ray cluster: shards of programs, each judged by one local worker where it lands.

`ray.init` decides which cluster: the one of RAY_ADDRESS, else one started here. Deduplication and the cache stay with the
caller; a shard whose node is lost is run again elsewhere.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rrtf.errors import UserError
from rrtf.judge.engine import Stream, judge
from rrtf.judge.settings import Engine, Judge
from rrtf.judge.tasks import Job, Task
from rrtf.records import Outcome, Verdict
from rrtf.store import Log

try:
    import ray
except ImportError:
    raise UserError("judge=ray needs Ray, which is not installed: pip install 'rrtf[ray]'") from None

# programs of a shard: starting a worker takes as long as judging some ten programs
SHARD = 64
# shards under way for each CPU of the cluster, so that none waits for the caller
AHEAD = 2
# times Ray runs a shard again when its node or process is lost; its own default is 3
RETRIES = 5


class RayStream(Stream):
    """A stream whose tasks leave this machine; raises nothing that the local one doesn't."""

    def __init__(self, settings: Judge, log: Log | None) -> None:
        super().__init__(settings, log)
        self._began = not ray.is_initialized()
        if self._began:
            ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
        self._most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.window = max(self.window, SHARD * self._most)
        self._limit = SHARD
        self._flying: dict[Any, list[Task]] = {}
        there = replace(settings, engine=Engine.local, workers=1, deduplicate=False, max_judge_errors=1.0)
        self._there = ray.put(there)
        self._run = ray.remote(judge_shard).options(num_cpus=1, max_retries=RETRIES)

    def _endless_first(self) -> None:
        """Not here: they would stand one behind the other in the same shard."""

    def _dispatch(self, *, full: bool) -> bool:
        """Send off whole shards, and with `full` what is left as well. True when enough are under way."""
        while self._ready and (full or len(self._ready) >= SHARD) and len(self._flying) < self._most:
            tasks = [self._ready.popleft() for _ in range(min(SHARD, len(self._ready)))]
            shard = self._run.remote([Job(task.problem, task.program) for task in tasks], self._there)
            self._flying[shard] = tasks
        return len(self._flying) >= self._most

    def _turn(self, *, wait: bool) -> None:
        """Take in the shards that are done; with `wait`, wait a while for one."""
        if not self._flying:
            return
        done, _ = ray.wait(list(self._flying), num_returns=1, timeout=1.0 if wait else 0)
        for shard in done:
            tasks = self._flying.pop(shard)
            try:
                verdicts = ray.get(shard)
            except ray.exceptions.RayError as error:
                reason = f"the shard was lost: {str(error).strip().splitlines()[-1]}"
                verdicts = [self._verdict(task, Outcome.judge_error, detail=reason) for task in tasks]
            for task, verdict in zip(tasks, verdicts, strict=True):
                self._settle(task, verdict)

    def close(self) -> None:
        """Take back what is under way; stop Ray where this stream started it."""
        super().close()
        for shard in self._flying:
            ray.cancel(shard)
        if self._began:
            ray.shutdown()


def judge_shard(jobs: Sequence[Job], settings: Judge) -> list[Verdict]:
    """What a node does."""
    return list(judge(jobs, settings))
