"""`rrtf-generate CHECKPOINT [PROMPT]`: load a model of any format and watch it write.

The checkpoint is a Hugging Face folder, a LoRA adapter folder (merged into its base first), a .gguf file, a hub id, or a folder
that `rrtf.quantize` made (CTranslate2, GPTQ). Text goes to the standard output, everything else to the standard error.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rrtf.errors import InfrastructureError, UserError

EPILOG = """examples:
  rrtf-generate HuggingFaceTB/SmolLM2-135M-Instruct "Write a Python function that reverses a list."
  rrtf-generate runs/ct2_int8 --plain "def fibonacci(n):" --stop "def "
  echo "Explain this program: ..." | rrtf-generate model.gguf --temperature 0.8 --seed 3"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit status: 0, 2 for a mistake of the user's, 1 where the machinery failed."""
    options = _parser().parse_args(arguments)
    try:
        if mistakes := _mistakes(options):
            raise UserError("\n".join(mistakes))
        prompt = options.prompt if options.prompt is not None else _piped()
        _generate(options, prompt)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except InfrastructureError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough; what is still buffered would be complained about at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rrtf-generate",
        description="Load a checkpoint of any format and stream its answer to a prompt.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", help="folder (Hugging Face, adapter, CTranslate2, GPTQ), .gguf file or hub id")
    parser.add_argument("prompt", nargs="?", help="what to answer; read from the standard input if left out")
    parser.add_argument("--plain", action="store_true", help="continue the prompt as it is, without the chat template")
    parser.add_argument("--system", default="", help="a system message, for chat models")
    parser.add_argument("--prefill", default="", help="how the answer begins, such as '```python\\n'")
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0, the default, is greedy")
    parser.add_argument("--top-p", type=float, default=0.95, metavar="P", help="read only at a temperature above 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end the answer before TEXT (repeatable)")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0, the default, is the library's choice")
    parser.add_argument("--quiet", action="store_true", help="no line about time at the end")
    return parser


def _mistakes(options: argparse.Namespace) -> list[str]:
    found = []
    if options.max_new_tokens < 1:
        found.append(f"--max-new-tokens: {options.max_new_tokens} is below 1")
    if not 0 <= options.temperature <= 5:
        found.append(f"--temperature: {options.temperature:g} is outside [0, 5]")
    if not 0 < options.top_p <= 1:
        found.append(f"--top-p: {options.top_p:g} is outside (0, 1]")
    if options.threads < 0:
        found.append(f"--threads: {options.threads} is below 0")
    if "" in options.stop:
        found.append("--stop: an empty text would end every answer at once")
    return found


def _piped() -> str:
    if sys.stdin.isatty():
        raise UserError("no prompt: give one as the second argument, or pipe it in")
    text = sys.stdin.read()
    if not text.strip():
        raise UserError("no prompt: the standard input is empty")
    return text.removesuffix("\n")


def _generate(options: argparse.Namespace, prompt: str) -> None:
    """Load, answer, and say how long it took."""
    from rrtf.checkpoints import resolve
    from rrtf.quantize.engines import Draw, load
    from rrtf.quantize.sidecar import outdated

    start = time.perf_counter()
    folder = resolve(options.checkpoint).path
    if line := outdated(folder):
        print(line, file=sys.stderr)
    engine = load(folder, threads=options.threads)
    loaded = time.perf_counter()
    text = _text(engine.tokenizer, prompt, options)
    ids = engine.tokenizer(text, add_special_tokens=False)["input_ids"]
    room = engine.limits.context - len(ids)
    if room < 1:
        raise UserError(f"the prompt has {len(ids)} tokens, and {folder} knows {engine.limits.context} positions: none is left")
    draw = Draw(min(options.max_new_tokens, room), options.temperature, options.top_p, options.seed)
    times: list[float] = []
    for piece in until(pieces(engine.tokenizer, _timed(engine.stream(ids, draw), times)), options.stop):
        print(piece, end="", flush=True)
    print(flush=True)
    if not options.quiet:
        print(_about(len(ids), times, start=loaded, loading=loaded - start), file=sys.stderr)


def _text(tokenizer: Any, prompt: str, options: argparse.Namespace) -> str:
    """The exact text the model continues: the chat template's where there is one, unless --plain."""
    from rrtf.profiles import Message
    from rrtf.sampling.local import beginning, chat

    if options.plain or not tokenizer.chat_template:
        if options.system:
            raise UserError("--system needs a chat template: leave --plain out, or name a model that has one")
        return beginning(tokenizer) + prompt + options.prefill
    system = [Message("system", options.system)] if options.system else []
    return chat(tokenizer, [*system, Message("user", prompt)]) + options.prefill


def _timed(tokens: Iterator[int], times: list[float]) -> Iterator[int]:
    for token in tokens:
        times.append(time.perf_counter())
        yield token


def pieces(tokenizer: Any, tokens: Iterator[int]) -> Iterator[str]:
    """The text of tokens as it grows; a character whose bytes are not all there yet is waited for."""
    ids: list[int] = []
    shown = ""
    for token in tokens:
        ids.append(token)
        text = tokenizer.decode(ids, skip_special_tokens=True)
        if not text.endswith("\ufffd"):
            yield text[len(shown) :]
            shown = text
    yield tokenizer.decode(ids, skip_special_tokens=True)[len(shown) :]


def until(texts: Iterator[str], stops: Sequence[str]) -> Iterator[str]:
    """The texts up to the first stop text, which is left out; what might be the beginning of one is held back."""
    held = ""
    for text in texts:
        held += text
        ends = [held.index(stop) for stop in stops if stop in held]
        if ends:
            yield held[: min(ends)]
            return
        keep = max((n for stop in stops for n in range(1, len(stop)) if held.endswith(stop[:n])), default=0)
        yield held[: len(held) - keep]
        held = held[len(held) - keep :]
    yield held


def _about(prompt: int, times: Sequence[float], *, start: float, loading: float) -> str:
    if not times:
        return f"[{prompt} prompt tokens, no new ones; loaded in {loading:.1f} s]"
    rate = f", {1000 * (times[-1] - times[0]) / (len(times) - 1):.0f} ms per token" if len(times) > 1 else ""
    first = f"first after {times[0] - start:.2f} s"
    return f"[{prompt} prompt tokens, {len(times)} new: {first}{rate}; loaded in {loading:.1f} s]"


if __name__ == "__main__":
    sys.exit(main())
