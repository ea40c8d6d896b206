"""How fast training is, in candidate tokens a second and memory: packed, padded, naive, and TRL beside them.

    python bench/training.py                      # everything: about 20 minutes on 2 quiet CPU cores
    python bench/training.py --cells 6:1          # K = 6, P/R = 1 only
    python bench/training.py --clock cpu --threads 1   # on a shared machine: this process's own time

A run is forward and backward of the RRTF loss over two groups; the forms take turns, so that a busy minute hits all of them.
naive: one query at a time, full logits, as RRHF's code does it; lean: padded rows, our head; packed: each prompt once.
"""

import argparse
import ctypes
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rrtf.training.batches import Batch, Tokens, padded
from rrtf.training.logprobs import token_logprobs
from rrtf.training.losses import terms
from rrtf.training.packing import NAME, packed
from rrtf.training.quiet import M_MMAP_MAX, M_TOP_PAD, M_TRIM_THRESHOLD, keep_freed_memory
from rrtf.training.scorer import Scorer
from rrtf.training.settings import Loss
from rrtf.training.throughput import arithmetic, matmul_peak

RESPONSE, GROUPS, LOGITS = 128, 2, 2**22
SHAPES = {
    "smollm2_135m": {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3},
    "1_5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12, "num_key_value_heads": 2},
}
LAYERS = {"smollm2_135m": 30, "1_5b": 28}


def model_of(shape: str, *, layers: int, vocabulary: int = 49152, device: str = "cpu") -> PreTrainedModel:
    sizes = SHAPES[shape] | {"num_hidden_layers": layers, "vocab_size": vocabulary, "tie_word_embeddings": True}
    config = AutoConfig.for_model("llama", max_position_embeddings=4096, **sizes)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


def groups_of(rows: int, prompt: int, *, response: int = RESPONSE, count: int = GROUPS) -> list[Tokens]:
    draw = torch.Generator().manual_seed(0)
    ids = lambda length: torch.randint(0, 49000, (length,), generator=draw).tolist()  # noqa: E731
    first = [True] + [False] * (rows - 1)
    rewards = [float(rows - k) for k in range(rows)]
    return [Tokens(n, ids(prompt), [ids(response) for _ in range(rows)], rewards, first, first) for n in range(count)]


def naive_loss(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Full logits and a log-softmax over all of them, as RRHF's train.py does."""
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask.long(), use_cache=False).logits
    logprobs = torch.log_softmax(logits.float(), dim=-1).clone()  # the script copies them before it gathers
    each = logprobs[:, :-1].gather(-1, batch.input_ids[:, 1:, None]).squeeze(-1)
    scored = torch.zeros_like(batch.input_ids, dtype=torch.bool).view(-1)
    scored[batch.source + 1] = True
    return sum(terms(batch.facts._replace(logp=(each * scored.view(batch.input_ids.shape)[:, 1:]).sum(dim=1)), loss=Loss()))


def lean_loss(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    return sum(terms(batch.facts._replace(logp=Scorer(model, logits=LOGITS)(batch)), loss=Loss()))


def to(batch: Batch, device: str) -> Batch:
    def move(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(device)
        return type(value)(*map(move, value)) if isinstance(value, tuple) else value

    return Batch(*map(move, batch))


def step_of(form: str, model: PreTrainedModel, groups: list[Tokens], device: str) -> Callable[[], None]:
    """What one timed run of a form does."""
    if form == "packed":
        batches, kernel, loss = [packed(groups)], NAME, lean_loss
    elif form == "lean":
        batches, kernel, loss = [padded(groups, pad=0)], "sdpa", lean_loss
    else:
        batches, kernel, loss = [padded([group], pad=0) for group in groups], "sdpa", naive_loss
    moved = [to(batch, device) for batch in batches]

    def step() -> None:
        keep_freed_memory() if form != "naive" else default_memory()
        model.set_attn_implementation(kernel)
        for batch in moved:
            loss(model, batch).backward()
        model.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def default_memory() -> None:
    """glibc's own defaults again, for the form that does not change them, and nothing kept from the form before."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 65536)
    libc.mallopt(M_TRIM_THRESHOLD, 128 * 1024)
    libc.mallopt(M_TOP_PAD, 128 * 1024)
    libc.malloc_trim(0)


def peak_gb(step: Callable[[], None], device: str) -> float:
    """Most memory that one run adds, in GiB."""
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**30
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    step()
    return (status("VmHWM") - before) / 2**20


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def timed(steps: dict[str, Callable[[], None]], *, repeats: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each form, taken in turns after one run to warm up."""
    seconds: dict[str, list[float]] = {form: [] for form in steps}
    for turn in range(repeats + 1):
        for form, step in steps.items():
            begin = clock()
            step()
            if turn:
                seconds[form].append(clock() - begin)
    return seconds


def show(values: list[float], work: float) -> str:
    """Median rate and half the spread between the fastest and the slowest run."""
    rates = [work / value for value in values]
    return f"{statistics.median(rates):.0f} ±{(max(rates) - min(rates)) / 2:.0f}"


def throughput(options: argparse.Namespace, console: Console, clock: Callable[[], float]) -> None:
    model = model_of(options.shape, layers=options.layers or LAYERS[options.shape], device=options.device)
    table = Table(
        title=f"{options.shape}, R = {RESPONSE}, bf16, {options.threads} threads, {options.clock} time, {options.repeats} runs"
    )
    names = (
        "K, P, naive tok/s, lean, packed, packed / naive, packed / lean, of bound, peak, utilisation, GiB naive, lean, packed"
    )
    for name in names.split(", "):
        table.add_column(name, justify="right")
    for rows, ratio in options.cells:
        prompt = int(RESPONSE * ratio)
        groups = groups_of(rows, prompt)
        steps = {form: step_of(form, model, groups, options.device) for form in ("naive", "lean", "packed")}
        peak = matmul_peak(model, tokens=GROUPS * (prompt + rows * RESPONSE), dtype=torch.bfloat16, device=model.device)
        seconds = timed(steps, repeats=options.repeats, clock=clock)
        median = {form: statistics.median(values) for form, values in seconds.items()}
        bound = rows * (prompt + RESPONSE) / (prompt + rows * RESPONSE)
        work = GROUPS * rows * RESPONSE
        table.add_row(
            str(rows), str(prompt), *(show(seconds[form], work) for form in steps),
            f"{median['naive'] / median['packed']:.2f}", f"{median['lean'] / median['packed']:.2f}",
            f"{median['lean'] / median['packed'] / bound:.0%}", f"{peak / 1e9:.0f} GFLOP/s",
            f"{arithmetic(model, packed(groups)) / median['packed'] / peak:.0%}",
            *(f"{peak_gb(step, options.device):.2f}" for step in steps.values()),
        )  # fmt: skip
        console.print(f"K={rows} P={prompt}: " + ", ".join(f"{form} {value:.1f} s" for form, value in median.items()))
    console.print(table)


def head_memory(options: argparse.Namespace, console: Console) -> None:
    """The loss alone at a vocabulary of 150,000: what it adds to memory as tokens grow."""
    table = Table(title="memory of the loss at vocabulary 150,000, width 576, bf16 (GiB)")
    for name in ("response tokens", "full logits", "lean", "the head's gradient is"):
        table.add_column(name, justify="right")
    head = torch.nn.Linear(576, 150_000, bias=False, dtype=torch.bfloat16, device=options.device)
    for tokens in (256, 512, 1024):
        hidden = torch.randn(tokens, 576, dtype=torch.bfloat16, requires_grad=True, device=options.device)
        label = torch.randint(0, 150_000, (tokens,), device=options.device)

        def full(hidden: torch.Tensor = hidden, label: torch.Tensor = label) -> None:
            head.weight.grad = None
            torch.log_softmax(head(hidden).float(), dim=-1).gather(1, label[:, None]).sum().backward()

        def lean(hidden: torch.Tensor = hidden, label: torch.Tensor = label) -> None:
            head.weight.grad = None
            token_logprobs(hidden, label, head=head, logits=LOGITS).sum().backward()

        default_memory()
        own = head.weight.numel() * 2 / 2**30
        cells = []
        for step in (full, lean):
            head.weight.grad = None
            step()
            head.weight.grad = None
            cells.append(f"{peak_gb(step, options.device):.2f}")
        table.add_row(str(tokens), *cells, f"{own:.2f}")
    console.print(table)


def cells(text: str) -> list[tuple[int, float]]:
    return [(int(cell.split(":")[0]), float(cell.split(":")[1])) for cell in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="smollm2_135m")
    parser.add_argument("--layers", type=int, default=0, help="fewer layers than the shape has (the head then weighs more)")
    parser.add_argument("--cells", type=cells, default=cells("2:.5,2:1,2:2,4:.5,4:1,4:2,6:.5,6:1,6:2"), help="K:P/R, ...")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--skip", nargs="*", choices=("throughput", "memory", "trl"), default=[])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    console, clock = Console(width=150), time.process_time if options.clock == "cpu" else time.perf_counter
    if "throughput" not in options.skip:
        throughput(options, console, clock)
    if "memory" not in options.skip:
        head_memory(options, console)
    if "trl" not in options.skip:
        from training_trl import beside_trl

        beside_trl(options, console, clock)


if __name__ == "__main__":
    main()
