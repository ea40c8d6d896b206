"""CTranslate2's own converter as sampling and quantization call it."""

from pathlib import Path

from rrtf.errors import InfrastructureError, UserError


def convert(source: Path, target: Path, *, quantization: str) -> None:
    """Write the Hugging Face folder `source` in CTranslate2's format to `target`; `quantization` is its name for a type.

    Raises UserError for an architecture it has no loader for, InfrastructureError where it fails; OSError passes.
    """
    from ctranslate2.converters import TransformersConverter
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        converter = TransformersConverter(str(source), low_cpu_mem_usage=True)
        converter.convert(str(target), quantization=quantization, force=True)
    except ValueError as error:  # its word for "no loader for this architecture"
        raise UserError(f"{source}: CTranslate2 can't convert it: {error}. A huggingface source runs it as it is") from None
    except (RuntimeError, NotImplementedError, AttributeError, KeyError) as error:
        raise InfrastructureError(f"CTranslate2 could not convert {source}: {type(error).__name__}: {error}") from error
    finally:
        if bars:
            logging.enable_progress_bar()
