"""A seccomp filter for programs nobody has read: no network, no other processes, no new privileges. Standard library.

Nor can files be removed or renamed, or be made without a name: one that is gone and still open takes room that nobody
sees. What is refused returns EPERM, so that a program sees an exception and not its death. Calls that are newer than
this list answer ENOSYS. Numbers are those of the kernel's tables for x86_64 and aarch64.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_NEWEST = 424  # the first call that both architectures number alike; what is newer is refused but for _HARMLESS
_HARMLESS = (436, 439, 441, 449, 451, 454, 455, 456)  # close_range, faccessat2, epoll_pwait2, futexes, cachestat
_CLONE_THREAD = 0x00010000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: ld abs, jeq, jge, jset, ret
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH = 0, 4  # offsets in struct seccomp_data; arguments are 8 bytes, low half first
_FIRST, _SECOND, _THIRD = 16, 24, 32
_OWNERS = (8, 10, 15)  # fcntl: F_SETOWN, F_SETSIG, F_SETOWN_EX, by which a pipe sends any signal to any process
_TIES = (1, 4)  # prctl: PR_SET_PDEATHSIG, PR_SET_DUMPABLE, which the walls have set
_NAMELESS, _REMOVE_FOLDER = 0x400000, 0x200  # open: O_TMPFILE without O_DIRECTORY; unlinkat: AT_REMOVEDIR


class NoFilter(OSError):
    """The kernel, or this machine, has no such filter; the message says which."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """What a program may not call here, and the calls that are looked at closer."""

    audit: int
    clone: int
    to_own_process: tuple[int, ...]  # kill, tgkill, prlimit64: the first argument must be the caller
    fcntl: int
    prctl: int
    opens: tuple[tuple[int, int], ...]  # open, openat, and where their flags stand
    unlinkat: int  # for folders alone
    refused: tuple[int, ...]


_X86_64 = _Machine(
    audit=0xC000003E,
    clone=56,
    to_own_process=(62, 234, 302),
    fcntl=72,
    prctl=157,
    opens=((2, _SECOND), (257, _THIRD)),
    unlinkat=263,
    refused=(
        # socket connect accept sendto sendmsg bind listen socketpair accept4 sendmmsg
        *(41, 42, 43, 44, 46, 49, 50, 53, 288, 307),
        # fork vfork execve execveat setpgid setsid
        *(57, 58, 59, 322, 109, 112),
        # shmget shmat shmctl semget msgget mq_open memfd_create
        *(29, 30, 31, 64, 68, 240, 319),
        # truncate chmod fchmod chown fchown lchown utime mknod utimes mknodat fchownat futimesat fchmodat utimensat
        *(76, 90, 91, 92, 93, 94, 132, 133, 235, 259, 260, 261, 268, 280),
        # rename renameat renameat2 unlink
        *(82, 264, 316, 87),
        # setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr name_to_handle_at open_by_handle_at
        *(188, 189, 190, 197, 198, 199, 303, 304),
        # setuid setgid setreuid setregid setgroups setresuid setresgid setfsuid setfsgid capset
        *(105, 106, 113, 114, 116, 117, 119, 122, 123, 126),
        # ptrace process_vm_readv process_vm_writev kcmp tkill rt_sigqueueinfo rt_tgsigqueueinfo
        # move_pages migrate_pages
        *(101, 310, 311, 312, 200, 129, 297, 279, 256),
        # setpriority sched_setparam sched_setscheduler sched_setaffinity ioprio_set sched_setattr
        *(141, 142, 144, 203, 251, 314),
        # uselib personality modify_ldt pivot_root adjtimex chroot acct settimeofday mount umount2 swapon swapoff reboot
        *(134, 135, 154, 155, 159, 161, 163, 164, 165, 166, 167, 168, 169),
        # sethostname setdomainname iopl ioperm init_module delete_module quotactl vhangup syslog lookup_dcookie
        *(170, 171, 172, 173, 175, 176, 179, 153, 103, 212),
        # clock_settime kexec_load add_key request_key keyctl unshare perf_event_open fanotify_init clock_adjtime setns
        *(227, 246, 248, 249, 250, 272, 298, 300, 305, 308),
        # finit_module seccomp kexec_file_load bpf userfaultfd
        *(313, 317, 320, 321, 323),
    ),
)
_AARCH64 = _Machine(
    audit=0xC00000B7,
    clone=220,
    to_own_process=(129, 131, 261),
    fcntl=25,
    prctl=167,
    opens=((56, _THIRD),),
    unlinkat=35,
    refused=(
        # socket socketpair bind listen accept connect sendto sendmsg accept4 sendmmsg
        *(198, 199, 200, 201, 202, 203, 206, 211, 242, 269),
        # execve execveat setpgid setsid
        *(221, 281, 154, 157),
        # shmget shmctl shmat semget msgget mq_open memfd_create
        *(194, 195, 196, 190, 186, 180, 279),
        # truncate fchmod fchmodat fchownat fchown mknodat utimensat
        *(45, 52, 53, 54, 55, 33, 88),
        # renameat renameat2
        *(38, 276),
        # setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr name_to_handle_at open_by_handle_at
        *(5, 6, 7, 14, 15, 16, 264, 265),
        # setregid setgid setreuid setuid setresuid setresgid setfsuid setfsgid setgroups capset
        *(143, 144, 145, 146, 147, 149, 151, 152, 159, 91),
        # ptrace process_vm_readv process_vm_writev kcmp tkill rt_sigqueueinfo rt_tgsigqueueinfo
        # migrate_pages move_pages
        *(117, 270, 271, 272, 130, 138, 240, 238, 239),
        # setpriority sched_setparam sched_setscheduler sched_setaffinity ioprio_set sched_setattr
        *(140, 118, 119, 122, 30, 274),
        # personality pivot_root adjtimex chroot acct settimeofday mount umount2 swapon swapoff reboot
        *(92, 41, 171, 51, 89, 170, 40, 39, 224, 225, 142),
        # sethostname setdomainname init_module delete_module quotactl vhangup syslog lookup_dcookie
        *(161, 162, 105, 106, 60, 58, 116, 18),
        # clock_settime kexec_load add_key request_key keyctl unshare perf_event_open fanotify_init clock_adjtime setns
        *(112, 104, 217, 218, 219, 97, 241, 262, 266, 268),
        # finit_module seccomp kexec_file_load bpf userfaultfd
        *(273, 277, 294, 280, 282),
    ),
)
_MACHINES = {"x86_64": _X86_64, "aarch64": _AARCH64}


def install(own: int) -> None:
    """Put this process, `own` as its number, and all its threads under the filter for good. Raises NoFilter."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise NoFilter(errno.ENOSYS, f"no list of system calls for {platform.machine()}, only {', '.join(_MACHINES)}")
    program = b"".join(_program(machine, own))
    code = ctypes.create_string_buffer(program, len(program))
    filter = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _MODE_FILTER, filter, 0, 0)):
        if libc.prctl(*arguments) != 0:
            found = ctypes.get_errno()
            raise NoFilter(found, f"this kernel refuses a filter of system calls ({errno.errorcode.get(found, found)})")


def _program(machine: _Machine, own: int) -> list[bytes]:
    """The filter as BPF instructions: architecture, new calls, refused calls, then those whose arguments count."""
    eperm, enosys = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    out = [
        _op(_LOAD, _ARCH),
        *_unless(_EQUAL, machine.audit, _KILL),
        _op(_LOAD, _NUMBER),
        *(line for number in _HARMLESS for line in _when(_EQUAL, number, _ALLOW)),
        *_when(_AT_LEAST, _NEWEST, enosys),
        *(line for number in machine.refused for line in _when(_EQUAL, number, eperm)),
    ]
    out += _of(machine.clone, _FIRST, _when(_ANY_BIT, _CLONE_THREAD, _ALLOW), eperm)
    out += _of(machine.unlinkat, _THIRD, _when(_ANY_BIT, _REMOVE_FOLDER, _ALLOW), eperm)
    for number, flags in machine.opens:
        out += _of(number, flags, _when(_ANY_BIT, _NAMELESS, eperm), _ALLOW)
    for number, offset, values in ((machine.fcntl, _SECOND, _OWNERS), (machine.prctl, _FIRST, _TIES)):
        out += _of(number, offset, [line for value in values for line in _when(_EQUAL, value, eperm)], _ALLOW)
    mine = _when(_EQUAL, own, _ALLOW)
    *others, prlimit = machine.to_own_process
    for number in others:
        out += _of(number, _FIRST, mine, eperm)
    out += _of(prlimit, _FIRST, [*_when(_EQUAL, 0, _ALLOW), *mine], eperm)  # of prlimit64, 0 is the caller
    return [*out, _op(_RETURN, _ALLOW)]


def _of(number: int, argument: int, lines: Sequence[bytes], otherwise: int) -> list[bytes]:
    """Of one call, the lines that look at one of its arguments, and the answer where none of them gave one."""
    looked = [_op(_LOAD, argument), *lines, _op(_RETURN, otherwise)]
    return [_op(_EQUAL, number, 0, len(looked)), *looked]


def _op(code: int, value: int, when: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, when, otherwise, value)


def _when(test: int, value: int, answer: int) -> tuple[bytes, bytes]:
    return _op(test, value, 0, 1), _op(_RETURN, answer)


def _unless(test: int, value: int, answer: int) -> tuple[bytes, bytes]:
    return _op(test, value, 1, 0), _op(_RETURN, answer)
