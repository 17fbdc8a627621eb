"""Which isolation this machine gives: each tier is proven by hostile programs that it must hold, before it is used."""

from __future__ import annotations

import errno
import os
from functools import cache

from contracts.errors import UserError
from contracts.records import Outcome, Test, TestKind
from contracts.sections import ExecutorsConfig
from executors import seccomp
from executors.confine import Limits, Tier
from executors.running import Task, Unprepared, run_batch
from executors.watch import Bounds
from executors.worker import Worker, ZygoteDied

DESCRIPTIONS = {
    Tier.NAMESPACES: "namespaces: own user, process, network, mount and IPC spaces, and all of the baseline",
    Tier.BASELINE: "baseline: system calls by allow-list, files by Landlock, no privileges, CPU and memory watched from outside",
    Tier.SEALED: "sealed: system calls by allow-list, no file can be opened (no Landlock here)",
    Tier.WEAK: "weak: resource limits only",
}

# Each must be refused what it tries, and say so.
_ATTEMPTS = {
    "fork a process": "os.fork() or os._exit(1)",
    "run another program": "os.execv('/bin/true', ['true'])",
    "open a socket": "import socket; socket.socket()",
    "signal its parent": "os.kill(os.getppid(), 0)",
    "signal everyone": "os.kill(-1, 0)",
    "read /etc": "open('/etc/passwd').read()",
    "read its host's processes": "os.listdir('/proc')",
    "write a file": "open('/tmp/rltf-probe', 'w')",
    "empty a file that it may read": "os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)",
    "trace a process": "import _ctypes, ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0 or refuse()",
    "make a namespace": "import ctypes; ctypes.CDLL(None).unshare(0x10000000) == 0 or refuse()",
}
_PROBE = """
import os
def refuse(): raise PermissionError(1, 'refused')
try:
    {attempt}
except OSError as err:
    if err.errno in {refusals}:
        print('held')
"""
_REFUSALS = (errno.EPERM, errno.EACCES, errno.EROFS)
"""The last: nobody can write there, and the kernel says so before it asks Landlock."""
_CONFIG = ExecutorsConfig()
_HELD = (Test("", "held"),)


@cache
def available() -> tuple[Tier, ...]:
    """The tiers that hold on this machine, strongest first; WEAK always does."""
    return tuple(tier for tier in sorted(Tier, reverse=True) if tier is Tier.WEAK or not faults(tier))


@cache
def best() -> Tier:
    """The strongest tier that holds on this machine."""
    return next(tier for tier in sorted(Tier, reverse=True) if tier is Tier.WEAK or not faults(tier))


def require(config: ExecutorsConfig) -> Tier:
    """The tier to use. Raises UserError where this machine has none but WEAK and the recipe doesn't allow that."""
    tier = best()
    if tier is Tier.WEAK and not config.allow_weak_isolation:
        raise UserError(
            f"this machine cannot isolate programs: {'; '.join(faults(Tier.SEALED))}",
            "Run on Linux 5.13 or newer with seccomp (x86-64 or arm64), or set executors.allow_weak_isolation=true "
            "if every program is trusted",
        )
    return tier


@cache
def faults(tier: Tier) -> tuple[str, ...]:
    """Why a tier cannot be used here: what it lets a program do, or why it doesn't start."""
    missing = [f"no {name}" for name in ("memfd_create", "pidfd_open") if not hasattr(os, name)]
    if tier is not Tier.WEAK and not seccomp.is_supported():
        missing.append("no filter of system calls for this kernel and machine")
    if missing:
        return tuple(missing)
    try:
        worker = Worker(tier, Limits(8 << 30), "none")
    except (ZygoteDied, OSError) as err:
        return (f"it doesn't start: {err}",)
    try:
        return tuple(f"a program can {name}" for name, attempt in _ATTEMPTS.items() if not _holds(worker, attempt))
    except ZygoteDied:
        return ("a program ended the process that it was forked from",)
    finally:
        worker.close()


def _holds(worker: Worker, attempt: str) -> bool:
    text = _PROBE.format(attempt=attempt, refusals=_REFUSALS)
    task = Task(text, "test", TestKind.STDIN, None, _HELD, (b"",), (4,), Bounds(2.0, 256 << 20, 1 << 20), _CONFIG)
    try:
        return run_batch(worker, task, "stdin", [0], False)[0].outcome is Outcome.PASS
    except Unprepared:
        return False
