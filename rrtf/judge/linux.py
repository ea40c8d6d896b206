"""The few Linux calls that Python doesn't wrap, through ctypes. Each raises OSError with the call's name when refused."""

import ctypes
import os
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x00020000, 0x04000000, 0x08000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP = 0x20000000, 0x40000000, 0x02000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 47, 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2  # pass over the modes of files; the second to read only
RLIMIT_DATA = 2
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY_NOSUID_NODEV = -100, 0x8000, 0x1 | 0x2 | 0x4

AVAILABLE = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)
if AVAILABLE:  # declared, it takes plain numbers: objects made for each call cost every candidate pages of its own
    _libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
# the two calls whose numbers are the same on every architecture rrtf runs on are not enough, so by machine
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(os.uname().machine, -1)
_CAPSET = {"x86_64": 126, "aarch64": 91}.get(os.uname().machine, -1)
_CAPGET = {"x86_64": 125, "aarch64": 90}.get(os.uname().machine, -1)
_MOUNT_SETATTR = 442


def _check(result: int, call: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
    return result


def syscall(number: int, *arguments: int | bytes | ctypes.c_void_p | None, call: str) -> int:
    """A raw system call; `call` names it in the error."""
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *wide), call)


def prctl(option: int, value: int = 0, third: int = 0) -> None:
    """prctl(2); an address is given as its number."""
    if _libc.prctl(option, value, third, 0, 0) < 0:
        _check(-1, f"prctl {option}")


def unshare(flags: int) -> None:
    """unshare(2): new namespaces for this process (for its children, where PIDs are concerned)."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2)."""
    fstype = kind.encode() if kind else None
    result = _libc.mount(os.fsencode(source), os.fsencode(target), fstype, ctypes.c_ulong(flags), options.encode())
    _check(result, f"mount {target}")


def unmount(target: str) -> None:
    """umount2(2), lazily: open files of the old mount don't keep it in sight."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def make_read_only(target: str) -> None:
    """A bind mount and everything mounted below it: no writes, no setuid, no devices."""
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY_NOSUID_NODEV, 0, 0, 0)
    pointer = ctypes.cast(attributes, ctypes.c_void_p)
    try:
        syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, pointer, 32, call="mount_setattr")
    except OSError:  # Linux before 5.12: one mount at a time, keeping the flags a user namespace may not drop
        kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC | 1024 | 2048)
        mount("none", target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | kept)


def pivot_root(new_root: str) -> None:
    """Make `new_root` this mount namespace's root and forget the old one."""
    os.chdir(new_root)
    syscall(_PIVOT_ROOT, b".", b".", call="pivot_root")
    unmount(".")
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every capability for good (with PR_SET_NO_NEW_PRIVS, exec can't bring them back)."""
    _capabilities(_CAPSET, "capset", (ctypes.c_uint32 * 6)())


class Keeping:
    """Called, gives up every capability but one (below 32), which programs started from here have as well.

    Its user must have changed under PR_SET_KEEPCAPS before. What the calls need is made beforehand, once for all candidates.
    """

    def __init__(self, number: int) -> None:
        bit = 1 << number
        self._number, self._header, self._sets = number, _header(), (ctypes.c_uint32 * 6)(bit, bit, bit)
        self._addresses = ctypes.c_long(_CAPSET), ctypes.byref(self._header), ctypes.byref(self._sets)

    def __call__(self) -> None:  # noqa: D102
        _check(_libc.syscall(*self._addresses), "capset")
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, self._number)


def permitted() -> int:
    """The capabilities below 32 that this process may use, as bits; 0 where there is no such thing."""
    sets = (ctypes.c_uint32 * 6)()
    if AVAILABLE:
        _capabilities(_CAPGET, "capget", sets)
    return sets[1]


def _capabilities(number: int, call: str, sets: ctypes.Array[ctypes.c_uint32]) -> None:
    syscall(number, ctypes.cast(_header(), ctypes.c_void_p), ctypes.cast(sets, ctypes.c_void_p), call=call)


def _header() -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * 2)(0x20080522, 0)
