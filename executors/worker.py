"""The trusted side of one zygote: start it, have it fork a child per program, replace it when it dies."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from executors.confine import Ceilings, Limits, Tier

_ZYGOTE = Path(__file__).with_name("zygote.py")
_ANSWER_SECONDS = 30.0
"""A zygote that says nothing for so long is taken for dead."""


class ZygoteDied(Exception):
    """The zygote is gone or silent: no program's fault."""


class Worker:
    """One zygote. One child lives at a time: a program, or with `analyses` its analysis.

    `hash_seed` is what its programs' hashes of text and their random numbers follow from. Raises ZygoteDied or OSError where
    none starts.
    """

    def __init__(
        self, tier: Tier, limits: Limits, prelude: str, *, numpy: bool = False, analyses: bool = False, hash_seed: int = 0
    ) -> None:
        self.restarts = 0
        self._hash_seed = hash_seed
        self._settings = {
            "tier": tier,
            "limits": limits,
            "prelude": prelude,
            "numpy": _home("numpy") if numpy else None,
            "pyflakes": _home("pyflakes") if analyses else None,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    @property
    def pid(self) -> int:
        """The zygote's first process: the one that waits for it."""
        return self._process.pid if self._process else 0

    def fork(self, descriptors: list[int], ceilings: Ceilings) -> int:
        """A pidfd of a new child that holds these descriptors. Raises ZygoteDied."""
        try:
            socket.send_fds(self._control, [b"F%d %d" % ceilings], descriptors)
            _, handles, _, _ = socket.recv_fds(self._control, 4, 1)
        except OSError as err:
            raise ZygoteDied from err
        if not handles:
            raise ZygoteDied
        return handles[0]

    def forget(self) -> None:
        """Let the zygote reap its child, which was killed, when it comes to it. Raises ZygoteDied."""
        self._send(b"R")

    def reap(self) -> int:
        """The ended child's wait status. Raises ZygoteDied."""
        self._signal(signal.SIGCONT)  # a program of the weak tier may have stopped its zygote
        self._send(b"W")
        return int.from_bytes(self._answer(), "little", signed=True)

    def restart(self) -> None:
        """Replace the zygote. Raises ZygoteDied or OSError where none starts; one may try again."""
        self.restarts += 1
        self._stop()
        self._start()

    def close(self) -> None:
        """End the zygote and with it its child."""
        self._stop()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_ANSWER_SECONDS)
        options = ["-s", "-S", "-P", "-W", "ignore"]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, *options, str(_ZYGOTE), str(theirs.fileno()), json.dumps(self._settings)],
                    cwd="/",
                    env=_environment(self._hash_seed),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            answer = self._answer()
        except OSError:
            self._stop()
            raise
        except ZygoteDied as err:
            self._stop()
            raise ZygoteDied("the executor's zygote did not start: its own words are above") from err
        if answer != b"U":
            self._stop()
            raise ZygoteDied(f"the executor's zygote did not start: {answer.decode()}")

    def _stop(self) -> None:
        """Kill the zygote and wait until it and its child are gone."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            with contextlib.suppress(OSError):
                while self._control.recv(4):  # its end is closed when it is dead
                    pass
            self._process.wait()
            self._process = None
        self._control.close()

    def _signal(self, number: signal.Signals) -> None:
        """To the zygote and the process between: their group's id cannot be another's before that one is waited for."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _send(self, request: bytes) -> None:
        try:
            self._control.send(request)
        except OSError as err:
            raise ZygoteDied from err

    def _answer(self) -> bytes:
        try:
            answer = self._control.recv(200)
        except OSError as err:
            raise ZygoteDied from err
        if not answer:
            raise ZygoteDied
        return answer


def _home(package: str) -> str | None:
    """The folder that a package is installed in; None where it is not."""
    found = importlib.util.find_spec(package)
    return str(Path(found.origin).parent.parent) if found and found.origin else None


def _environment(hash_seed: int) -> dict[str, str]:
    single: dict[str, Any] = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    fixed = {"PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "HOME": "/"}
    return {"PYTHONHASHSEED": str(hash_seed), **fixed, **single}
