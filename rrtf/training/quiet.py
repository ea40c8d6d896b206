"""Other libraries' chatter during a run; what matters is in our own log."""

import contextlib
import ctypes
import logging
import warnings
from collections.abc import Iterator

from transformers.utils import logging as transformers_logging

# glibc's names for mallopt
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers, no announcements or hints of Lightning."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for module in ("pytorch_lightning", "lightning_fabric", "peft", "transformers", "torch.distributed"):
                warnings.filterwarnings("ignore", module=module.replace(".", r"\."))
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory for the next tensor instead of handing it back to the kernel, for the whole process.

    Each large tensor otherwise starts with page faults: on a CPU, a fifth to a third of a training step (bench/training.py
    measures it). Elsewhere than on glibc nothing happens.
    """
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 64 * 2**20)
