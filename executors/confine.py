"""What a zygote and its children give up before program code runs: the one place where isolation is applied.

Runs on the sandboxed side; standard library only. Four tiers, each with all that the one below it has:

    WEAK        a process group, resource limits, death with the zygote: for programs that are trusted
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
from typing import NamedTuple

from executors import landlock, seccomp

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_NEW_SPACES = 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000 | 0x08000000 | 0x04000000
"""User, process, network, mount, IPC, host name."""
_libc = ctypes.CDLL(None, use_errno=True)
# Looked up once: children are many.
_prctl, _KILL = _libc.prctl, int(signal.SIGKILL)
_RLIMIT_CPU, _RLIMIT_FSIZE = resource.RLIMIT_CPU, resource.RLIMIT_FSIZE


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
    for name, text in ("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1"):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def confine_zygote(tier: Tier, limits: Limits, libraries: list[str]) -> seccomp.Filter | None:
    """Give up, for the zygote and its children, what no child may have. Returns the filter that each child installs.

    Raises OSError where the kernel refuses.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    ceilings = (resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, limits.address_space), (resource.RLIMIT_NOFILE, limits.descriptors)
    for kind, amount in ceilings:
        resource.setrlimit(kind, (amount, amount))
    if tier is Tier.WEAK:
        return None
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if tier >= Tier.BASELINE:
        landlock.restrict(libraries)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    return seccomp.Filter(paths=tier >= Tier.BASELINE, writing=landlock.abi() >= 3)


def confine_child(ceilings: Ceilings, calls: seccomp.Filter | None) -> None:
    """Give up resources beyond the ceilings, and then all calls but the filter's.

    Raises OSError where the kernel refuses; the child must then not run anything.
    """
    os.setpgid(0, 0)  # not setsid: it costs 0.4 ms where the kernel groups tasks by session
    _checked(_prctl(_PR_SET_PDEATHSIG, _KILL, 0, 0, 0), "death signal")
    resource.setrlimit(_RLIMIT_CPU, (ceilings.cpu_seconds, ceilings.cpu_seconds + 1))
    resource.setrlimit(_RLIMIT_FSIZE, (ceilings.file_size, ceilings.file_size))
    if calls is not None:
        calls.install(os.getpid())


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)
