"""Landlock: without any privilege, a process gives up the files, the network and the signals it does not need.

The tier for containers that refuse namespaces. Reading is left for Python and the system's libraries, writing for the scratch
folder; TCP, abstract sockets and signals to processes outside are refused where the kernel is new enough (`abi`).
"""
# ruff: noqa: PTH112
# pathlib would be loaded into every candidate

import ctypes
import os
import struct

from rrtf.judge import linux

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FIRST_ABI_FILES = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_TCP = 3  # bind and connect
TRUNCATE_SINCE, SIGNALS_SINCE = 3, 6  # the versions that can refuse to cut files, and keep signals in
_SCOPES = 3  # abstract sockets and signals


def abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    try:
        return linux.syscall(_CREATE, None, 0, 1, call="landlock")
    except OSError:
        return 0


def _handled(version: int) -> int:
    files = _FIRST_ABI_FILES
    for since, right in ((2, _REFER), (TRUNCATE_SINCE, _TRUNCATE), (5, _IOCTL)):
        files |= right if version >= since else 0
    return files


def ruleset(*, readable: list[str], writable: list[str]) -> int:
    """A descriptor for `restrict`. Raises OSError where the kernel has no Landlock."""
    version = abi()
    if version == 0:
        raise OSError("this kernel has no Landlock")
    files = _handled(version)
    attributes = struct.pack("QQQ", files, _TCP if version >= 4 else 0, _SCOPES if version >= SIGNALS_SINCE else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    descriptor = linux.syscall(_CREATE, _pointer(attributes), size, 0, call="landlock_create_ruleset")
    for path in readable:
        _allow(descriptor, path, _READ if os.path.isdir(path) else _READ_FILE | _EXECUTE)
    for path in writable:
        _allow(descriptor, path, files if os.path.isdir(path) else _READ_FILE | _WRITE_FILE)
    return descriptor


def _allow(descriptor: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = _pointer(struct.pack("=Qi", rights, place))
    linux.syscall(_ADD, descriptor, _PATH_BENEATH, rule, 0, call=f"landlock_add_rule {path}")
    os.close(place)


def restrict(descriptor: int) -> None:
    """Close this process in, for good, with everything it will start."""
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.syscall(_RESTRICT, descriptor, 0, call="landlock_restrict_self")


def _pointer(data: bytes) -> ctypes.c_void_p:
    return ctypes.cast(ctypes.create_string_buffer(data, len(data)), ctypes.c_void_p)
