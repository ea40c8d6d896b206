"""Memory and speed of the small formats beside the original, in turns on this machine.

    python bench/quantization.py HuggingFaceTB/SmolLM2-135M-Instruct --formats ct2_int8 ct2_float32 gptq_int8 gptq_int4

Prints the medians with the lowest and highest round, and the ratio to the original
(transformers, the checkpoint's own precision).
`--rows FILE` also writes the rows as JSONL. Conversions are kept in `--folder` and made once.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rrtf.checkpoints import cache_folder, resolve
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet
from rrtf.progress import Progress
from rrtf.quantize.convert import quantize
from rrtf.quantize.measure import Format, Measured, Spread, measure
from rrtf.quantize.settings import Measurement, Method, Quantization
from rrtf.quantize.support import refuse, support, support_table
from rrtf.store import write_records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    methods = [method.value for method in Method]
    parser.add_argument("--formats", nargs="+", default=["ct2_int8", "ct2_float32"], choices=methods)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=cache_folder() / "quantized")
    parser.add_argument("--rows", type=Path)
    options = parser.parse_args()
    console = Console()
    source = resolve(options.checkpoint)
    wanted = [Quantization(method=Method(name)) for name in options.formats]
    console.print(support_table(support(source.path, wanted)))
    refuse(source.path, wanted)
    problems = list(load(ProblemSet(split="train", limit=128)))
    texts = [f"# {problem.text}\n{problem.reference}\n" for problem in problems]
    formats = [Format("original", source.path)]
    for settings in wanted:
        out = options.folder / f"{source.digest}-{settings.method.value}"
        with Progress(f"quantize to {settings.label}", console=console, unit="layers") as report:
            formats.append(Format(settings.label, quantize(source.path, settings, texts, out=out, report=report)))
    measurement = Measurement(rounds=options.rounds, threads=options.threads)
    with Progress("measure", console=console, unit="turns") as report:
        rows = measure(formats, texts, measurement, report=report)
    console.print(table(rows))
    if options.rows:
        write_records(options.rows, rows)


def table(rows: Sequence[Measured]) -> Table:
    first = rows[0]
    made = Table(title=f"{first.device}, {first.threads} threads, median of {first.rounds} rounds [lowest, highest]", box=None)
    memory = ("weights MiB", "loaded MiB", "peak MiB")
    columns = ("format", *memory, "ms per token", "prompt tokens/s", "batch 8 tokens/s", "batch 32")
    for column in columns:
        made.add_column(column, justify="left" if column == "format" else "right")
    for row in rows:
        made.add_row(
            row.name,
            _number(row.weights_mb, first.weights_mb),
            _number(row.loaded_mb, first.loaded_mb),
            _number(row.memory_mb, first.memory_mb),
            _spread(row.ms_per_token, first.ms_per_token),
            _spread(row.prompt_tokens_per_second, first.prompt_tokens_per_second),
            _spread(row.tokens_per_second_8, first.tokens_per_second_8),
            _spread(row.tokens_per_second_32, first.tokens_per_second_32),
        )
    return made


def _number(value: float, original: float) -> str:
    return f"{value:.0f} ({value / original:.2f}x)"


def _spread(value: Spread, original: Spread) -> str:
    return f"{value.median:.1f} [{value.low:.1f}, {value.high:.1f}] ({value.median / original.median:.2f}x)"


if __name__ == "__main__":
    main()
