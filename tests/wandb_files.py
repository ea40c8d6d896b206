"""What W&B wrote: its offline files, read without W&B."""

import json
import struct
import time
from pathlib import Path

BLOCK, HEADER = 32768, 7


def records(path: Path):
    """The records of an offline .wandb file: LevelDB's log format (blocks of 32 KiB), each a protobuf message.

    The wandb package has no reader in Python any more, so the format is read here as it is specified.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, message = path.read_bytes(), HEADER, b""
    assert data[:4] == b":W&B"
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        if kind == 0 or place + HEADER + length > len(data):
            break
        message = (message if kind in (3, 4) else b"") + data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(message)
            yield record


def offline(folder: Path) -> list[Path]:
    """The offline files, the oldest first; W&B's own process writes the end of the newest one after `finish` has returned."""
    found = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    for _ in range(200):
        if found and any(record.WhichOneof("record_type") == "exit" for record in records(found[-1])):
            return found
        time.sleep(0.05)
    raise AssertionError(f"no finished offline run in {folder}")


class Stored:
    """What one offline file holds."""

    def __init__(self, path: Path) -> None:
        self.config, self.history, self.summary = {}, [], {}
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
            changes = record.run.config.update if kind == "run" else record.config.update if kind == "config" else ()
            self.config |= {".".join(c.nested_key) or c.key: json.loads(c.value_json) for c in changes}
            if kind == "history":
                self.history.append({".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item})
            if kind == "summary":
                self.summary |= {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.summary.update}
