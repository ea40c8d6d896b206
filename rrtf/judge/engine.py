"""Judging a stream of programs: in order, deduplicated, cached, retried, with bounded memory."""

import selectors
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rrtf.judge import pool
from rrtf.judge.keys import JUDGE_VERSION as JUDGE_VERSION
from rrtf.judge.keys import Keys
from rrtf.judge.settings import Engine, Isolation, Judge
from rrtf.judge.tasks import Job as Job
from rrtf.judge.tasks import Task, check_errors
from rrtf.records import Outcome, TestKind, Trust, Verdict, from_row, to_row
from rrtf.store import Log

WINDOW = 1024  # programs read ahead of the oldest one without a verdict
LOOKAHEAD = 256  # waiting programs among which a worker finds one of a problem it knows
AHEAD = 2  # orders a worker holds, so that it never waits for the engine
REMEMBERED = 50_000  # verdicts kept for deduplication within a run
PATIENCE = 60.0  # seconds a worker may need beyond 60 times the CPU limit before it counts as stuck


def judge(
    jobs: Iterable[Job], settings: Judge, *, cache: Path | None = None, progress: Callable[[int], None] | None = None
) -> Iterator[Verdict]:
    """One verdict a job, in the order of the jobs, as soon as it and all before it are known.

    `cache` is a file of verdicts shared by runs and processes. `progress` is told how many verdicts there are so far.
    Raises InfrastructureError when no worker can run, or when the share of judge errors passes `max_judge_errors`.
    """
    log = Log(cache) if cache is not None else None
    stream = _stream(settings, log)
    errors = count = 0
    try:
        for count, verdict in enumerate(stream.verdicts(iter(jobs)), start=1):
            errors += verdict.outcome is Outcome.judge_error
            yield verdict
            if progress is not None:
                progress(count)
            if count >= 100:
                check_errors(errors, count, settings, stream.last_error)
        check_errors(errors, count, settings, stream.last_error)
    finally:
        stream.close()


def _stream(settings: Judge, log: Log | None) -> "Stream":
    if settings.engine is Engine.local:
        return Stream(settings, log)
    from rrtf.judge.cluster import RayStream  # Ray is an extra

    return RayStream(settings, log)


class Stream:
    """The state of one `judge` call."""

    window = WINDOW

    def __init__(self, settings: Judge, log: Log | None) -> None:
        self._settings, self._log = settings, log
        self._limit = settings.workers or len(pool.cpus())
        self._workers: list[pool.Worker] = []
        self._selector = selectors.DefaultSelector()
        self._ready: deque[Task] = deque()
        self._late: deque[Task] = deque()  # to be judged alone, when nothing else runs
        self._known: OrderedDict[str, Task] = OrderedDict()
        self._keys = Keys(settings)
        self._seconds: dict[str, float | Task] = {}  # CPU limits of problems whose reference was measured, or is being
        self._next_id = 0
        self.last_error = ""

    def verdicts(self, jobs: Iterator[Job]) -> Iterator[Verdict]:
        """One a job, in their order."""
        window: deque[tuple[str, Task]] = deque()
        more = True
        while more or window:
            while more and len(window) < self.window:
                if (job := next(jobs, None)) is None:
                    more = False
                    self._endless_first()
                    break
                window.append((job.problem.task_id, self._task(job)))
                if len(window) >= AHEAD * self._limit and self._dispatch(full=False):
                    self._turn(wait=False)
            while window and (verdict := window[0][1].verdict) is not None:
                yield replace(verdict, task_id=window.popleft()[0])
            if window and window[0][1].verdict is None:
                self._dispatch(full=True)
                self._turn(wait=True)

    def _endless_first(self) -> None:
        """No program follows: those that may be endless begin, or the other cores wait for the last of them."""
        self._ready = deque(sorted(self._ready, key=Task.brevity))

    def _task(self, job: Job) -> Task:
        tests = self._keys.tests(job.problem)
        key = self._keys.program(tests, job.program)
        if self._settings.deduplicate and key in self._known:
            return self._known[key]
        task = Task(key, job.problem, tests, job.program, self._settings.time_limit)
        known = self._seconds.get(tests)
        if isinstance(known, float):
            task.seconds, task.scaled = known, True
        if not job.program.strip():
            task.verdict = self._verdict(task, Outcome.no_code, detail="the response holds no code")
        else:
            task.verdict = self._cached(key)
            if task.verdict is None:
                self._ready.append(task)
        if self._settings.deduplicate:
            self._known[key] = task
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return task

    def _cached(self, key: str) -> Verdict | None:
        """A verdict of an earlier run; where the settings name a tier, only one that was reached in it."""
        if self._log is None or key not in self._log.rows:
            return None
        try:
            verdict = from_row(Verdict, self._log.rows[key])
        except ValueError:  # damaged: judged again
            return None
        wanted = self._settings.isolation
        return verdict if wanted is Isolation.auto or verdict.isolation.partition(",")[0] == wanted.value else None

    def _dispatch(self, *, full: bool) -> bool:
        """Give work to workers that have room; True when every worker is full. Late tasks run alone, once nothing else can."""
        running = any(worker.jobs for worker in self._workers)
        if self._late and full and not self._ready and not running:
            self._give(self._worker_with_room() or self._workers[0], self._late.popleft())
            return True
        while self._ready:
            if any(task.alone for worker in self._workers for task in worker.jobs.values()):
                return True
            worker = self._worker_with_room()
            if worker is None:
                return True
            self._give(worker, self._choose(worker))
        return False

    def _choose(self, worker: pool.Worker) -> Task:
        """The next task for a worker: one whose tests it has compiled, else one that no worker has, else the oldest."""
        others = [other for other in self._workers if other is not worker]
        best = 0
        for place in range(min(len(self._ready), LOOKAHEAD)):
            tests = self._ready[place].tests
            if worker.has(tests):
                best = place
                break
            if best == 0 and place and self._taken(others, self._ready[0].tests) and not self._taken(others, tests):
                best = place
        task = self._ready[best]
        del self._ready[best]
        return task

    def _taken(self, workers: list[pool.Worker], tests: str) -> bool:
        return any(worker.has(tests) for worker in workers)

    def _worker_with_room(self) -> pool.Worker | None:
        idle = min(self._workers, key=lambda worker: len(worker.jobs), default=None)
        if idle is not None and (not idle.jobs or (len(self._workers) == self._limit and len(idle.jobs) < AHEAD)):
            return idle
        if len(self._workers) < self._limit:
            return self._start()
        return None

    def _start(self) -> pool.Worker:
        cpu = pool.own_cpu(self._workers, self._limit)
        # the tier that the first worker found; the others start while it works
        worker = pool.Worker(self._workers[0].tier, cpu) if self._workers else pool.start(self._settings, cpu)
        self._workers.append(worker)
        self._selector.register(worker.stdout, selectors.EVENT_READ, worker)
        return worker

    def _give(self, worker: pool.Worker, task: Task) -> None:
        if not worker.knows(task.tests):
            worker.learn(task.tests, to_row(task.problem))
        if not worker.jobs:
            worker.since = time.monotonic()
        self._next_id += 1
        worker.jobs[self._next_id] = task
        s = self._settings
        bounds = [task.seconds, s.memory_mb, s.output_mb, s.processes, task.total(s)]
        order = {"job": self._next_id, "key": task.tests, "program": task.program, "bounds": bounds, "early_exit": s.early_exit}
        worker.send(order)

    def _turn(self, *, wait: bool) -> None:
        """Take in what the workers report; with `wait`, for up to a quarter of a second."""
        for worker in self._workers:
            worker.pump()
        for key, _ in self._selector.select(0.25 if wait and not any(w.pump() for w in self._workers) else 0.001 * wait):
            worker = key.data
            findings = worker.read()
            if findings is None:
                self._bury(worker, "a judge worker died")
                continue
            for finding in findings:
                worker.since = time.monotonic()
                self._take(worker, worker.jobs.pop(finding.pop("job")), finding)
        for worker in list(self._workers):
            if worker.jobs and time.monotonic() - worker.since > self._patience(next(iter(worker.jobs.values()))):
                self._bury(worker, "a judge worker was stuck")

    def _patience(self, task: Task) -> float:
        runs = max(1, len(task.problem.tests.pairs))
        return PATIENCE + 60 * task.total(self._settings) * runs

    def _bury(self, worker: pool.Worker, reason: str) -> None:
        """Replace a worker: the task it was at is tried once more, those behind it as if nothing had happened."""
        self._selector.unregister(worker.stdout)
        self._workers.remove(worker)
        worker.close()
        tasks = list(worker.jobs.values())
        for task in reversed(tasks[1:]):
            self._ready.appendleft(task)
        for task in tasks[:1]:
            task.attempts += 1
            if task.attempts > 1:
                self._settle(task, self._verdict(task, Outcome.judge_error, detail=f"{reason}, twice"))
            else:
                self._ready.appendleft(task)

    def _take(self, worker: pool.Worker, task: Task, finding: dict[str, Any]) -> None:
        outcome = Outcome(finding["outcome"])
        if finding["again"] and not task.alone:
            task.alone = True
            self._late.append(task)
            return
        if outcome is Outcome.timeout and task.problem.reference and not task.scaled:
            self._measure(task, worker, finding)
            return
        self._settle(task, self._finished(task, worker, finding))

    def _finished(self, task: Task, worker: pool.Worker, finding: dict[str, Any]) -> Verdict:
        return self._verdict(
            task,
            Outcome(finding["outcome"]),
            detail=finding["detail"],
            passed=finding["passed"],
            total=finding["total"],
            cpu_seconds=round(finding["cpu"], 6),
            wall_seconds=round(finding["wall"], 6),
            peak_mb=round(finding["peak_mb"], 3),
            isolation=worker.isolation,
        )

    def _measure(self, task: Task, worker: pool.Worker, finding: dict[str, Any]) -> None:
        """A timeout where a reference exists: the limit becomes a multiple of the reference's own time, if that is more."""
        known = self._seconds.get(task.tests)
        if known is None:
            known = Task("", task.problem, task.tests, task.problem.reference, 10 * self._settings.time_limit, scaled=True)
            self._seconds[task.tests] = known
            self._ready.appendleft(known)
        if isinstance(known, Task):
            known.measures.append(task)
            task.verdict_if_fast = self._finished(task, worker, finding)  # type: ignore[attr-defined]
        else:
            self._scale(task, known, self._finished(task, worker, finding))

    def _scale(self, task: Task, seconds: float, verdict: Verdict) -> None:
        task.scaled = True
        if seconds > task.seconds:
            task.seconds, task.alone = seconds, False
            self._ready.appendleft(task)
        else:
            self._settle(task, verdict)

    def _settle(self, task: Task, verdict: Verdict) -> None:
        if task.measures:
            good = verdict.outcome is Outcome.all_tests_passed
            seconds = max(self._settings.time_limit, self._settings.reference_factor * verdict.cpu_seconds * good)
            self._seconds[task.tests] = seconds
            for waiting in task.measures:
                self._scale(waiting, seconds, waiting.verdict_if_fast)  # type: ignore[attr-defined]
            return
        task.verdict, task.program = verdict, ""  # the program is not needed any more, and there may be many
        if verdict.outcome is Outcome.judge_error:
            self.last_error = f"{verdict.task_id}: {verdict.detail}"
        elif self._log is not None:
            self._log.append(task.key, verdict)

    def _verdict(self, task: Task, outcome: Outcome, **fields: Any) -> Verdict:
        trust = Trust.in_process if task.problem.tests.kind is TestKind.program else Trust.split
        values = {"passed": 0, "total": 0, **fields}
        return Verdict(task_id=task.problem.task_id, outcome=outcome, trust=trust, judge_version=JUDGE_VERSION, **values)

    def close(self) -> None:
        """End every worker."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()
        self._selector.close()
