"""The zygote: a warm, single-threaded interpreter, started by exec, that forks one child per program.

It sees no program, no input and no answer: the judge sends descriptors (channel, feed, stdout, stderr) over the control
socket and the zygote hands them to the child unread. Run as

    python -s -S -P -W ignore zygote.py CONTROL LIMITS LIBRARIES

with CONTROL a descriptor of a SEQPACKET socket, LIMITS a JSON list in the order of confine.Limits and LIBRARIES a folder that
programs may import from. It says b"U" when it is up. Requests:

    b"F" and four descriptors   fork; answers the child's process id (4 bytes)
    b"R"                        end the child and its process group, renew the folder; answers the wait status (4 bytes, signed)

Where the judge is gone it ends the child, removes the folder and exits. It is not the judge's own child but its grandchild,
because Ray kills the children of an actor along with it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
from pathlib import Path
from socket import recv_fds, socket

_ROOT = str(Path(__file__).resolve().parent.parent)
sys.path.insert(0, _ROOT)

from executors import child, confine, folder, preludes  # noqa: E402

sys.path.remove(_ROOT)

# Imported once here instead of in every child that wants them.
_COMMON = "bisect copy dataclasses datetime decimal functools heapq io itertools math operator re statistics string typing"
_WARM_UP = """
import sys
class Stack(list):
    def top(self): return self[-1]
def solve(n, *rest, key=None):
    try:
        return sorted((f"{i:>3}" for i in range(n)), key=key)[-1], {i: i * 2.5 for i in rest}
    except (ValueError, KeyError) as err:
        raise RuntimeError from err
stack = Stack([solve(5, 1, 2)])
stack.top()
"""


def main(control: socket, limits: confine.Limits, libraries: str) -> None:
    """Warm up, then serve until the judge closes the control socket."""
    for name in _COMMON.split():
        __import__(name)
    for _ in range(30):
        exec(compile(_WARM_UP, "<warm-up>", "exec"), {"__name__": "warm-up"})
    names = {name: preludes.prelude(name) for name in ("none", "apps")}
    sys.path.append(libraries)
    gc.collect()
    gc.disable()
    gc.freeze()
    with contextlib.suppress(ConnectionError):
        _serve(control, limits, names)


def _serve(control: socket, limits: confine.Limits, names: dict[str, dict[str, object]]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    path = os.getcwd()
    pid = 0
    try:
        control.send(b"U")
        while True:
            request, descriptors, _, _ = recv_fds(control, 1, 4)
            if request == b"F":
                pid = os.fork()
                if pid == 0:
                    control.close()
                    _live(descriptors, nothing, limits, names)
                for descriptor in descriptors:
                    os.close(descriptor)
                control.send(pid.to_bytes(4, "little"))
            elif request == b"R":
                status, pid = _reap(pid), 0
                folder.renew(path)
                control.send(status.to_bytes(4, "little", signed=True))
            else:
                return
    finally:
        if pid:
            _reap(pid)
        folder.remove(path)


def _live(descriptors: list[int], nothing: int, limits: confine.Limits, names: dict[str, dict[str, object]]) -> None:
    """The child's whole life; it never returns."""
    status = 70
    try:
        channel, feed, out, err = descriptors
        confine.confine(limits)
        child.serve(socket(fileno=channel), child.Files(feed, out, err, nothing), names)
        status = 0
    finally:
        os._exit(status)


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


if __name__ == "__main__":
    judge = socket(fileno=int(sys.argv[1]))
    _step_aside(judge)
    main(judge, confine.Limits(*json.loads(sys.argv[2])), sys.argv[3])
