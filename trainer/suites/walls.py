"""Walls around a program nobody has read: Landlock and namespaces hide files, limits hold. Standard library only.

Every function holds for this process, for good, and raises OSError where the kernel refuses.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys
import sysconfig
from pathlib import Path

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # Landlock; the same everywhere
_EXECUTE, _WRITE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_ALL_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # access rights by version of Landlock
_FILE_BITS = _EXECUTE | _WRITE | _READ_FILE | 1 << 14 | 1 << 15  # those that a file can have: also truncate, ioctl
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1
_NEW_MOUNTS, _NEW_NAMES, _NEW_IPC, _NEW_USERS, _NEW_NETWORK = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x40000000
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_EXEC = 1, 2, 4, 8
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE, _DETACH = 32, 4096, 16384, 1 << 18, 2
_DROP_BOUNDING, _DIE_WITH_PARENT, _NO_NEW_PRIVS, _DUMPABLE = 24, 1, 38, 4
_CAPABILITIES_V3 = 0x20080522


def readable() -> list[str]:
    """What a program must read: Python's own library, shared libraries, time zones, and three harmless devices."""
    paths = sysconfig.get_paths()
    wanted = [
        paths["stdlib"],
        paths["platstdlib"],
        str(Path(sys.base_prefix) / "lib") if Path(sys.base_prefix) not in (Path.home(), Path("/")) else "",
        *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"),
        *("/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/zero", "/dev/urandom"),
    ]
    return [path for path in dict.fromkeys(wanted) if path and Path(path).exists()]


def landlock_version() -> int:
    """The version of Landlock here; 0 where there is none."""
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def hide_by_landlock(folder: Path) -> None:
    """From here on only `readable()` can be read, only what is in `folder` written; no TCP where Landlock knows it."""
    version = landlock_version()
    if not version:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    libc = _libc()
    handled = (1 << _ALL_BITS.get(version, 16)) - 1
    given = struct.pack("Q", handled)
    if version >= 4:
        given += struct.pack("Q", _BIND_TCP | _CONNECT_TCP)
    if version >= 6:
        given += struct.pack("Q", _ABSTRACT_SOCKETS | _SIGNALS)
    rules = int(libc.syscall(_CREATE_RULESET, given, ctypes.c_size_t(len(given)), 0))
    _check(rules, "Landlock refuses its rules")
    try:
        for path in readable():
            device = path == "/dev/null"
            _allow(libc, rules, path, _READ_FILE | _READ_DIR | _EXECUTE | (_WRITE if device else 0), handled)
        _allow(libc, rules, str(folder), handled & ~_EXECUTE, handled)
        _check(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "new privileges cannot be given up")
        _check(int(libc.syscall(_RESTRICT_SELF, rules, 0)), "Landlock refuses to hold this process")
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, access: int, handled: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        access &= handled if Path(path).is_dir() else handled & _FILE_BITS
        rule = struct.pack("=Qi", access, beneath)
        _check(int(libc.syscall(_ADD_RULE, rules, 1, rule, 0)), f"Landlock refuses a rule for {path}")
    finally:
        os.close(beneath)


def hide_by_namespaces(folder: Path, root: Path) -> None:
    """A file system of its own with `readable()` and `folder`, no network, no other users' processes to speak to.

    `root` is an empty folder on which it is built.
    """
    user, group, machine = os.getuid(), os.getgid(), os.uname().machine
    if machine not in _PIVOT_ROOT:
        raise OSError(errno.ENOSYS, f"no number of pivot_root for {machine}")
    libc = _libc()
    kinds = _NEW_USERS | _NEW_MOUNTS | _NEW_NETWORK | _NEW_IPC | _NEW_NAMES
    _check(libc.unshare(kinds), "this kernel gives this user no namespaces")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _mount(libc, None, "/", None, _RECURSIVE | _PRIVATE)
    _mount(libc, "tmpfs", str(root), "tmpfs", _NO_SETUID | _NO_DEVICES, b"size=4m,mode=755")
    for path in readable():
        _show(libc, path, root, writable=path.startswith("/dev/"))
    _show(libc, str(folder), root, writable=True)
    _mount(libc, None, str(root), None, _REMOUNT | _READ_ONLY | _NO_SETUID | _NO_DEVICES)
    os.chdir(root)
    _check(int(libc.syscall(_PIVOT_ROOT[machine], b".", b".")), "the new root cannot be taken")
    _check(libc.umount2(b".", _DETACH), "the old root cannot be let go")
    os.chdir(folder)


def _show(libc: ctypes.CDLL, path: str, root: Path, *, writable: bool) -> None:
    """Bind a file or folder at the same place under the new root."""
    place = root / path.lstrip("/")
    if Path(path).is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _mount(libc, path, str(place), None, _BIND | _RECURSIVE)
    here = os.statvfs(place).f_flag  # what the mount forbids stays forbidden, else the kernel refuses
    locked = (_NO_DEVICES if here & os.ST_NODEV else 0) | (_NO_EXEC if here & os.ST_NOEXEC else 0)
    how = _REMOUNT | _BIND | _NO_SETUID | locked | (0 if writable else _READ_ONLY)
    _mount(libc, None, str(place), None, how)


def _mount(
    libc: ctypes.CDLL, source: str | None, target: str, kind: str | None, flags: int, data: bytes | None = None
) -> None:
    given = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _check(libc.mount(*given, ctypes.c_ulong(flags), data), f"{source or target} cannot be mounted")


def give_up_privileges() -> None:
    """No capabilities, now or later, whoever this is; nobody may look into this process; it dies with its parent."""
    libc = _libc()
    number = 0
    while libc.prctl(_DROP_BOUNDING, number, 0, 0, 0) == 0:
        number += 1  # fails for whom has none to drop, and behind the last one
    header = struct.pack("Ii", _CAPABILITIES_V3, 0)
    _check(libc.capset(header, struct.pack("6I", 0, 0, 0, 0, 0, 0)), "capabilities cannot be given up")
    _check(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "new privileges cannot be given up")
    _check(libc.prctl(_DUMPABLE, 0, 0, 0, 0), "this process cannot be closed to others")
    _check(libc.prctl(_DIE_WITH_PARENT, 9, 0, 0, 0), "this process cannot be tied to its parent")


def limit(seconds: float, memory: int, file: int) -> None:
    """Hard limits: processor time, address space and size of a file in bytes, open files, no core."""
    cpu = int(seconds) + 2
    for kind, most in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        most = min([most, *(bound for bound in resource.getrlimit(kind) if bound != resource.RLIM_INFINITY)])
        resource.setrlimit(kind, (most, most))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(returned: int, what: str) -> None:
    if returned < 0:
        found = ctypes.get_errno()
        raise OSError(found, f"{what}: {os.strerror(found)}")
