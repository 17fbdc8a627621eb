"""What a child gives up before program code runs: the one place where isolation is applied.

Runs on the sandboxed side, in the forked child, with everything opened that the child needs. A filter of system calls and
of the file system belongs at the end of `confine`. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)


class Limits(NamedTuple):
    """Ceilings that the kernel enforces; the judge measures from outside and kills much earlier."""

    cpu_seconds: int
    """All tests of one child together."""
    address_space: int
    """Bytes; generous, since big thread stacks are only reserved, not used."""
    output: int
    """Bytes of stdout, of stderr, and of any file."""
    descriptors: int = 64


def confine(limits: Limits) -> None:
    """Give up what a program must not have: other sessions, privileges to gain, resources beyond the limits.

    Raises OSError where the kernel refuses; the child must then not run anything.
    """
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    for kind, amount in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_AS, limits.address_space),
        (resource.RLIMIT_FSIZE, limits.output),
        (resource.RLIMIT_NOFILE, limits.descriptors),
    ):
        resource.setrlimit(kind, (amount, amount))


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
