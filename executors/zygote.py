"""The zygote: a warm, single-threaded interpreter, started by exec, that forks one child per program.

It sees no program, no input and no answer: the judge sends descriptors over the control socket and the zygote hands them to the
child unread. Run as

    python -s -S -P -W ignore zygote.py CONTROL SETTINGS

with CONTROL a descriptor of a SEQPACKET socket and SETTINGS a JSON object {tier, limits, prelude, numpy, pyflakes}, the last
two the folders that these are in, or null; with pyflakes, children analyse programs and do not run them. It says b"U" when it is
up, or why it is not. Requests:

    b"F" and descriptors   fork; behind it are the child's two ceilings; answers a pidfd of the child
    b"R"                   forget the child, which was killed; no answer
    b"W"                   wait for the child's end; answers the wait status (4 bytes, signed)

Where the judge is gone it ends the child and exits. It is not the judge's own child but its grandchild, because Ray kills the
children of an actor along with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
from _socket import CMSG_LEN, SCM_RIGHTS, SOL_SOCKET, socket  # without all that the module `socket` brings
from collections.abc import Callable
from typing import Any, NoReturn

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, _ROOT)

from executors import child, preludes  # noqa: E402
from executors.confine import Ceilings, Limits, Tier, confine_child, confine_zygote, enter_namespaces  # noqa: E402
from executors.program import Streams  # noqa: E402
from executors.rehearsal import rehearse  # noqa: E402

sys.path.remove(_ROOT)

# Imported once here instead of in every child that wants them.
_COMMON = "bisect collections copy functools heapq io itertools math operator random re string typing"
# Where no path can be used later, all that a program may want must be there before.
_SEALED = """abc array base64 binascii calendar cmath contextlib dataclasses datetime decimal enum fractions hashlib inspect json
numbers pprint queue statistics struct textwrap threading time traceback types unicodedata"""
# Without Python's own handlers, which set up again what nothing here uses, at 0.5 ms a time: there is one thread, and the
# child seeds `random` itself.
_fork = ctypes.PyDLL(None).fork


class Zygote:
    """What every child is forked with."""

    def __init__(self, control: socket, settings: dict[str, Any]) -> None:
        self._control = control
        tier = Tier(settings["tier"])
        for name in (_COMMON + (" " + _SEALED if tier is Tier.SEALED else "")).split():
            __import__(name)
        preludes.install(settings["prelude"], settings["numpy"])
        self._streams = Streams()
        self._serve = child.serve if settings["pyflakes"] is None else _analysis(settings["pyflakes"])
        self._filter = confine_zygote(tier, Limits(*settings["limits"]), preludes.numpy_folders(settings["numpy"]))
        if self._serve is child.serve:
            rehearse(self._streams)
        gc.collect()
        gc.disable()
        gc.freeze()
        gc.set_threshold(10_000)  # what a child compiles should not set it off

    def serve(self) -> None:
        """Answer requests until the judge closes the control socket."""
        pid = 0
        try:
            self._control.send(b"U")
            while True:
                gc.collect(0)  # else the first container that a child makes could set it off, at the child's cost
                request, passed, _, _ = self._control.recvmsg(64, CMSG_LEN(6 * 4))
                if request[:1] == b"F":
                    descriptors = [*memoryview(passed[0][2]).cast("i")]
                    pid = self._start(descriptors, Ceilings(*map(int, request[1:].split())))
                elif request == b"R":
                    _reap(pid)
                    pid = 0
                elif request == b"W":
                    status, pid = _reap(pid), 0
                    self._control.send(status.to_bytes(4, "little", signed=True))
                else:
                    return
        finally:
            if pid:
                _reap(pid)

    def _start(self, descriptors: list[int], ceilings: Ceilings) -> int:
        pid: int = _fork()
        if pid == 0:
            self._live(descriptors, ceilings)
        for descriptor in descriptors:
            os.close(descriptor)
        handle = os.pidfd_open(pid)
        self._control.sendmsg([b"f"], [(SOL_SOCKET, SCM_RIGHTS, handle.to_bytes(4, sys.byteorder))])
        os.close(handle)
        return pid

    def _live(self, descriptors: list[int], ceilings: Ceilings) -> NoReturn:
        """The child's whole life."""
        status = 70
        try:
            self._control.close()
            nothing = os.open(os.devnull, os.O_RDWR)  # its own: what is done to a descriptor lasts as long as what it shares
            confine_child(ceilings, self._filter)
            self._serve(child.Files._make([*descriptors, nothing]), self._streams)
            status = 0
        finally:
            os._exit(status)


def _analysis(folder: str) -> Callable[[child.Files, Streams], None]:
    """The life of a child that analyses, after what they all would do for the first time; `folder` is where pyflakes is."""
    sys.path.append(folder)
    analysis = importlib.import_module("executors.analysis")
    sys.path.remove(folder)
    analysis.warm_up()
    serve: Callable[[child.Files, Streams], None] = analysis.serve
    return serve


def _reap(pid: int) -> int:
    """Kill the child, if it still lives, and wait; what it may have forked goes before its id is free again."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _step_aside(control: socket) -> None:
    """Go on in a forked process; the first one only waits for it."""
    pid = os.fork()
    if pid:
        control.close()
        os.waitpid(pid, 0)
        os._exit(0)


def main(control: socket, settings: dict[str, Any]) -> None:
    """Warm up and serve; what goes wrong on the way is told to the judge."""
    try:
        if settings["tier"] == Tier.NAMESPACES:
            enter_namespaces()
        _step_aside(control)
        zygote = Zygote(control, settings)
    except OSError as err:
        control.send(str(err).encode()[:200])
        raise
    with contextlib.suppress(ConnectionError):
        zygote.serve()


if __name__ == "__main__":
    main(socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2]))
