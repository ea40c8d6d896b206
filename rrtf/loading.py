"""transformers' model, tokenizer and configuration of a local folder: whole, or an error that names the folder and what is
wrong with it. Code that a folder brings is never run, and nobody is asked whether it should be.
"""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrtf.errors import UserError
from rrtf.gptq_folders import gptqmodel_at_work, is_gptq, laid_out, quantized_by, unpack


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a reader raises over a damaged or foreign file into a UserError that names `path`."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"no space left while {path} was converted; nothing was kept") from None
        raise UserError(f"{path}: can't be loaded: {_first_line(error)}") from error
    except Exception as error:  # a file of unknown making can break its reader in any way
        raise UserError(f"{path}: can't be loaded: {type(error).__name__}: {_first_line(error)}") from error


def load_tokenizer(folder: Path) -> Any:
    """The folder's own tokenizer. Raises UserError."""
    from transformers import AutoTokenizer

    if not any(next(folder.glob(pattern), None) for pattern in ("tokenizer*", "vocab*", "*.model", "tekken*")):
        raise UserError(f"{folder}: has no tokenizer; copy tokenizer.json and tokenizer_config.json of its base model into it")
    with reading(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def padding(tokenizer: Any) -> int:
    """The id that fills what a batch's mask hides: any will do where the tokenizer names none."""
    return int(tokenizer.pad_token_id or 0)


def load_config(folder: Path) -> Any:
    """The folder's configuration. Raises UserError."""
    from transformers import AutoConfig

    with reading(folder):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def load_generation(folder: Path) -> Any:
    """The folder's generation settings, None where it has none of its own. Raises UserError."""
    from transformers import GenerationConfig

    if not (folder / "generation_config.json").is_file():
        return None
    with reading(folder):
        return GenerationConfig.from_pretrained(folder)


def load_causal_lm(folder: Path, *, device: str = "cpu", plain: bool = False, **options: Any) -> Any:
    """The folder's causal language model on `device`; nothing pickled is read.

    `plain` asks for plain layers only on a processor, which multiply many rows faster than GPTQModel's 4-bit kernel does.

    Raises UserError, also where weights are missing or of another shape, which transformers would only make up at random,
    and MissingDataError for a GPTQ folder without the extra that reads it.
    """
    if not is_gptq(folder):
        model = _load_causal_lm(folder, folder, **options)
        return model if device == "cpu" else model.to(device)
    on_device = {} if device == "cpu" else {"device_map": {"": device}}  # it chooses the kernels by the device it loads to
    with gptqmodel_at_work(folder), laid_out(folder) as readable:
        model = _load_causal_lm(folder, readable, **on_device, **options)
        if device == "cpu":
            unpack(model, every=plain)
    return model


def refuse_quantized(folder: Path) -> None:
    """Raise UserError where a folder's weights are quantized: they can't be trained, nor an adapter be added to them."""
    if method := quantized_by(folder):
        raise UserError(f"{folder}: quantized ({method}), so it can neither be trained nor take an adapter; name the original")


def _load_causal_lm(folder: Path, readable: Path, **options: Any) -> Any:
    """The model of `folder`, whose files lie in `readable` as transformers wants them."""
    from transformers import AutoModelForCausalLM

    options |= {"use_safetensors": True, "trust_remote_code": False, "ignore_mismatched_sizes": True}
    with reading(folder):
        loaded: Any = AutoModelForCausalLM.from_pretrained(readable, output_loading_info=True, **options)
    model, found = loaded
    absent = sorted(found["missing_keys"]) + sorted(name for name, *_ in found["mismatched_keys"])
    quantized = getattr(model.config, "quantization_config", None)
    if absent and (quantized is None or quantized.quant_method == "gptq"):  # other methods' weights change their names
        raise UserError(
            f"{folder}: its weights are not those of {type(model).__name__}: {len(absent)} are missing or of another shape, "
            f"such as {absent[0]}"
        )
    return model


def _first_line(error: Exception) -> str:
    return next((line.strip()[:300] for line in str(error).splitlines() if line.strip()), "no reason given")
