"""Which system calls a child may make: an allow-list as a filter program for the kernel (seccomp, mode filter).

Runs on the sandboxed side; standard library only. The filter is a program for the kernel's classic BPF machine, made once by the
zygote and installed by each child with its own process id in it. What is not allowed fails with EPERM, so that a program is told
where it went wrong; calls of another architecture end the process.

Threads are allowed, processes are not. clone3 takes its flags in memory, where a filter cannot look: it answers ENOSYS, and
libc falls back to clone. Nothing makes a socket that reaches out, a file in memory, a namespace, or another program.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import NamedTuple

_SET_MODE_FILTER = 1
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16
"""Offsets in struct seccomp_data."""
_X32 = 0x40000000
_CLONE_THREAD = 0x10000
_MAP_SHARED, _MAP_ANONYMOUS, _MAP_HUGETLB = 0x01, 0x20, 0x40000
_MADV_REMOVE, _MADV_PAGEOUT = 9, 21
_WRITING = tuple(1 << bit for bit in (0, 1, 6, 9, 10))
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND."""
_AF_UNIX = 1

_PLAIN = """
read write readv writev pread64 pwrite64 preadv pwritev lseek close fstat newfstatat ftruncate fsync fdatasync dup dup2 dup3
pipe pipe2 poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 sendfile
copy_file_range splice tee recvfrom shutdown munmap mprotect mremap brk msync mincore futex futex_waitv set_robust_list
get_robust_list rseq sched_yield sched_getaffinity getcpu rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending
rt_sigtimedwait rt_sigsuspend sigaltstack pause alarm setitimer getitimer restart_syscall nanosleep clock_nanosleep
clock_gettime clock_getres gettimeofday time times getrusage getrlimit setrlimit sysinfo uname getrandom getpid gettid getppid
getpgid getpgrp getsid getuid geteuid getgid getegid getresuid getresgid getgroups getpriority umask set_tid_address
arch_prctl exit exit_group getcwd sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min
"""
_PATHS = """
open openat access faccessat faccessat2 stat lstat statx readlink readlinkat getdents getdents64 statfs fstatfs chdir fchdir
"""

# Linux's numbers of the calls above and below, for the two architectures that executors run on.
_X86_64 = """
read 0 write 1 open 2 close 3 stat 4 fstat 5 lstat 6 poll 7 lseek 8 mmap 9 mprotect 10 munmap 11 brk 12 rt_sigaction 13
rt_sigprocmask 14 rt_sigreturn 15 ioctl 16 pread64 17 pwrite64 18 readv 19 writev 20 access 21 pipe 22 select 23
sched_yield 24 mremap 25 msync 26 mincore 27 madvise 28 dup 32 dup2 33 pause 34 nanosleep 35 getitimer 36 alarm 37
setitimer 38 getpid 39 sendfile 40 sendto 44 recvfrom 45 shutdown 48 socketpair 53 clone 56 exit 60 kill 62 uname 63 fcntl 72
fsync 74 fdatasync 75 ftruncate 77 getdents 78 getcwd 79 chdir 80 fchdir 81 readlink 89 umask 95 gettimeofday 96 getrlimit 97
getrusage 98 sysinfo 99 times 100 getuid 102 getgid 104 geteuid 107 getegid 108 getppid 110 getpgrp 111 getgroups 115
getresuid 118 getresgid 120 getpgid 121 getsid 124 rt_sigpending 127 rt_sigtimedwait 128 rt_sigsuspend 130 sigaltstack 131
statfs 137 fstatfs 138 getpriority 140 sched_getparam 143 sched_getscheduler 145 sched_get_priority_max 146
sched_get_priority_min 147 prctl 157 arch_prctl 158 setrlimit 160 gettid 186 time 201 futex 202 sched_getaffinity 204
epoll_create 213 getdents64 217 set_tid_address 218 restart_syscall 219 clock_gettime 228 clock_getres 229 clock_nanosleep 230
exit_group 231 epoll_wait 232 epoll_ctl 233 tgkill 234 openat 257 newfstatat 262 readlinkat 267 faccessat 269 pselect6 270
ppoll 271 set_robust_list 273 get_robust_list 274 splice 275 tee 276 epoll_pwait 281 eventfd2 290 epoll_create1 291 dup3 292
pipe2 293 preadv 295 pwritev 296 prlimit64 302 getcpu 309 getrandom 318 copy_file_range 326 statx 332 rseq 334 clone3 435
faccessat2 439 futex_waitv 449
"""
_AARCH64 = """
getcwd 17 eventfd2 19 epoll_create1 20 epoll_ctl 21 epoll_pwait 22 dup 23 dup3 24 fcntl 25 ioctl 29 statfs 43 fstatfs 44
ftruncate 46 faccessat 48 chdir 49 fchdir 50 openat 56 close 57 pipe2 59 getdents64 61 lseek 62 read 63 write 64 readv 65
writev 66 pread64 67 pwrite64 68 preadv 69 pwritev 70 sendfile 71 pselect6 72 ppoll 73 splice 76 tee 77 readlinkat 78
newfstatat 79 fstat 80 fsync 82 fdatasync 83 exit 93 exit_group 94 set_tid_address 96 futex 98 set_robust_list 99
get_robust_list 100 nanosleep 101 getitimer 102 setitimer 103 clock_gettime 113 clock_getres 114 clock_nanosleep 115
sched_getscheduler 120 sched_getparam 121 sched_getaffinity 123 sched_yield 124 sched_get_priority_max 125
sched_get_priority_min 126 restart_syscall 128 kill 129 tgkill 131 sigaltstack 132 rt_sigsuspend 133 rt_sigaction 134
rt_sigprocmask 135 rt_sigpending 136 rt_sigtimedwait 137 rt_sigreturn 139 getpriority 141 getresuid 148 getresgid 150
times 153 getpgid 155 getsid 156 getgroups 158 uname 160 getrlimit 163 setrlimit 164 getrusage 165 umask 166 prctl 167
getcpu 168 gettimeofday 169 getpid 172 getppid 173 getuid 174 geteuid 175 getgid 176 getegid 177 gettid 178 sysinfo 179
socketpair 199 sendto 206 recvfrom 207 shutdown 210 brk 214 munmap 215 mremap 216 clone 220 mmap 222 mprotect 226 msync 227
mincore 232 madvise 233 prlimit64 261 getrandom 278 copy_file_range 285 statx 291 rseq 293 clone3 435 faccessat2 439
futex_waitv 449
"""
_MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}
"""The kernel's word for the architecture, and its calls."""
_MACHINE = os.uname().machine
_SECCOMP = {"x86_64": 317, "aarch64": 277}.get(_MACHINE, -1)
_libc = ctypes.CDLL(None, use_errno=True)

_FCNTL = (0, 1, 2, 3, 4, 1030, 1032)
"""F_DUPFD, descriptor and status flags, F_DUPFD_CLOEXEC, F_GETPIPE_SZ; no locks, and not F_SETOWN, which sends signals."""
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_PRCTL = (15, 16, 38, 39)
"""PR_SET_NAME, PR_GET_NAME, and no_new_privs, which is set already."""


class _Rule(NamedTuple):
    """A call allowed where the lower 32 bits of an argument say so."""

    argument: int
    values: tuple[int, ...] = ()
    """Any of these; or else"""
    bits: int = 0
    """any of these bits; or else"""
    never: tuple[int, ...] = ()
    """of none of these all bits; or else null, in all 64 bits."""


_OWN_PID = 0x5EC0DE5E
"""Larger than any process id."""
_DENY = _ERRNO | errno.EPERM
_RULES = {
    # Shared memory without a file, huge pages and what was paged out are nobody's resident memory, and thus without limit.
    "mmap": _Rule(3, never=(_MAP_SHARED | _MAP_ANONYMOUS, _MAP_HUGETLB)),
    "madvise": _Rule(2, tuple(set(range(26)) - {_MADV_REMOVE, _MADV_PAGEOUT})),
    # A pair of sockets of one process's own, as event loops use it; without an address it reaches nobody else.
    "socketpair": _Rule(0, (_AF_UNIX,)),
    "sendto": _Rule(4),
    "fcntl": _Rule(1, _FCNTL),
    "ioctl": _Rule(1, _IOCTL),
    "prctl": _Rule(0, _PRCTL),
    "prlimit64": _Rule(0, (0,)),
    "clone": _Rule(0, bits=_CLONE_THREAD),
    "kill": _Rule(0, (_OWN_PID,)),
    "tgkill": _Rule(0, (_OWN_PID,)),
}
_READING = {"open": _Rule(1, never=_WRITING), "openat": _Rule(2, never=_WRITING)}
_Segment = tuple[int, int | _Rule]
"""First call number, and what to do from there to the next segment."""


def is_supported() -> bool:
    """Do we know this machine's system calls, and does its kernel filter them?"""
    if _MACHINE not in _MACHINES:
        return False
    # With no program, a kernel that has filters complains about the address, not about the mode.
    _libc.syscall(_SECCOMP, _SET_MODE_FILTER, 0, 0)
    return ctypes.get_errno() == errno.EFAULT


class Filter:
    """The allow-list, made before the fork. `paths`: may programs open files at all, `writing`: also to write?"""

    def __init__(self, *, paths: bool, writing: bool) -> None:
        program = _program(paths, writing)
        self._code = ctypes.create_string_buffer(program, len(program))
        self._header = struct.pack("@HP", len(program) // 8, ctypes.addressof(self._code))
        self._places = [at for at in range(0, len(program), 8) if program[at + 4 : at + 8] == _OWN_PID.to_bytes(4, "little")]
        self._syscall = _libc.syscall

    def install(self, pid: int) -> None:
        """Filter this thread's calls from now on, for good; no_new_privs must be set. Raises OSError where the kernel refuses."""
        for at in self._places:
            self._code[at + 4 : at + 8] = pid.to_bytes(4, "little")  # type: ignore[call-overload]
        if self._syscall(_SECCOMP, _SET_MODE_FILTER, 0, self._header) != 0:
            raise OSError(ctypes.get_errno(), "seccomp")


def _program(paths: bool, writing: bool) -> bytes:
    """A search tree over ranges of call numbers: at an install the kernel tries every number, and a list would take 0.5 ms."""
    numbers = _numbers()
    actions = {numbers[name]: _ALLOW for name in (_PLAIN + (_PATHS if paths else "")).split() if name in numbers}
    actions[numbers["clone3"]] = _ERRNO | errno.ENOSYS
    rules = _RULES if writing or not paths else _RULES | _READING
    guards = {numbers[name]: rule for name, rule in rules.items() if name in numbers}
    segments: list[_Segment] = [(0, _DENY)]
    for number in range(max(numbers.values()) + 2):
        action = guards.get(number) or actions.get(number, _DENY)
        if action != segments[-1][1]:
            segments.append((number, action))
    code = [_instruction(_LOAD, _ARCH), _instruction(_EQUAL, _MACHINES[_MACHINE][0], 1, 0)]
    code += [_instruction(_RETURN, _KILL_PROCESS), _instruction(_LOAD, _NR), _instruction(_AT_LEAST, _X32, 0, 1)]
    return b"".join([*code, _instruction(_RETURN, _KILL_PROCESS), *_tree(segments)])


def _tree(segments: list[_Segment]) -> list[bytes]:
    """What to do with the loaded number: a binary search for the segment that it is in."""
    if len(segments) == 1:
        action = segments[0][1]
        return _guarded(action) if isinstance(action, _Rule) else [_instruction(_RETURN, action)]
    middle = len(segments) // 2
    below, above = _tree(segments[:middle]), _tree(segments[middle:])
    return [_instruction(_AT_LEAST, segments[middle][0], len(below), 0), *below, *above]


def _guarded(rule: _Rule) -> list[bytes]:
    """Allow by the argument, or else EPERM."""
    lower, upper = (_instruction(_LOAD, _ARGS + 8 * rule.argument + half) for half in (0, 4))
    allow, deny = _instruction(_RETURN, _ALLOW), _instruction(_RETURN, _DENY)
    if rule.values:
        tests = [
            _instruction(_EQUAL, value, left, 0) for left, value in zip(range(len(rule.values), 0, -1), rule.values, strict=True)
        ]
        return [lower, *tests, deny, allow]
    if rule.bits:
        return [lower, _instruction(_ANY_BIT, rule.bits, 1, 0), deny, allow]
    if rule.never:
        code = []
        for mask in rule.never:
            code += [lower, _instruction(_AND, mask), _instruction(_EQUAL, mask, 0, 1), deny]
        return [*code, allow]
    return [lower, _instruction(_EQUAL, 0, 0, 3), upper, _instruction(_EQUAL, 0, 0, 1), allow, deny]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _numbers() -> dict[str, int]:
    words = _MACHINES[_MACHINE][1].split()
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}
