"""Memory that nobody uses, given back to the machine."""

import ctypes


def give_back() -> None:
    """Return freed memory to the kernel; elsewhere than with glibc does nothing.

    Tensors of ever changing sizes leave holes between them that glibc keeps: without this a run of sampling, training and
    sampling grew from 4.0 to 6.3 GiB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
