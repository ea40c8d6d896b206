"""Models and resume points on disk. Each is written beside its place and renamed, so what has its name is whole."""

import contextlib
import errno
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rrtf.errors import InfrastructureError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def room_for(out: Path) -> Iterator[None]:
    """Raise InfrastructureError, in words, where training under `out` finds the disk full; what is half-written goes away."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        # safetensors says the number in its text only
        if getattr(error, "errno", None) not in FULL and not any(f"(os error {number})" in str(error) for number in FULL):
            raise
        for partial in out.rglob("*.partial"):
            remove(partial)
        raise InfrastructureError(
            f"{out}: no space left while training wrote its results ({error}). What was finished is kept: make room, and the "
            "same command goes on from the last resume point"
        ) from error


def save_model(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    *,
    weights: Mapping[str, Tensor],
    dtype: torch.dtype,
) -> None:
    """A plain Hugging Face folder (or peft's adapter folder) at `path`; `weights` in full, by the model's own names."""
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    # tied weights (an output layer that is the embedding) go to disk once; whoever loads the folder ties them again
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    both = ((name, own) for name, own in tied.items() if {name, own} <= weights.keys())  # sharded strategies may give one
    copies = {name for name, own in both if torch.equal(weights[name], weights[own])}
    once = {name: value for name, value in weights.items() if name not in copies}
    narrow = {name: value.to(dtype) if value.is_floating_point() else value for name, value in once.items()}
    config = model.config
    kept = config.use_cache, config._attn_implementation
    config.use_cache, config._attn_implementation = True, None
    model.save_pretrained(str(partial), state_dict=narrow)
    config.use_cache, config._attn_implementation = kept
    if (described := partial / "config.json").is_file():
        described.write_text(json.dumps(json.loads(described.read_text()) | {"dtype": str(dtype).split(".")[1]}, indent=2))
    tokenizer.save_pretrained(partial)
    _replace(partial, path)


def _replace(partial: Path, path: Path) -> None:
    """Put a finished folder in its place; an older one there goes away."""
    old = path.with_name(path.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    partial.rename(path)
    shutil.rmtree(old, ignore_errors=True)


class ResumePoints:
    """The folder of resume points: one good one, named by `latest.json`, and at most the one being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.marker = folder / "latest.json"

    def latest(self) -> Path | None:
        """The resume point to go on from, if there is one."""
        if not self.marker.is_file():
            return None
        return self.folder / str(json.loads(self.marker.read_text())["name"])

    def place(self, step: int) -> Path:
        """Where the point after `step` steps is to be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"step-{step:06d}.ckpt"

    def commit(self, path: Path) -> None:
        """Make `path` the point to go on from, then remove the others."""
        fresh = self.marker.with_suffix(".partial")
        fresh.write_text(json.dumps({"name": path.name}))
        fresh.replace(self.marker)
        for other in self.folder.glob("step-*.ckpt"):
            if other != path:
                remove(other)


def remove(path: Path) -> None:
    """Delete a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def rng_state() -> dict[str, Any]:
    """The state of every random generator training draws from on this process."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Undo everything drawn since `rng_state`."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
