"""Programs that turn on what runs beside them in their own process: descriptors, reports, limits, the order of tests."""

from __future__ import annotations

from contracts.records import Problem
from contracts.records import Test as UnitTest
from tests.hostile.case import (
    ADD,
    ASSERTS,
    DISALLOWED,
    EXIT,
    FAILURE,
    PASS,
    TIMEOUT,
    Case,
    case,
    prints,
    raised,
)

_FIND = """
import os, sys, time
frame, found = sys._getframe(), None
while frame:
    for value in list(frame.f_locals.values()):
        if type(value).__name__ == 'Exchange': found = value
    frame = frame.f_back
channel, feed, reports = found
"""
"""Names the descriptors that the harness talks through."""
_MANY = Problem(
    id="many",
    question="",
    fn_name="add",
    test_setup="",
    tests=(UnitTest("for i in range(1000): assert add(i, 2) == i + 2", None),),
)
_SLEEPY = Problem(
    id="sleepy",
    question="",
    fn_name="add",
    test_setup="",
    tests=(UnitTest("for i in range(200): assert add(i, 2) == i + 2", None),),
)

CASES: tuple[Case, ...] = (
    case(
        "a report that comes byte by byte",
        TIMEOUT,
        _FIND
        + """
print(3, flush=True)
body = b'{"seconds": 0.01, "out": 2' + b' ' * 99 + b'}\\n'
os.write(reports, len(body).to_bytes(4, 'little'))
for i in range(len(body)):
    end = time.thread_time() + 0.1
    while time.thread_time() < end: pass
    os.write(reports, body[i : i + 1])
os.write(channel, b'.')
""",
    ),
    case(
        "answers without listening",
        FAILURE,
        _FIND
        + """
last = None
while True:
    request = os.pread(feed, 1 << 16, 0)
    if request != last:
        last = request
        os.write(reports, (4).to_bytes(4, 'little') + b'{}\\n0')
        os.write(channel, b'.')
""",
        _MANY,
        instead=DISALLOWED,
    ),
    case("sleeps a little in every call", TIMEOUT, "import time\ndef add(a, b): time.sleep(0.05); return a + b", _SLEEPY),
    case(
        "reads the limits, yes",
        PASS,
        "import resource\nprint('YES' if resource.getrlimit(resource.RLIMIT_FSIZE)[0] & 3 == 0 else 'NO')",
        prints("YES\n"),
    ),
    case(
        "reads the limits, no",
        FAILURE,
        "import resource\nprint('YES' if resource.getrlimit(resource.RLIMIT_FSIZE)[0] & 3 == 0 else 'NO')",
        prints("NO\n"),
    ),
    case(
        "ends its main thread",
        DISALLOWED,
        """
        import ctypes, os, threading, time
        def grow():
            time.sleep(0.05)
            held = [bytearray(b'x') * (8 << 20) for _ in range(20)]
            os.write(1, b'3')
            os._exit(0)
        threading.Thread(target=grow).start()
        ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)
        """,
        instead=EXIT,
    ),
    case("huge pages", DISALLOWED, "import mmap\nmmap.mmap(-1, 1 << 21, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)"),
    case(
        "asks how many tests there are",
        FAILURE,
        _FIND + "print('NO' if len(found.request()[0]['sizes']) > 1 else 'YES')",
        prints("NO\n", "NO\n", "YES\n", "YES\n"),
        passed=2,
    ),
    case(
        "leaves a mark on what it shares",
        FAILURE,
        "import fcntl, os\nmarked = 0\nfor d in range(3, 12):\n    try:\n        old = fcntl.fcntl(d, 3)\n"
        "        if os.fstat(d).st_mode & 0o170000 == 0o020000: marked |= old & os.O_APPEND\n"
        "        fcntl.fcntl(d, 4, old | os.O_APPEND)\n    except OSError: pass\nprint('seen' if marked else 'new')",
        prints("seen\n"),
    ),
    case("closes the channel", TIMEOUT, _FIND + "os.close(channel)\nwhile True: pass"),
    case(
        "cuts the reports",
        DISALLOWED,
        _FIND + "def add(a, b): os.ftruncate(reports, 0); os.write(channel, b'.'); time.sleep(9)",
        ASSERTS,
    ),
    case("a flood of right lines", FAILURE, "import os\nos.write(1, b'3\\n' * 400_000)"),
    case(
        "wraps stdout anew",
        PASS,
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8')\n" + ADD,
    ),
    case("removes stdout", PASS, ADD + "import sys\nsys.stdout.flush()\ndel sys.stdout"),
    case(
        "a stdout without hash", PASS, ADD + "import sys\nsys.stdout.flush()\nclass Out:\n    __hash__ = None\nsys.stdout = Out()"
    ),
    case("as deep as Python goes", PASS, "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nf(990)\n" + ADD),
    case(
        "a group of exceptions", raised("ExceptionGroup", 1), "def add(a, b): raise ExceptionGroup('g', [ValueError()])", ASSERTS
    ),
)
