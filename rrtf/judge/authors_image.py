"""CoderEval's own runner in its authors' container: the only place where 176 of its 230 tasks can run.

The container holds 43 projects with their packages under /home/travis/builds, and beside them PythonExec.py, which puts each
answer into its project's file and runs it: `python PythonExec.py SAMPLES n` writes SAMPLES_out.jsonl, in which an answer that
took longer than its 30 seconds is left out. Nothing of ours runs inside, so the container is all the isolation there is.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rrtf.errors import InfrastructureError, MissingDataError
from rrtf.judge.engine import JUDGE_VERSION
from rrtf.judge.tasks import Job
from rrtf.records import Outcome, Trust, Verdict
from rrtf.store import read_rows

RUNNER = "cd /home/travis/builds && python PythonExec.py /rrtf/samples.jsonl {most}"
REMEDY = "Load the one that github.com/CoderEval/CoderEval links (docker load -i FILE) and set benchmarks.NAME.image to what \
it is called, or choose benchmarks=[codereval]: the 54 tasks that run everywhere"


def image_id(image: str) -> str:
    """What stands for the image's content. Raises MissingDataError where it can't be run here."""
    found = subprocess.run([_tool(image), "image", "inspect", "--format={{.Id}}", image], capture_output=True, text=True)  # noqa: PLW1510
    if found.returncode:
        raise MissingDataError(f"{image}: no such container image. {REMEDY}")
    return found.stdout.strip()


def _tool(image: str) -> str:
    tool = shutil.which("docker") or shutil.which("podman")
    if tool is None:
        raise MissingDataError(f"{image}: a container image needs docker or podman, and neither is installed. {REMEDY}")
    return tool


def judge_in_image(jobs: Sequence[Job], image: str) -> Iterator[Verdict]:
    """One verdict a job, in their order, from the runner in the container image called `image`.

    Raises InfrastructureError where the runner fails or leaves a task out.
    """
    programs: dict[str, list[str]] = {}
    for job in jobs:
        programs.setdefault(_id(job), []).append(_text(job.program))
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.jsonl"
        rows = ({"_id": task, "generate_results": texts} for task, texts in programs.items())
        samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = [_tool(image), "run", "--rm", "--network=none", "--env=PYTHONUTF8=1", f"--volume={folder}:/rrtf", image]
        runner = RUNNER.format(most=max(map(len, programs.values())))
        done = subprocess.run([*command, "sh", "-c", runner], capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise InfrastructureError(f"{image}: CoderEval's runner ended with status {done.returncode}: {done.stderr[-500:]}")
        found = {row["_id"]: row["generate_results"] for _, row in read_rows(Path(f"{samples}_out.jsonl"))}
    if missing := set(programs) - set(found):
        raise InfrastructureError(
            f"{image}: CoderEval's runner left out {len(missing)} tasks ({', '.join(sorted(missing)[:3])})"
        )
    for job in jobs:
        # results come in the answers' order, so the next one is this answer's unless it was left out
        results = found[_id(job)]
        own = results.pop(0) if results and results[0]["generate_code"] == _text(job.program) else None
        yield _verdict(job, own)


def _id(job: Job) -> str:
    return job.problem.task_id.removeprefix("CoderEval/")


def _text(program: str) -> str:
    """The program as a file can hold it: a lone surrogate has no bytes."""
    return program.encode("utf-8", "replace").decode()


def _verdict(job: Job, result: dict[str, object] | None) -> Verdict:
    if not job.program.strip():
        outcome, detail = Outcome.no_code, "the response holds no code"
    elif result is None:
        outcome, detail = Outcome.timeout, "took longer than the runner's 30 seconds"
    elif result["is_pass"]:
        outcome, detail = Outcome.all_tests_passed, ""
    else:
        outcome, detail = Outcome.runtime_error, f"exit status {result.get('return_code')}"
    passed = outcome is Outcome.all_tests_passed
    return Verdict(
        task_id=job.problem.task_id,
        outcome=outcome,
        passed=int(passed),
        total=1,
        detail=detail,
        isolation="authors' container",
        trust=Trust.in_process,
        judge_version=JUDGE_VERSION,
    )
