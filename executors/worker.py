"""The trusted side of one zygote: start it, have it fork a child per program, replace it when it dies."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from executors.child import Files
from executors.confine import Limits
from executors.folder import remove

_ZYGOTE = Path(__file__).with_name("zygote.py")
_ANSWER_SECONDS = 30.0
"""A zygote that says nothing for so long is taken for dead."""


class ZygoteDied(Exception):
    """The zygote is gone or silent: no program's fault."""


class Worker:
    """One zygote and its folder. One child lives at a time. Raises ZygoteDied where none starts."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def fork(self, channel: socket.socket, files: Files) -> int:
        """The process id of a new child that holds these descriptors. Raises ZygoteDied."""
        try:
            socket.send_fds(self._control, [b"F"], [channel.fileno(), files.feed, files.out, files.err])
        except OSError as err:
            raise ZygoteDied from err
        return int.from_bytes(self._answer(), "little")

    def reap(self) -> int:
        """The ended child's wait status; its process group and the files that it left are removed. Raises ZygoteDied."""
        self._signal(signal.SIGCONT)  # the program may have stopped its zygote
        try:
            self._control.send(b"R")
        except OSError as err:
            raise ZygoteDied from err
        return int.from_bytes(self._answer(), "little", signed=True)

    def restart(self) -> None:
        """Replace the zygote and its folder. Raises ZygoteDied or OSError where none starts; one may try again."""
        self._stop()
        self._start()

    def close(self) -> None:
        """End the zygote and with it its child; remove its folder."""
        self._stop()

    def _start(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="rltf-executor-")
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_ANSWER_SECONDS)
        options = ["-s", "-S", "-P", "-W", "ignore"]
        arguments = [str(theirs.fileno()), json.dumps(self.limits), _libraries()]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, *options, str(_ZYGOTE), *arguments],
                    cwd=self._folder,
                    env=_environment(self._folder),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            self._answer()
        except OSError:
            self._stop()
            raise
        except ZygoteDied as err:
            self._stop()
            raise ZygoteDied("the executor's zygote did not start: its own words are above") from err

    def _stop(self) -> None:
        """Kill the zygote and remove its folder, as far as that can be done."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            with contextlib.suppress(OSError):
                while self._control.recv(4):  # its end is closed when it is dead
                    pass
            self._process.wait()
            self._process = None
        self._control.close()
        with contextlib.suppress(OSError):
            remove(self._folder)

    def _signal(self, number: signal.Signals) -> None:
        """To the zygote and the process between: their group's id cannot be another's before that one is waited for."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _answer(self) -> bytes:
        try:
            answer = self._control.recv(4)
        except OSError as err:
            raise ZygoteDied from err
        if not answer:
            raise ZygoteDied
        return answer


def memory_file(name: str, *, append: bool = False) -> int:
    """A descriptor of an anonymous file: in memory, or deleted from disk where the kernel has no memfd."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(name)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    if append:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


def _libraries() -> str:
    """The folder of numpy and whatever else programs may import beyond the standard library."""
    numpy = importlib.util.find_spec("numpy")
    return str(Path(numpy.origin).parent.parent) if numpy and numpy.origin else sysconfig.get_paths()["purelib"]


def _environment(folder: str) -> dict[str, str]:
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "HOME": folder,
        **single,
    }
