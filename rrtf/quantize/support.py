"""Which formats a checkpoint's architecture can take: tried on the real converters, in seconds, before any long job.

CTranslate2's loader is run on the architecture with weights that have shapes but no values, so a loader that exists but
fails (a rotary scaling it does not know, an attribute this transformers version renamed) is found as surely as a missing one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.markup import escape
from rich.table import Table

from rrtf.errors import UserError
from rrtf.gptq_folders import INSTALL_GPTQ, gptq_installed, import_gptqmodel, quantized_by, read_config
from rrtf.loading import load_config, load_tokenizer
from rrtf.quantize.settings import Method, Quantization


class Support(NamedTuple):
    """Whether `method` can be made of a checkpoint; `reason` says why not, `note` what to know where it can."""

    settings: Quantization
    architecture: str
    reason: str = ""
    note: str = ""

    @property
    def works(self) -> bool:
        """Whether nothing stands against it."""
        return not self.reason


def support(checkpoint: Path, wanted: Sequence[Quantization]) -> list[Support]:
    """Probe each format for the Hugging Face folder `checkpoint`. Reads config.json, loads no weights."""
    config = read_config(checkpoint)
    architecture = (config.get("architectures") or [config.get("model_type", "unknown")])[0]
    found = []
    for settings in wanted:
        reason = _already_small(checkpoint) or (_gptq_reason(config, settings) if settings.gptq else _ct2_reason(checkpoint))
        found.append(Support(settings, architecture, reason, "" if reason else _note(settings)))
    return found


def refuse(checkpoint: Path, wanted: Sequence[Quantization], *, show: Callable[[Table], None] = lambda table: None) -> None:
    """Raise UserError naming every format that can't be made and the nearest one that can; `show` gets the matrix first."""
    every = support(checkpoint, wanted)
    show(support_table(every))
    bad = [found for found in every if not found.works]
    if not bad:
        return
    others = support(checkpoint, [Quantization(method=method) for method in Method])
    lines = [f"{found.settings.method.value} of {found.architecture}: {found.reason}{_instead(found, others)}" for found in bad]
    raise UserError("\n".join(lines))


def _instead(bad: Support, others: Sequence[Support]) -> str:
    """The nearest format that works: the same width first, then the same library."""
    works = [other.settings for other in others if other.works and other.settings.method is not bad.settings.method]
    if not works:
        return ""
    best = min(works, key=lambda s: (abs(s.weight_bits - bad.settings.weight_bits), s.gptq != bad.settings.gptq))
    return f". Instead: {best.method.value}"


def support_table(found: Sequence[Support]) -> Table:
    """The support matrix as it is printed before a long job."""
    table = Table(title="formats", title_justify="left", box=None, header_style="bold")
    for column in ("architecture", "format", "can be made", "why"):
        table.add_column(column)
    for row in found:
        word = "[green]yes[/green]" if row.works else "[red]no[/red]"
        table.add_row(row.architecture, row.settings.method.value, word, escape(row.reason or row.note))
    return table


def _already_small(checkpoint: Path) -> str:
    method = quantized_by(checkpoint)
    return f"it is already quantized ({method}); name the original" if method else ""


def _ct2_reason(checkpoint: Path) -> str:
    """Why CTranslate2 can't convert the architecture, or "". Runs its loader on weights without values."""
    import ctranslate2.converters.transformers as converter
    import torch
    from transformers import AutoModelForCausalLM

    try:
        config, tokenizer = load_config(checkpoint), load_tokenizer(checkpoint)
    except UserError as error:
        return str(error)
    loader = converter._MODEL_LOADERS.get(type(config).__name__)  # the only table of its loaders; there is no public one
    if loader is None:
        return f"CTranslate2 has no loader for {config.model_type}"
    try:
        with torch.no_grad(), torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
            loader.get_model_spec(model)
            words, rows = len(loader.get_vocabulary(model, tokenizer)), model.get_input_embeddings().num_embeddings
    except Exception as error:  # whatever it raises here it would raise after the weights are loaded
        return f"CTranslate2's loader for {config.model_type} fails: {type(error).__name__}: {_first_line(error)}"
    return (
        f"its embedding has {rows} rows and its tokenizer {words} texts, which CTranslate2 wants alike" if words != rows else ""
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _gptq_reason(config: dict[str, Any], settings: Quantization) -> str:
    """Why GPTQModel can't quantize the architecture, or ""."""
    if not gptq_installed():
        return INSTALL_GPTQ
    import_gptqmodel()
    from gptqmodel.models.auto import MODEL_MAP

    model_type = config.get("model_type", "")
    if model_type not in MODEL_MAP:
        return f"GPTQModel has no definition for {model_type or 'it'}"
    widths = {
        name: config[name] for name in ("hidden_size", "n_embd", "intermediate_size") if isinstance(config.get(name), int)
    }
    uneven = {name: width for name, width in widths.items() if settings.group_size > 0 and width % settings.group_size}
    if uneven:
        name, width = next(iter(uneven.items()))
        return f"group_size: {settings.group_size} does not divide its {name} of {width}; take 32, 64 or -1 (a whole row)"
    return ""


def _note(settings: Quantization) -> str:
    """What this machine does with the format."""
    if settings.method is Method.ct2_int8_float16:
        import ctranslate2

        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        if "int8_float16" not in ctranslate2.get_supported_compute_types(device):
            return "runs as int8_float32 here: this processor has no float16 arithmetic"
    return ""
