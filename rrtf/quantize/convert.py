"""The quantize stage: a checkpoint in, a small folder with a sidecar out; whole or not at all, and never over another."""

import errno
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rrtf.checkpoints import Checkpoint, resolve
from rrtf.errors import ConfigurationError, InfrastructureError, UserError
from rrtf.progress import Report
from rrtf.quantize import sidecar
from rrtf.quantize.ctranslate import convert_ctranslate2
from rrtf.quantize.gptq import convert_gptq
from rrtf.quantize.settings import Method, Quantization
from rrtf.quantize.support import refuse
from rrtf.store import lock

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def quantize(
    checkpoint: Path,
    settings: Quantization,
    calibration: Sequence[str] = (),
    *,
    out: Path,
    report: Report = lambda done, total, note: None,
) -> Path:
    """Convert `checkpoint` (a Hugging Face folder, or an adapter, which is merged in bfloat16 first) into the folder `out`.

    `calibration` is GPTQ's: training prompts with their solutions (see rrtf.quantize.calibration). A finished `out` of the
    same source, settings and texts is returned as it is; of anything else it is an error, never overwritten.

    Raises ConfigurationError, UserError (no loader, source changed, no room) or InfrastructureError (the converter failed).
    """
    if found := settings.mistakes():
        raise ConfigurationError(found)
    if settings.gptq and not calibration:
        raise UserError(
            f"{settings.method.value} needs calibration texts (training prompts with their solutions); there are none"
        )
    source = resolve(str(checkpoint))
    with lock(out.with_name(f"{out.name}.lock")):
        if out.exists():
            _check_same(out, source, settings, calibration)
            return out
        refuse(source.path, [settings])
        _check_room(source.path, settings, out)
        _make(source, settings, calibration, out, report, name=str(checkpoint.resolve() if checkpoint.is_dir() else checkpoint))
    return out


def _check_same(out: Path, source: Checkpoint, settings: Quantization, calibration: Sequence[str]) -> None:
    """Raise UserError unless `out` is this very conversion, finished."""
    found = sidecar.check_source(out, digest=source.digest)
    for name, wanted in sidecar.describe(settings, calibration).items():
        if getattr(found, name) != wanted:
            raise UserError(
                f"{out}: already holds another conversion: its {name} is {getattr(found, name)}, wanted is {wanted}. "
                "Name another output folder, or delete this one"
            )
    if (held := _weights(out)) != found.weights_bytes:
        raise UserError(
            f"{out}: was made with {found.weights_bytes} bytes of weights and holds {held}: a part of it is lost. Delete it to "
            "convert again"
        )


def _weights(folder: Path) -> int:
    """Bytes of the weights in a converted folder."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.suffix in (".bin", ".safetensors"))


def _make(
    source: Checkpoint, settings: Quantization, calibration: Sequence[str], out: Path, report: Report, *, name: str
) -> None:
    """Convert into a folder beside `out` and rename it."""
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # a killed run's; the lock says nobody is at it
    convert: Callable[..., None] = convert_gptq if settings.gptq else convert_ctranslate2
    start = time.monotonic()
    try:
        convert(source.path, settings, partial, calibration=calibration, report=report)
        about = sidecar.Sidecar(
            source=name,
            source_digest=source.digest,
            versions=sidecar.versions(),
            weights_bytes=_weights(partial),
            seconds=round(time.monotonic() - start, 1),
            **sidecar.describe(settings, calibration),
        )
        sidecar.write(partial, about)
        partial.rename(out)
    except Exception as error:
        if any(os.strerror(code) in str(error) for code in _FULL):  # as the tokenizer's library and GPTQ's process say it
            raise UserError(f"{out.parent}: no space left while writing {out.name}; nothing was kept") from None
        if isinstance(error, OSError):
            raise InfrastructureError(f"{out}: could not be written: {error}") from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_room(source: Path, settings: Quantization, out: Path) -> None:
    """Raise UserError where the result can't fit; float32 doubles a 16-bit source, everything else is smaller than it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    size = sum(file.stat().st_size for file in source.glob("*.safetensors"))
    needed = size * (2 if settings.method is Method.ct2_float32 else 1)
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise UserError(
            f"{out.parent}: {free / 1e6:.0f} MB free, up to {needed / 1e6:.0f} MB needed for {settings.method.value}"
        )
