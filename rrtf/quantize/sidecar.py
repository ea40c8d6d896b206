"""What a quantized folder says of itself: the source it was made from, how, and with which versions."""

import dataclasses
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrtf.checkpoints import resolve
from rrtf.errors import MissingDataError, UserError
from rrtf.quantize.settings import Quantization
from rrtf.records import from_row, to_row
from rrtf.store import digest

NAME = "rrtf_quantization.json"
PACKAGES = ("rrtf", "ctranslate2", "gptqmodel", "optimum", "torch", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """One conversion. `calibration_digest` is "" where none was used; `seconds` is how long it took."""

    source: str
    source_digest: str
    settings: dict[str, Any]
    calibration_texts: int
    calibration_digest: str
    versions: dict[str, str]
    weights_bytes: int
    seconds: float

    @property
    def method(self) -> str:
        """The format's name."""
        return str(self.settings["method"])


def describe(settings: Quantization, calibration: Sequence[str]) -> dict[str, Any]:
    """The fields that the settings and the calibration texts decide; CTranslate2 uses no texts, so they don't count there."""
    used = list(calibration) if settings.gptq else []
    return {
        "settings": to_row(dataclasses.asdict(settings)) if settings.gptq else {"method": settings.method.value},
        "calibration_texts": len(used),
        "calibration_digest": digest(used) if used else "",
    }


def versions() -> dict[str, str]:
    """The installed versions of what a conversion depends on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not there
    return found


def write(folder: Path, sidecar: Sidecar) -> None:
    """Put the sidecar into a folder that is being made."""
    (folder / NAME).write_text(json.dumps(to_row(sidecar), indent=1) + "\n")


def read(folder: Path) -> Sidecar | None:
    """The sidecar of a folder, or None where it has none. Raises UserError for one that can't be read."""
    file = folder / NAME
    if not file.is_file():
        return None
    try:
        return from_row(Sidecar, json.loads(file.read_text()))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: not a sidecar of this version ({error}); delete the folder and convert again") from None


def check_source(folder: Path, *, digest: str) -> Sidecar:
    """The sidecar of `folder`, if it was made from the weights with this digest. Raises UserError where it was not."""
    found = read(folder)
    if found is None:
        raise UserError(f"{folder}: no {NAME}, so nobody can say what it was made from; delete it and convert again")
    if found.source_digest != digest:
        raise UserError(
            f"{folder}: made from {found.source} when its digest was {found.source_digest}; it is {digest} now. The source "
            "changed: delete the folder to convert again, or name another output folder"
        )
    return found


def outdated(folder: Path) -> str:
    """A line for who uses `folder` although the folder it was made from has changed since; "" where nothing is known of that.

    Costs little: a file is hashed again only if its size or time says that it is another.
    """
    found = read(folder)
    # the source may be gone or be named from elsewhere; an adapter would have to be merged again
    if found is None or not Path(found.source).is_absolute() or (Path(found.source) / "adapter_config.json").is_file():
        return ""
    try:
        now = resolve(found.source).digest
    except MissingDataError:
        return ""
    if now == found.source_digest:
        return ""
    return (
        f"{folder}: {found.source} has changed since this {found.method} was made from it; convert it again to use the new one"
    )
