"""A checkpoint quantized by GPTQ, made by GPTQModel (extra `gptq`) in a process of its own.

A process of its own, because the library takes the terminal, starts threads that outlive the work and keeps the whole model;
when it ends, all that is gone. The result is an ordinary Hugging Face folder.
"""

import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rrtf.errors import InfrastructureError
from rrtf.progress import Report
from rrtf.quantize.settings import Method, Quantization
from rrtf.quantize.worker import cores

_LAYER = re.compile(r"^rrtf: layer (\d+) of (\d+)$")
# texts that are calibrated on at a time: GPTQModel counts each as if it were alone, and passes through a layer cost less
_TOGETHER = 8


def convert_gptq(source: Path, settings: Quantization, target: Path, *, calibration: Sequence[str], report: Report) -> None:
    """Write `source`, quantized, to the new folder `target`, calibrated on the texts. Raises InfrastructureError."""
    target.mkdir(parents=True)
    job = {"source": str(source.absolute()), "target": str(target.absolute()), "settings": dataclasses.asdict(settings)}
    job["texts"] = list(calibration)
    # GPTQModel's own default counts the machine's cores, not this process's; below two workers it does not start
    workers = os.environ.get("GPTQMODEL_CPU_WORKERS", str(max(2, cores())))
    # a dumb terminal, so that it draws no bars: without them and with texts together it takes 6 % less
    environment = os.environ | {"GPTQMODEL_CPU_WORKERS": workers, "TERM": "dumb"}
    command = [sys.executable, "-m", "rrtf.quantize.gptq"]
    tail: deque[str] = deque(maxlen=12)
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(  # GPTQModel writes logs where it stands
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, encoding="utf-8",
        errors="replace", cwd=folder,
    ) as child:  # fmt: skip
        assert child.stdin and child.stdout
        try:
            child.stdin.write(json.dumps(job))
            child.stdin.close()
            for line in child.stdout:
                tail.append(line.rstrip())
                if seen := _LAYER.match(line):
                    report(int(seen[1]), int(seen[2]), "layers")
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        raise InfrastructureError(f"GPTQModel could not quantize {source}:\n" + "\n".join(tail))


def _run(job: dict[str, Any]) -> None:
    """What the process does."""
    from gptqmodel import GPTQModel, QuantizeConfig

    settings = Quantization(**job["settings"] | {"method": Method(job["settings"]["method"])})
    config = QuantizeConfig(
        bits=settings.weight_bits,
        group_size=settings.group_size,
        desc_act=settings.act_order,
        # its default, an order within the groups; there is none where a whole row is one, or where the columns' order is set
        act_group_aware=settings.group_size > 0 and not settings.act_order,
    )
    model = GPTQModel.load(job["source"], config)
    texts = [{"input_ids": ids} for ids in _encode(model.tokenizer, job["texts"], settings.calibration_tokens)]
    layers = model.model.config.get_text_config().num_hidden_layers
    model.layer_callback = lambda layer_idx, submodule_finalized: print(f"rrtf: layer {layer_idx + 1} of {layers}", flush=True)
    model.quantize(texts, batch_size=_TOGETHER)
    model.save(job["target"])


def _encode(tokenizer: Any, texts: Sequence[str], longest: int) -> list[list[int]]:
    """Token ids of the texts, cut to `longest`; prompts hold their special tokens already."""
    return [tokenizer(text, add_special_tokens=False)["input_ids"][:longest] for text in texts]


if __name__ == "__main__":
    _run(json.load(sys.stdin))
