"""Programs that don't end: each costs its time limit and nothing more."""

from __future__ import annotations

from tests.hostile.case import (
    ADD,
    ASSERTS,
    CALLS,
    CUT_OFF,
    FAILURE,
    MEMORY,
    SUM,
    TIMEOUT,
    Case,
    case,
    raised,
)


def _finally(depth: int) -> str:
    """Compiled, each level holds the next one twice."""
    lines = (f"{' ' * level}try: pass\n{' ' * level}finally:\n" for level in range(depth))
    return "".join(lines) + " " * depth + "x = y = z = 1\n"


_LOOPS = (
    case("busy", TIMEOUT, "while True: pass"),
    case("busy in the function", TIMEOUT, "def add(a, b):\n    while True: pass", CALLS),
    case("busy instead of a function", TIMEOUT, "while True: pass", CALLS),
    case("busy in an asserted function", TIMEOUT, "def add(a, b):\n    while True: pass", ASSERTS),
    case("busy before the asserts", TIMEOUT, "while True: pass", ASSERTS),
    case("swallows every exception", TIMEOUT, "while True:\n try:\n  while True: pass\n except BaseException: pass"),
    case(
        "ignores every signal",
        TIMEOUT,
        """
        import signal
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.Signals)
        while True: pass
        """,
    ),
    case(
        "an alarm that never ends",
        TIMEOUT,
        "import signal\nsignal.signal(14, lambda *a: 0)\nsignal.setitimer(0, 1e-4, 1e-4)\nwhile True: pass",
    ),
    case("raises itself again", TIMEOUT, "def f():\n    try: f()\n    finally: f()\nf()"),
    case(
        "a thread that goes on",
        TIMEOUT,
        "import threading\ndef f():\n    while True: pass\nthreading.Thread(target=f).start()\n" + ADD,
    ),
)
_IN_C = (
    case("power", TIMEOUT, "x = 10**10**8"),
    case("pattern", TIMEOUT, "import re\nre.match('(a*)*b', 'a' * 40)"),
    case("text of a number", TIMEOUT, "import sys\nsys.set_int_max_str_digits(0)\nstr(1 << 10**7)"),
    case("sum without end", TIMEOUT, "import itertools\nsum(itertools.repeat(0))"),
    case("collisions", TIMEOUT, "s = {i * (2**61 - 1) for i in range(10**5)}"),
    case("nested compile", TIMEOUT, _finally(18), instead=MEMORY),
    case("nested minus", CUT_OFF, "x = " + "-" * 100_000 + "1"),
    case("nested brackets", CUT_OFF, "(" * 150),
)
_LATE = (
    case("busy at exit", TIMEOUT, "import atexit\ndef f():\n    while True: pass\natexit.register(f)\n" + ADD),
    case("busy in __del__", TIMEOUT, "class D:\n    def __del__(self):\n        while True: pass\nd = D()\n" + ADD),
    case(
        "busy in an exception's text", TIMEOUT, "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E"
    ),
    case("busy flush", TIMEOUT, "import sys\nclass O:\n    def flush(self):\n        while True: pass\nsys.stdout = O()"),
    case(
        "busy comparison",
        FAILURE,
        "class E:\n    def __eq__(self, o):\n        while True: pass\ndef add(a, b): return E()",
        CALLS,
    ),
    case(
        "busy metaclass",
        TIMEOUT,
        "class M(type):\n    def __getattribute__(c, n):\n        while True: pass\nclass Solution(metaclass=M): pass",
        CALLS,
    ),
    case("values without end", FAILURE, "import itertools\ndef add(a, b): return itertools.count()", CALLS),
)
WAITS: tuple[Case, ...] = (
    case("sleeps at exit", TIMEOUT, "import atexit, time\natexit.register(time.sleep, 1000)\n" + ADD),
    case("sleep", TIMEOUT, "import time\ntime.sleep(1000)"),
    case("sleep in an asserted function", TIMEOUT, "import time\ndef add(a, b): time.sleep(a == 1 and 1000)", ASSERTS),
    case("pause", TIMEOUT, "import signal\nsignal.pause()"),
    case("dead lock", TIMEOUT, "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()"),
    case(
        "threads in each other's way",
        TIMEOUT,
        "import threading\ne = threading.Event()\nthreading.Thread(target=e.wait).start()\n" + ADD,
    ),
    case("a pipe without writer", TIMEOUT, "import os\nr, w = os.pipe()\nos.read(r, 1)"),
    case("stops itself", TIMEOUT, "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"),
)
"""They use no CPU time: the wall-clock backstop ends them."""
_INPUTS = (
    case("input that is not there", raised("EOFError", 2), "input()\ninput()"),
    case("input in a call", raised("EOFError", 1), "def add(a, b): return input()", CALLS),
    case("all input twice", FAILURE, "import sys\nsys.stdin.read()\nprint(sys.stdin.read())", SUM),
)
CASES: tuple[Case, ...] = (*_LOOPS, *_IN_C, *_LATE, *_INPUTS)
