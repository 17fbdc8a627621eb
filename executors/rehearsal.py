"""What a zygote does before it forks: all that children do, so that they find caches filled and byte code specialised.

A child pays dearly for each page of memory that it is the first to write to. Runs on the sandboxed side.
"""

from __future__ import annotations

import os
import sys
from _socket import SHUT_WR, socketpair
from typing import Any

from executors import child
from executors.exchange import framed
from executors.program import Streams

_TIMES = 12
_PROGRAM = """
import sys
from collections import Counter, defaultdict
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
_READING = "n, m = map(int, input().split())\nprint(n, m, sum(int(x) for x in sys.stdin.readline().split()))\n"
_JOBS: list[tuple[dict[str, Any], bytes]] = [
    ({"kind": "stdin", "text": _PROGRAM + _READING, "entry": None, "sizes": [10, 10]}, b"1 2\n3 4 5\n1 2\n3 4 5\n"),
    ({"kind": "call", "text": _PROGRAM, "entry": "solve", "sizes": [3, 3]}, b"[3][3]"),
    ({"kind": "stdin", "text": _PROGRAM + "undefined\n", "entry": None, "sizes": [1]}, b"1"),
    ({"kind": "stdin", "text": "def broken(:\n", "entry": None, "sizes": [1]}, b"1"),
]


def rehearse(streams: Streams) -> None:
    """Run a few programs in this process; stdio is put back afterwards."""
    ours = [os.dup(descriptor) for descriptor in range(3)]
    nothing = os.open(os.devnull, os.O_RDWR)
    main_module = sys.modules["__main__"]
    for head, inputs in _JOBS * _TIMES:
        channel, judge = socketpair()
        files = [os.memfd_create("rehearsal") for _ in range(5)]
        os.write(files[0], framed({**head, "longest": 1 << 20}, inputs))
        judge.shutdown(SHUT_WR)
        child.serve(child.Files._make([channel.fileno(), *files, nothing]), streams)
        for descriptor in (channel.detach(), judge.detach(), *files):
            os.close(descriptor)
    streams.clean()
    os.close(nothing)
    for descriptor, own in enumerate(ours):
        os.dup2(own, descriptor)
        os.close(own)
    sys.modules["__main__"] = main_module
