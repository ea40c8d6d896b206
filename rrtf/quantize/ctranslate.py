"""A checkpoint in CTranslate2's format, made by its own converter, with the tokenizer beside it."""

import json
from collections.abc import Sequence
from pathlib import Path

from rrtf.ctranslate_conversion import convert
from rrtf.loading import load_tokenizer
from rrtf.progress import Report
from rrtf.quantize.settings import Method, Quantization

# what is not rounded (norms, biases) is named too: plain "int8" keeps the source's bfloat16, which every load on a processor
# converts, with a warning
_QUANTIZATION = {
    Method.ct2_int8: "int8_float32",
    Method.ct2_int8_float16: "int8_float16",
    Method.ct2_float32: "float32",
}


def convert_ctranslate2(
    source: Path, settings: Quantization, target: Path, *, calibration: Sequence[str] = (), report: Report
) -> None:
    """Write `source` to the new folder `target`: model.bin, its vocabulary, and the source's tokenizer files.

    CTranslate2 rounds weights by their size alone, so `calibration` is not used. Raises UserError or InfrastructureError.
    """
    from transformers import GenerationConfig

    report(0, 1, "loading")
    convert(source, target, quantization=_QUANTIZATION[settings.method])
    _keep_configuration(source, target)
    load_tokenizer(source).save_pretrained(target)
    if (source / "generation_config.json").is_file():
        GenerationConfig.from_pretrained(source).save_pretrained(target)
    report(1, 1, "")


def _keep_configuration(source: Path, target: Path) -> None:
    """Add the source's configuration to CTranslate2's, so that transformers knows the folder's architecture and context."""
    file = target / "config.json"
    own, theirs = json.loads(file.read_text()), json.loads((source / "config.json").read_text())
    # where its converter writes null for a token that the tokenizer does not have CTranslate2 reads a string, and null for
    # what it has no number of (GPT-2's layer_norm_epsilon) would hide the source's number from both
    empty = {name: "" if name.endswith("_token") else None for name, value in own.items() if value is None}
    known = {name: value for name, value in own.items() if value is not None}
    file.write_text(json.dumps(empty | theirs | known, indent=1) + "\n")
