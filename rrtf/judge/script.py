"""A program run as a script: standard streams, exit status, threads and exit handlers as Python itself has them.

The process ends by `os._exit`, so that nothing of this package runs at its end; what Python does at the end of a script and
programs count on is done here: threads, exit handlers, finalizers of what lies at the top level, everything flushed.
"""

import atexit
import os
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

FAILED_FLUSH = 120  # Python's own exit status for it


def run(
    code: types.CodeType, namespace: dict[str, Any], *, finished: Callable[[], None], describe: Callable[[BaseException], str]
) -> NoReturn:
    """Run to the end of the process. `finished` is called where the last line was reached."""
    status, reached = 0, False
    try:
        exec(code, namespace)
        reached = True
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        if status == 1 and error.code != 1:
            os.write(2, str(error.code).encode(errors="replace"))
    except BaseException as error:  # noqa: B036 - a program may raise anything
        os.write(2, describe(error).encode(errors="replace"))
        status = 1
    if threads := sys.modules.get("threading"):
        threads._shutdown()  # what the interpreter itself does at its end
    atexit._run_exitfuncs()
    if reached:
        finished()
    failed = _flush()
    for name in [name for name, value in namespace.items() if hasattr(type(value), "__del__")]:
        del namespace[name]  # files of its own on descriptor 1 are written out by this
    os._exit((status or failed or _flush()) & 0xFF)


def _flush() -> int:
    """Exit status for the program's text streams and the original ones, which it may have replaced."""
    status = 0
    for stream in (sys.stdout, sys.__stdout__):
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except Exception:
            status = FAILED_FLUSH
    return status
