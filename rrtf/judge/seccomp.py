"""A system call filter for candidates, as a classic BPF program: no debugging, no new namespaces, no kernel interfaces.

It is a second wall: the namespaces and the missing capabilities already refuse most of this. Refused calls fail with EPERM, so
honest programs see an ordinary error. On a machine other than x86-64 and 64-bit ARM nothing is installed.
"""

import ctypes
import errno
import os
import struct

from rrtf.judge import linux

# name: (x86-64, 64-bit ARM)
_FORBIDDEN = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "open_by_handle_at": (304, 265),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "setpriority": (141, 140),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    # System V and POSIX queues outlive their process: one candidate could leave word for the next
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "personality": (135, 92),
}
_ABOUT_A_PROCESS = ((62, 129), (200, 130), (234, 131))  # kill, tkill, tgkill
_ONLY_ITSELF = ((302, 261), (203, 122), (142, 118))  # prlimit64, sched_setaffinity, sched_setparam
_SOCKET = (41, 198)
FAMILIES = (1, 2, 10, 16)  # unix, IPv4, IPv6, netlink: a network namespace holds these, but not, say, vsock
# what has the kernel send a signal to any process when a descriptor is ready: fcntl's SETOWN, SETSIG, SETOWN_EX, ioctl's two
_OWNERS = (((72, 25), (8, 10, 15)), ((16, 29), (0x8901, 0x8902)))
_SIGNALS_BY_OTHER_WAYS = ((129, 138), (297, 240), (424, 424))  # rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal
_CLONE = (56, 220)
_CLONE3 = 435
_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32 = 0x40000000


def _refuse(code: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _REFUSE | code)


def _by_argument(
    number: int, place: int, values: tuple[int, ...], *, allowed: bool, code: int
) -> list[tuple[int, int, int, int]]:
    """A call that is allowed only, or refused only, where its argument `place` is one of the values."""
    tests = [(_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    ends = [_refuse(code), (_RETURN, 0, 0, _ALLOW)]
    rows = [(_LOAD, 0, 0, 16 + 8 * place), *tests, *(ends if allowed else reversed(ends))]
    return [(_EQUAL, 0, len(rows), number), *rows]


def _guard(column: int, own: int) -> list[tuple[int, int, int, int]]:
    """Where other processes of the same user are in sight: signals only for itself (and its own group, as 0)."""
    rows: list[tuple[int, int, int, int]] = []
    for numbers in _ABOUT_A_PROCESS:
        rows += _by_argument(numbers[column], 0, (own, 0), allowed=True, code=errno.EPERM)
    for numbers in _SIGNALS_BY_OTHER_WAYS:
        rows += [(_EQUAL, 0, 1, numbers[column]), _refuse(errno.EPERM)]
    return rows


def _program(column: int, architecture: int, own: int, families: tuple[int, ...]) -> bytes:
    """The filter: another architecture is killed, forbidden calls get EPERM, clone3 ENOSYS (libc then uses clone)."""
    rows: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
        (_EQUAL, 0, 1, _CLONE3),
        _refuse(errno.ENOSYS),
    ]
    for numbers in _FORBIDDEN.values():
        rows += [(_EQUAL, 0, 1, numbers[column]), _refuse(errno.EPERM)]
    for numbers in _ONLY_ITSELF:
        rows += _by_argument(numbers[column], 0, (0,), allowed=True, code=errno.EPERM)
    for numbers, wishes in _OWNERS:
        rows += _by_argument(numbers[column], 1, wishes, allowed=False, code=errno.EPERM)
    rows += _by_argument(_SOCKET[column], 0, families, allowed=True, code=errno.EAFNOSUPPORT)
    if own:
        rows += _guard(column, own)
    rows += [
        (_EQUAL, 0, 3, _CLONE[column]),
        (_LOAD, 0, 0, 16),  # clone's flags, low word
        (_ANY_BIT, 0, 1, _NAMESPACES),
        _refuse(errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *row) for row in rows)


def install(own: int = 0, *, families: tuple[int, ...] = FAMILIES) -> None:
    """Filter this process and all it starts from now on; there is no way back.

    With `own`, it may signal only that process. `families` are the sockets it may make; pairs of them are always allowed.
    """
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if os.uname().machine not in _ARCHITECTURES:
        return
    program = _program(*_ARCHITECTURES[os.uname().machine], own, families)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    filter_program = ctypes.create_string_buffer(header, len(header))
    linux.prctl(linux.PR_SET_SECCOMP, 2, ctypes.addressof(filter_program))
