"""What a zygote and its children give up before program code runs: the one place where isolation is applied.

Runs on the sandboxed side; standard library only. Four tiers, each with all that the one below it has:

    WEAK        a session, resource limits, death with the zygote: for programs that are trusted
    SEALED      no_new_privs, no capabilities, and a filter of system calls that lets no path be used: kernels without Landlock
    BASELINE    the filter, with paths; Landlock shows only the interpreter's library, read only
    NAMESPACES  also own user, process, network, mount, IPC and host name spaces, made once for the zygote
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from executors import landlock, seccomp

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_NEW_SPACES = 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000 | 0x08000000 | 0x04000000
"""User, process, network, mount, IPC, host name."""
_libc = ctypes.CDLL(None, use_errno=True)


class Tier(IntEnum):
    """How strongly programs are isolated."""

    WEAK = 0
    SEALED = 1
    BASELINE = 2
    NAMESPACES = 3


class Limits(NamedTuple):
    """Ceilings that the kernel enforces for every child; the judge measures from outside and kills much earlier."""

    address_space: int
    """Bytes; generous, since big thread stacks are only reserved, not used."""
    descriptors: int = 64


class Ceilings(NamedTuple):
    """The same for one child."""

    cpu_seconds: int
    """All its tests together."""
    file_size: int
    """Bytes of stdout, of stderr, of reports."""


def enter_namespaces() -> None:
    """Leave the machine's namespaces; the process forked next is the first of its own. Raises OSError where that is refused."""
    user, group = os.getuid(), os.getgid()
    _checked(_libc.unshare(_NEW_SPACES), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def confine_zygote(tier: Tier, libraries: list[str]) -> bytes:
    """Give up, for the zygote and its children, what no child may have. Returns the filter that each child installs.

    Raises OSError where the kernel refuses.
    """
    if tier is Tier.WEAK:
        return b""
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if tier >= Tier.BASELINE:
        landlock.restrict(libraries)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    return seccomp.allow_list(paths=tier >= Tier.BASELINE)


def confine_child(limits: Limits, ceilings: Ceilings, program: bytes) -> None:
    """Give up resources beyond the limits, and then all calls but the filter's.

    Raises OSError where the kernel refuses; the child must then not run anything.
    """
    os.setsid()
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "death signal")
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    for kind, amount in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, ceilings.cpu_seconds),
        (resource.RLIMIT_AS, limits.address_space),
        (resource.RLIMIT_FSIZE, ceilings.file_size),
        (resource.RLIMIT_NOFILE, limits.descriptors),
    ):
        resource.setrlimit(kind, (amount, amount))
    if program:
        seccomp.install(program, os.getpid())


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)
