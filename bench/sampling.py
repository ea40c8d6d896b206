"""Tokens per second of this project's decoding loop, beside transformers' generate, its continuous batching, and CTranslate2.

    python bench/sampling.py --problems 64 --samples 8 --new-tokens 160

The same prompts, the same distribution (T=0.8, top_p 0.95), the same stop text, tokens counted up to the stop. Rounds are
interleaved, so that what else the machine does falls on all alike; the table has medians and spread. `--clock cpu` counts
processor seconds of one thread instead of the wall's: what to use on a machine that others use too.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from rrtf import profiles
from rrtf.checkpoints import resolve
from rrtf.problems.formats import read_problems
from rrtf.sampling.ctranslate import CTranslate2Generator
from rrtf.sampling.generator import Request
from rrtf.sampling.huggingface import HuggingFaceGenerator, load
from rrtf.sampling.local import Writer
from rrtf.sampling.settings import CTranslate2, Decoding, HuggingFace, Precision

STUDENT = "HuggingFaceTB/SmolLM2-135M-Instruct"
TEMPERATURE, TOP_P = 0.8, 0.95
STOP = "```"


class Work(NamedTuple):
    """What every engine is given."""

    texts: list[str]
    samples: int
    new_tokens: int
    rows: int


class Result(NamedTuple):
    """What one engine did in one round."""

    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def requests(work: Work, seed: int) -> list[Request]:
    prompt = profiles.Prompt("", (), "")
    pairs = [(text, number) for text in work.texts for number in range(work.samples)]
    return [
        Request(f"{place}", prompt, text, TEMPERATURE, seed * 100_000 + place, (STOP,))
        for place, (text, number) in enumerate(pairs)
    ]


def ours(path: Path, work: Work, precision: Precision) -> Callable[[int], int]:
    source = HuggingFace(checkpoint=STUDENT, rows=work.rows, precision=precision)
    engine = HuggingFaceGenerator(source, Decoding(max_new_tokens=work.new_tokens, top_p=TOP_P), path=path)
    return lambda seed: sum(response.tokens for response in engine.generate(requests(work, seed)))


def int8(path: Path, work: Work) -> Callable[[int], int]:
    engine = CTranslate2Generator(CTranslate2(), Decoding(max_new_tokens=work.new_tokens, top_p=TOP_P), path=path)
    writer = engine.writer

    def run(seed: int) -> int:
        # it knows no stop text: what it writes behind one is not counted
        return sum(len(writer.ids(response.text)) + 1 for response in engine.generate(requests(work, seed)))

    return run


def kept(tokenizer: Any, row: list[int]) -> int:
    """Tokens up to the stop text or the end token."""
    if tokenizer.eos_token_id in row:
        row = row[: row.index(tokenizer.eos_token_id) + 1]
    text = tokenizer.decode(row)
    return len(tokenizer(text[: text.find(STOP)], add_special_tokens=False)["input_ids"]) + 1 if STOP in text else len(row)


def plain(model: Any, writer: Writer, work: Work) -> Callable[[int], int]:
    """generate(num_return_sequences=n) over batches of the same number of rows, prompts sorted by length."""
    tokenizer = writer.tokenizer
    tokenizer.padding_side = "left"
    texts = sorted(work.texts, key=len)
    together = max(1, work.rows // work.samples)

    @torch.inference_mode()
    def run(seed: int) -> int:
        torch.manual_seed(seed)
        tokens = 0
        for first in range(0, len(texts), together):
            batch = tokenizer(texts[first : first + together], return_tensors="pt", padding=True, add_special_tokens=False)
            written = model.generate(
                **batch,
                do_sample=True,
                temperature=TEMPERATURE,
                top_p=TOP_P,
                top_k=0,
                max_new_tokens=work.new_tokens,
                num_return_sequences=work.samples,
                stop_strings=[STOP],
                tokenizer=tokenizer,
            )
            tokens += sum(kept(tokenizer, row) for row in written[:, batch.input_ids.shape[1] :].tolist())
        return tokens

    return run


def continuous(model: Any, writer: Writer, work: Work) -> Callable[[int], int]:
    """transformers' continuous batching; it takes no stop text, so end tokens alone end an answer."""
    from transformers import GenerationConfig

    ids = [writer.ids(text) for text in work.texts for _ in range(work.samples)]
    config = GenerationConfig(
        do_sample=True,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        top_k=0,
        max_new_tokens=work.new_tokens,
        eos_token_id=writer.tokenizer.eos_token_id,
        pad_token_id=writer.tokenizer.eos_token_id,
    )

    def run(seed: int) -> int:
        torch.manual_seed(seed)
        results = model.generate_batch(inputs=ids, generation_config=config, progress_bar=False)
        return sum(kept(writer.tokenizer, list(result.generated_tokens)) for result in results.values())

    return run


def measure(run: Callable[[int], int], seed: int, clock: Callable[[], float]) -> Result:
    gc.collect()
    start = clock()
    tokens = run(seed)
    return Result(tokens, clock() - start)


def same_answers(path: Path, model: Any, writer: Writer, texts: list[str]) -> tuple[float, int]:
    """(largest difference of a logit in float32, prompts with the same greedy text in float32), ours beside transformers'."""
    engine = HuggingFaceGenerator(
        HuggingFace(checkpoint=STUDENT, precision=Precision.float32), Decoding(max_new_tokens=48), path=path
    )
    seen: dict[str, torch.Tensor] = {}
    loop: Any = engine.decoder
    draw = loop._draw

    def spy(logits: Any, rows: list[Any]) -> Any:
        for place, row in enumerate(rows):
            seen.setdefault(row.request.text + f"|{len(row.tokens)}", logits[place].clone())
        return draw(logits, rows)

    loop._draw = spy
    asked = [Request(text, profiles.Prompt("", (), ""), text, 0.0, 0, ()) for text in texts]
    found = {response.key: response.text for response in engine.generate(asked)}
    worst, same = 0.0, 0
    for text in texts:
        ids = torch.tensor([writer.ids(text)])
        mask = torch.ones_like(ids)
        out = model.generate(
            ids, attention_mask=mask, max_new_tokens=48, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        same += writer.tokenizer.decode(out.sequences[0, ids.shape[1] :], skip_special_tokens=True) == found[text]
        steps = [abs(seen[f"{text}|{step}"] - logits[0]).max().item() for step, logits in enumerate(out.logits[:8])]
        worst = max(worst, *steps)
    return worst, same


def table(results: dict[str, list[Result]], base: str) -> Table:
    shown = Table(title="sampling, tokens per second", title_justify="left")
    for column in ("engine", "median", "least-most", "rounds", "tokens a round", f"beside {base}"):
        shown.add_column(column, justify="left" if column == "engine" else "right")
    reference = statistics.median(result.rate for result in results[base]) if base in results else 0.0
    for name, rounds in results.items():
        rates = [result.rate for result in rounds]
        middle = statistics.median(rates)
        ratio = f"{middle / reference:.2f}x" if reference else "-"
        shown.add_row(
            name, f"{middle:.0f}", f"{min(rates):.0f}-{max(rates):.0f}", str(len(rates)), str(rounds[-1].tokens), ratio
        )
    return shown


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a problem file; the builtin problems by default")
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=160)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument(
        "--engines", nargs="*", default=["ours", "ours float32", "generate", "continuous batching", "ctranslate2 int8"]
    )
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    path = resolve(STUDENT).path
    writer = Writer(path)
    data = options.data or Path(profiles.__file__).parent / "data" / "builtin.jsonl"
    problems = [problem for problem, _ in zip(read_problems(data), range(options.problems), strict=False)]
    texts = [writer.text(profiles.render(problem, profiles.Profile())) for problem in problems]
    work = Work(texts, options.samples, options.new_tokens, options.rows)
    model = load(path, dtype=torch.bfloat16, device=torch.device("cpu"))
    makers: dict[str, Callable[[], Callable[[int], int]]] = {
        "ours": lambda: ours(path, work, Precision.auto),
        "ours float32": lambda: ours(path, work, Precision.float32),
        "generate": lambda: plain(model, writer, work),
        "continuous batching": lambda: continuous(model, writer, work),
        "ctranslate2 int8": lambda: int8(path, work),
    }
    console = Console(width=110)
    runs = {name: makers[name]() for name in options.engines}
    results: dict[str, list[Result]] = {name: [] for name in runs}
    for number in range(options.rounds):
        for name, run in runs.items():
            results[name].append(measure(run, number, clock))
            console.print(f"round {number + 1}, {name}: {results[name][-1].rate:.0f} tokens/s", highlight=False)
    console.print(table(results, "generate"))
    exact = load(path, dtype=torch.float32, device=torch.device("cpu"))
    worst, same = same_answers(path, exact, writer, texts[:8])
    console.print(
        f"float32, greedy: largest difference of a logit {worst:.1e}; same text for {same} of {len(texts[:8])} prompts"
    )


if __name__ == "__main__":
    main()
