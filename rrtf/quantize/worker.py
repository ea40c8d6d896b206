"""A process that holds one model, so that memory is its own and ends with it. Orders come and answers go as JSON lines."""

import gc
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from rrtf.errors import InfrastructureError, UserError
from rrtf.memory import give_back


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Worker:
    """The caller's side: start it in a `with`, then `ask`."""

    def __init__(self, folder: Path, *, threads: int = 0, scoring: bool = False) -> None:
        self.folder = folder
        environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": str(threads or cores())}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rrtf.quantize.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
            stderr=subprocess.DEVNULL, encoding="utf-8",
        )  # fmt: skip
        try:
            self.memory = self.ask("load", folder=str(folder), threads=threads, scoring=scoring)
        except BaseException:
            self.close()
            raise

    def ask(self, order: str, **arguments: Any) -> Any:
        """Have one order done and return its answer. Raises UserError or InfrastructureError."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps({"order": order, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise InfrastructureError(f"{self.folder}: its process ended (status {self.process.wait()}) during {order!r}")
        answer = json.loads(line)
        if "mistake" in answer:
            raise UserError(answer["mistake"])
        if "failure" in answer:
            raise InfrastructureError(f"{self.folder}: {order}: {answer['failure']}")
        return answer["answer"]

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Orders:
    """The process's side: one method per order."""

    def load(self, folder: str, threads: int, scoring: bool) -> dict[str, Any]:
        """Load the model. MiB over idle (libraries and tokenizer, no weights), threads, device."""
        from rrtf.loading import load_tokenizer
        from rrtf.quantize.engines import load

        _import_libraries(Path(folder))
        tokenizer = load_tokenizer(Path(folder))
        gc.collect()
        give_back()
        _reset_peak()
        self.free, self.idle = _device_free(), _resident()
        del tokenizer  # the engine's own takes its place
        threads = threads or cores()
        self.engine = load(Path(folder), threads=threads, scoring=scoring)
        # one answer has little work for several threads: side by side, a thread each, they take 5 to 20 % less
        self.scorers = ThreadPoolExecutor(threads if scoring and not self.free else 1, initializer=_one_thread)
        found = {"loading_mb": self.memory(), "device": "cuda" if self.free else "cpu", "threads": threads}
        found |= {"kernel": self.engine.kernel}
        gc.collect()
        give_back()
        _reset_peak()
        return found | {"loaded_mb": self.memory()}

    def memory(self) -> float:
        """MiB over idle at the highest since the last call: of the device where there is one, else resident."""
        if self.free:
            return self.free - _device_free()
        peak = _peak() - self.idle
        _reset_peak()
        return peak

    def encode(self, text: str) -> list[int]:
        """Ids of an exact text."""
        return list(self.engine.tokenizer(text, add_special_tokens=False)["input_ids"])

    def time(self, prompts: list[list[int]], new_tokens: int) -> float:
        """Seconds to continue the prompts by exactly so many tokens."""
        start = time.perf_counter()
        self.engine.generate(prompts, new_tokens=new_tokens, forced=True)
        return time.perf_counter() - start

    def generate(self, prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        """The likeliest continuations."""
        return self.engine.generate(prompts, new_tokens=new_tokens, forced=False)

    def score(self, pairs: list[tuple[list[int], list[int]]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each pair's answer to its prompt."""
        return list(self.scorers.map(lambda pair: self.engine.score(*pair), pairs))


def _one_thread() -> None:
    import torch

    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # of the thread that calls it


def _import_libraries(folder: Path) -> None:
    """Import all that the engine will, so that memory counts weights and work, not libraries."""
    import torch

    from rrtf.checkpoints import is_ctranslate2
    from rrtf.gptq_folders import import_gptqmodel, is_gptq
    from rrtf.loading import load_config

    config = load_config(folder)
    torch.ones(8, 8) @ torch.ones(8, 8)
    if is_ctranslate2(folder):
        import ctranslate2  # noqa: F401

        return
    from transformers import AutoModelForCausalLM

    if is_gptq(folder):
        import_gptqmodel()
        import optimum.gptq  # noqa: F401
        import torch._inductor.compile_fx  # noqa: F401 - which GPTQModel's layers load
    with torch.device("meta"):  # the model's code and what that imports, without weights
        AutoModelForCausalLM.from_config(config)


def _status(field: str) -> float | None:
    """MiB of one line of /proc/self/status, or None where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def _resident() -> float:
    return _status("VmRSS") or _ever_peak()


def _peak() -> float:
    return _status("VmHWM") or _ever_peak()


def _ever_peak() -> float:
    """MiB, where there is no /proc: the highest of the whole process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # then the peak is that of the whole process, loading included


def _device_free() -> float:
    """MiB free on the GPU, 0 where there is none."""
    import torch

    return torch.cuda.mem_get_info()[0] / (1 << 20) if torch.cuda.is_available() else 0.0


def _serve() -> None:
    """Answer orders until the input ends. Whatever libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    orders = _Orders()
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            answer: dict[str, Any] = {"answer": getattr(orders, arguments.pop("order"))(**arguments)}
        except UserError as error:
            answer = {"mistake": str(error)}
        except Exception as error:  # sent to the caller, who raises it
            answer = {"failure": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _serve()
