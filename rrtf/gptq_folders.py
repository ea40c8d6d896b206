"""Folders that GPTQ quantized: recognised, and read by GPTQModel (extra `gptq`) at the speed this machine can give.

AutoGPTQ, with which the paper quantized, wrote such folders too, its older releases in a layout that transformers does not
know: quantize_config.json instead of an entry in config.json, and weights called gptq_model-4bit-128g.safetensors.

GPTQModel has a fast kernel for most widths on a GPU, and on a processor one for 4 bits in groups. The rest it unpacks there
anew in every pass: 607 ms a token where the bf16 original takes 66. It has an 8-bit kernel for processors too, but that
rounds the weights a second time, with one scale a row (GPTQ_TORCH_INT8), so what would be measured is no longer GPTQ's. So
such weights are unpacked once, at loading: they answer as fast as the original, and take its memory, as they did before.
"""

import contextlib
import gc
import importlib.util
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrtf.errors import MissingDataError, UserError

AUTOGPTQ = "quantize_config.json"
INSTALL_GPTQ = "GPTQModel is not installed: pip install 'rrtf[gptq]'"


def read_config(checkpoint: Path) -> dict[str, Any]:
    """config.json of a folder. Raises MissingDataError or UserError."""
    file = checkpoint / "config.json"
    if not file.is_file():
        raise MissingDataError(f"{checkpoint}: not a checkpoint: it has no config.json")
    return _object(file)


def _object(file: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises UserError."""
    try:
        config = json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file}: not JSON: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{file}: expected an object, found {type(config).__name__}")
    return config


def quantization(folder: Path) -> dict[str, Any]:
    """What a folder says of how its weights were quantized, empty where they were not. Raises MissingDataError or UserError."""
    found = read_config(folder).get("quantization_config")
    own = folder / AUTOGPTQ
    return found or ({"quant_method": "gptq"} | _object(own) if own.is_file() else {})


def quantized_by(folder: Path) -> str:
    """The method that quantized a folder's weights, "" where none did."""
    found = quantization(folder)
    return str(found.get("quant_method", "unknown")) if found else ""


def is_gptq(folder: Path) -> bool:
    """Whether a folder holds a model that GPTQ quantized."""
    return quantized_by(folder) == "gptq"


def gptq_installed() -> bool:
    """Whether the extra `gptq` is here."""
    return all(importlib.util.find_spec(name) for name in ("gptqmodel", "optimum"))


def require_gptqmodel(folder: Path) -> None:
    """Raise MissingDataError where `folder` is GPTQ's and what reads it is not installed."""
    if is_gptq(folder) and not gptq_installed():
        raise MissingDataError(f"{folder}: a GPTQ checkpoint; {INSTALL_GPTQ}")


def import_gptqmodel() -> None:
    """Import GPTQModel without its banner and log, which would stand in the middle of an answer on the standard output."""
    with contextlib.redirect_stdout(sys.stderr):
        from logbar import LogBar

        LogBar.shared().setLevel("ERROR")
        import gptqmodel  # noqa: F401


@contextlib.contextmanager
def gptqmodel_at_work(folder: Path) -> Iterator[None]:
    """Around what loads `folder`: GPTQModel is there and keeps quiet. Raises MissingDataError where it is not installed."""
    require_gptqmodel(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of functions it still calls by their old names
        import_gptqmodel()
        yield


@contextlib.contextmanager
def laid_out(folder: Path) -> Iterator[Path]:
    """`folder` as transformers reads it: itself, or a folder of links while AutoGPTQ's layout is loaded."""
    config, weights = read_config(folder), [file.name for file in folder.glob("*.safetensors")]
    if "quantization_config" in config and any(name.startswith("model") for name in weights):
        yield folder
        return
    index = next((file.name for file in folder.glob("*.safetensors.index.json")), "")
    renamed = (
        {index: "model.safetensors.index.json"} if index else {weights[0]: "model.safetensors"} if len(weights) == 1 else {}
    )
    with tempfile.TemporaryDirectory() as place:
        for file in folder.iterdir():
            if file.name != "config.json":
                (Path(place) / renamed.get(file.name, file.name)).symlink_to(file.resolve())
        (Path(place) / "config.json").write_text(json.dumps(config | {"quantization_config": quantization(folder)}))
        yield Path(place)


def unpack(model: Any, *, every: bool = False) -> None:
    """Replace each layer on a processor that has no fast kernel there, or every one, by a plain one of the same weights."""
    import torch
    from gptqmodel.nn_modules.qlinear import BaseQuantLinear
    from gptqmodel.nn_modules.qlinear.torch_aten_kernel import TorchAtenLinear

    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseQuantLinear) and (every or not isinstance(layer, TorchAtenLinear)):
            # of the class: the instance's own is compiled, which needs a C++ compiler and minutes for a layer each
            model.set_submodule(name, _plain(layer, type(layer).dequantize_weight(layer).to(model.dtype)))
        elif isinstance(layer, BaseQuantLinear):  # lays its weights out anew at its first row, beside the file's
            with torch.no_grad():
                layer.eval()(torch.zeros(1, layer.in_features, dtype=model.dtype))
    # what is left lies in the file's mapping, whose packed weights would stay in memory beside the unpacked ones
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    del layer
    gc.collect()  # the packed layers refer to themselves


def _plain(layer: Any, weight: Any) -> Any:
    """The linear layer with `weight` (in x out) and the bias of `layer`."""
    import torch

    rows, columns = weight.shape
    plain = torch.nn.Linear(rows, columns, bias=layer.bias is not None, device="meta")
    plain.weight = torch.nn.Parameter(weight.T.contiguous(), requires_grad=False)
    if layer.bias is not None:
        plain.bias = torch.nn.Parameter(layer.bias.to(weight.dtype), requires_grad=False)
    return plain.eval()
