"""Every hostile and honest program of the corpus through the front door, and nothing left of them on the host."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus import HERE, SHIPPED, Case, cases, problems, shipped

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.records import Outcome, Trust, Verdict

PROBLEMS = problems()
CASES = cases()
SENTINELS = [Path(place, "rrtf-corpus-sentinel") for place in ("/tmp", "/var/tmp", "/dev/shm", Path.home())]
LIMITS = {"timeout", "memory_limit", "output_limit"}
MARKERS = ("rrtf-corpus-marker", "rrtf-corpus-note", "sitecustomize.py", "usercustomize.py", "x.pth", "json.py")


@pytest.fixture(autouse=True, scope="module")
def bait() -> Iterator[None]:
    """What escapes look for: secrets in the environment, files to change, servers to reach."""
    os.environ["HF_TOKEN"] = os.environ["WANDB_API_KEY"] = "corpus-secret"
    kept = [path for path in SENTINELS if os.access(path.parent, os.W_OK)]
    for path in kept:
        path.write_text("untouched")
        path.chmod(0o666)
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as abstract:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("127.0.0.1", 48731))
        tcp.listen()
        abstract.bind("\0rrtf-corpus")
        abstract.listen()
        yield
    assert [path.read_text() for path in kept] == ["untouched"] * len(kept)
    for path in kept:
        path.unlink()
    del os.environ["HF_TOKEN"], os.environ["WANDB_API_KEY"]


def run(chosen: list[Case], **settings: object) -> Iterator[tuple[Case, Verdict]]:
    """Cases with their verdicts, one `judge` call per time limit."""
    available = [case for case in chosen if not case.needs or _importable(case.needs)]
    for limit in sorted({case.time_limit for case in available}):
        group = [case for case in available if case.time_limit == limit]
        jobs = [Job(PROBLEMS[case.task_id], case.program) for case in group]
        options = {"workers": 2, "memory_mb": 512, "max_judge_errors": 1.0, "time_limit": limit} | settings
        yield from zip(group, judge(jobs, Judge(**options)), strict=True)  # type: ignore[arg-type]


def _printable(text: str) -> bool:
    """Whether a terminal can be shown this."""
    return all(character.isprintable() or character == "\n" for character in text)


def wrong(chosen: list[Case], **settings: object) -> list[str]:
    """What is not as it should be, one line a case."""
    return [
        f"{case.id} ({case.about}): {verdict.outcome.value} {verdict.passed}/{verdict.total} {verdict.detail!a}"
        for case, verdict in run(chosen, **settings)
        if verdict.outcome.value not in case.expect or not _printable(verdict.detail) or len(verdict.detail) > 1000
    ]


def _importable(package: str) -> bool:
    try:
        __import__(package)
    except ImportError:
        return False
    return True


def _processes() -> set[int]:
    return {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _mine(known: set[int]) -> set[int]:
    """Processes started since by this user that are still there and descend from nobody else's work."""
    found = set()
    for pid in _processes() - known:
        try:
            if b"rrtf" in Path(f"/proc/{pid}/cmdline").read_bytes() and os.getpid() in _ancestors(pid):
                found.add(pid)
        except OSError:
            continue
    return found


def _ancestors(pid: int) -> set[int]:
    found = set()
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.add(pid)
    return found


def test_the_corpus_is_whole() -> None:
    families = {case.family for case in CASES}
    assert families >= {str(number) for number in range(1, 63)} | set("abcdefghijklmnopqrst")
    assert len({case.id for case in CASES}) == len(CASES)
    assert sum(case.kind == "cheat" for case in CASES) >= 250
    assert sum(case.kind == "honest" for case in CASES) >= 80
    for case in CASES:
        assert (Outcome.all_tests_passed.value in case.expect) == (case.kind != "cheat"), case.id
        assert Outcome.judge_error.value not in case.expect, case.id


def test_what_ships_is_the_corpus() -> None:
    rows, of_problems = shipped()
    assert (SHIPPED / "corpus.jsonl").read_text() == rows, f"run python {HERE / 'corpus.py'}"
    assert (SHIPPED / "corpus_problems.jsonl").read_text() == of_problems


def _quick(case: Case) -> bool:
    """Judged in milliseconds: no limit is among its verdicts, and it is not there to be slow."""
    return not LIMITS & set(case.expect) and case.family not in ("c", "e", "m", "q") and case.id != "l-lazy"


def test_honest_programs_pass() -> None:
    assert wrong([case for case in CASES if case.kind == "honest" and _quick(case)]) == []


@pytest.mark.slow
def test_slow_honest_programs_pass() -> None:
    assert wrong([case for case in CASES if case.kind == "honest" and not _quick(case)]) == []


@pytest.mark.parametrize("families", ["37-44", "45-51", "52-59", "60-62", "63-63"])
def test_cheats_are_seen_through(families: str) -> None:
    assert wrong([case for case in _between(families) if _quick(case)]) == []


@pytest.mark.slow
@pytest.mark.parametrize("families", ["1-13", "14-26", "37-62", "63-63"])
def test_heavy_programs_are_stopped(families: str) -> None:
    assert wrong([case for case in _between(families) if int(case.family) <= 26 or not _quick(case)]) == []


def _between(families: str) -> list[Case]:
    first, last = map(int, families.split("-"))
    return [case for case in CASES if case.family.isdigit() and first <= int(case.family) <= last]


@pytest.mark.slow
def test_nothing_escapes() -> None:
    chosen = _between("27-36")
    assert wrong(chosen) == []
    # one worker after another: a candidate must find nothing of the one before it
    assert wrong(chosen, workers=1) == []
    roots = [
        Path("/"),
        Path("/etc"),
        Path("/usr/local"),
        Path("/var/tmp"),
        Path("/tmp"),
        Path("/dev/shm"),
        Path.home(),
        Path.cwd(),
    ]
    assert [path for root in roots for name in MARKERS if (path := root / name).exists()] == []


def test_a_poisoned_worker_judges_the_next_program_fairly() -> None:
    poison = [
        case
        for case in CASES
        if case.family in ("33", "34", "54", "55")
        or case.id.startswith("63-next-")
        or case.id in ("63-eq-patch", "63-small-int", "63-inputs-thing")
    ]
    honest = [case for case in CASES if case.id in ("l-helpers", "t-inputs-checker")]
    order = [case for bad in poison for case in (bad, *honest)]
    jobs = [Job(PROBLEMS[case.task_id], f"{case.program}# {place}\n") for place, case in enumerate(order)]
    verdicts = list(judge(jobs, Judge(workers=1, time_limit=1.0)))
    for case, verdict in zip(order, verdicts, strict=True):
        assert verdict.outcome.value in case.expect, f"{case.id}: {verdict.outcome} {verdict.detail}"


def test_nothing_of_a_candidate_stays_on_the_host() -> None:
    chosen = [
        case for case in CASES if case.family in ("10", "12", "26", "36") or case.id in ("63-fork-answer", "63-forkserve")
    ]
    known, descriptors, folders = _processes(), _descriptors(), set(Path("/tmp").glob("rrtf-judge-*"))
    list(run(chosen))
    deadline = time.monotonic() + 5
    while _mine(known) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _mine(known)
    assert _descriptors() == descriptors
    assert set(Path("/tmp").glob("rrtf-judge-*")) <= folders


def test_only_validation_programs_run_beside_their_tests() -> None:
    chosen = [case for case in CASES if case.id in ("t-program", "t-pytest", "t-inputs", "t-asserts", "a-print", "b-input")]
    trust = {case.id: verdict.trust for case, verdict in run(chosen)}
    assert trust.pop("t-program") is Trust.in_process
    assert set(trust.values()) == {Trust.split}
