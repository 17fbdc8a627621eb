"""Programs that want a pass without the answer. What forges a right answer is as right as any; nothing else may pass."""

from __future__ import annotations

from tests.hostile.case import (
    ADD,
    ASSERTS,
    CALLS,
    DISALLOWED,
    EXIT,
    FAILURE,
    PASS,
    SUMS,
    Case,
    case,
    prints,
    raised,
    returns,
)

SECRET = 918273645
"""Its digits are 1 to 9: programs know it when they see it."""
SEARCH = """
import gc, sys

def is_secret(thing):
    if type(thing) is int and 10**8 < thing < 10**9:
        thing = str(thing)
    return type(thing) is str and len(thing) == 9 and thing.isdigit() and len(set(thing) - {"0"}) == 9

def search():
    frame, queue, seen = sys._getframe(), list(gc.get_objects()), set()
    while frame:
        queue += [frame.f_locals, frame.f_globals]
        frame = frame.f_back
    while queue and len(seen) < 50_000:
        thing = queue.pop()
        if is_secret(thing):
            return thing
        if id(thing) not in seen:
            seen.add(id(thing))
            queue += thing.keys() if type(thing) is dict else ()
            queue += gc.get_referents(thing)
    return None
"""
"""`search()` looks through all frames and all that the garbage collector knows."""
_EVERY_DESCRIPTOR = """
import os
for d in range(3, 64):
    try: os.write(d, {report})
    except OSError: pass
"""
_RIGHT_REPORT = "(3).to_bytes(4, 'little') + b'{}\\n'"
_RIGHT_VALUE = "(4).to_bytes(4, 'little') + b'{}\\n3'"


def _forged(report: str) -> str:
    return _EVERY_DESCRIPTOR.replace("{report}", report, 1)


_EXITS = (
    case("_exit before output", FAILURE, "import os\nos._exit(0)"),
    case("sys.exit before output", FAILURE, "import sys\nsys.exit(0)"),
    case("_exit after half of the output", FAILURE, "import os\nprint('3 4', flush=True)\nos._exit(0)"),
    case("SystemExit in the function", EXIT, "def add(a, b): raise SystemExit(0)", CALLS),
    case("_exit in the function", EXIT, "import os\ndef add(a, b): os._exit(0)", CALLS),
    case("_exit instead of a function", EXIT, "import os\nos._exit(0)", CALLS),
    case("exit in an asserted function", EXIT, "def add(a, b): raise SystemExit(0)", ASSERTS),
    case("_exit in an asserted function", EXIT, "import os\ndef add(a, b): os._exit(0)", ASSERTS),
    case("_exit before the asserts", EXIT, "import os\nos._exit(0)", ASSERTS),
    case("exit by an exception's own text", EXIT, "class E(SystemExit):\n    code = 0\ndef add(a, b): raise E", CALLS),
)
_ANSWERS = (
    case("hard-coded output", FAILURE, "print(3)", SUMS, passed=1),
    case("hard-coded value", FAILURE, "def add(a, b): return 7", CALLS, passed=1),
    case("hard-coded in an assert", FAILURE, "def add(a, b): return 7", ASSERTS, passed=1),
    case("all answers at once", FAILURE, "print(3)\nprint(7)\nprint(0)", SUMS, passed=0),
    case("answer behind a carriage return", FAILURE, "print('9\\r3')"),
    case("answer with NUL", FAILURE, "print('3\\0')"),
    case("digits of another script", FAILURE, "print('\\uff13')"),
    case("empty", FAILURE, ""),
    case("only a comment", FAILURE, "# 3\n"),
    case("empty, called", raised("AttributeError"), "", CALLS),
    case("empty, asserted", raised("AttributeError"), "", ASSERTS),
    case("time-out told on stderr", FAILURE, "import sys\nprint('TimeoutError: time limit exceeded', file=sys.stderr)"),
    case("verdict told on both streams", FAILURE, "import sys\nprint('PASS')\nprint('{\"outcome\": \"pass\"}', file=sys.stderr)"),
    case("noise on stderr", PASS, "import sys\nprint('Traceback (most recent call last):', file=sys.stderr)\n" + ADD),
)
_EQUAL = "__eq__ = lambda *a: True\n    __ne__ = lambda *a: False\n    __hash__ = lambda s: 3\n    __repr__ = lambda s: '3'"
_TRICKY = (
    *(
        case(f"always equal {base}", FAILURE, f"class E({base}):\n    {_EQUAL}\ndef add(a, b): return E()", CALLS, passed=0)
        for base in ("int", "float", "str", "list", "dict", "object")
    ),
    case("always equal in an assert", FAILURE, f"class E(int):\n    {_EQUAL}\ndef add(a, b): return E()", ASSERTS, passed=0),
    case("hidden in a list", FAILURE, f"class E(int):\n    {_EQUAL}\ndef f(i): return [E(), E()]", returns([1, 2])),
    case("a key that equals all", FAILURE, f"class E(str):\n    {_EQUAL}\ndef f(i): return {{E(): 1}}", returns({"a": 1})),
    case(
        "lies about its class",
        FAILURE,
        "class E:\n    __class__ = int\n    __int__ = lambda s: 3\ndef add(a, b): return E()",
        CALLS,
    ),
    case(
        "reduces to a call",
        FAILURE,
        "class E:\n    def __reduce__(self): return int, ('3',)\ndef add(a, b): return E()",
        CALLS,
    ),
    case("an expression as text", FAILURE, "def add(a, b): return f'{a} + {b}'", CALLS),
    case("the value as text", FAILURE, "def add(a, b): return str(a + b)", CALLS),
    case("code as text", FAILURE, "def f(i): return '__import__(\"os\")._exit(0)'", returns([1])),
    case("printed code", FAILURE, "print('__import__(\"os\")._exit(0)')"),
    case("an answer in encoded form", FAILURE, "def f(i): return {'tuple': [1, 2]}", returns((1, 2))),
    case("True for 1", FAILURE, "def f(i): return True", returns(1)),
)
_SEARCHES = (
    case("search for the expected value", FAILURE, SEARCH + "def f(i): return search()", returns(SECRET)),
    case("search for the expected output", FAILURE, SEARCH + "print(search())", prints(str(SECRET))),
    case(
        "search of other descriptors",
        FAILURE,
        """
        import os, re
        found = []
        for d in range(64):
            try: found += re.findall(rb"[1-9]{9}", os.pread(d, 1 << 20, 0))
            except OSError: pass
        print(*found)
        """,
        prints(str(SECRET)),
    ),
    case("own memory in /proc", DISALLOWED, "open('/proc/self/mem', 'rb').read(1)"),
    case("own map in /proc", DISALLOWED, "print(open('/proc/self/maps').read())"),
    case("parent's memory", DISALLOWED, "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb').read(1)"),
    case("parent's environment", DISALLOWED, "import os\nprint(open(f'/proc/{os.getppid()}/environ').read())"),
    case("descriptors in /proc", DISALLOWED, "import os\nprint(os.listdir('/proc/self/fd'))"),
    case("the judge's modules", DISALLOWED, "import executors.judge"),
)
_PATCHES = (
    case("json.dumps", FAILURE, "import json\njson.dumps = lambda *a, **k: '{}'\nprint(4)"),
    case(
        "json's encoder",
        FAILURE,
        "import json\njson.encoder.c_make_encoder = None\njson.loads = lambda s: 3\ndef add(a, b): pass",
        CALLS,
    ),
    case("print", FAILURE, "import builtins\nbuiltins.print = lambda *a: None\n" + ADD, SUMS, passed=0),
    case("compile and exec", PASS, "import builtins\nbuiltins.compile = builtins.exec = lambda *a, **k: None\n" + ADD, SUMS),
    case("sys.stdout", FAILURE, "import io, sys\nsys.stdout = sys.__stdout__ = io.StringIO()\n" + ADD),
    case("os.write", FAILURE, "import os\nos.write = lambda d, data: len(data)\nos.write(1, b'3')"),
    case(
        "AssertionError",
        FAILURE,
        "import builtins\nclass Never(BaseException):\n    def __new__(cls, *a): return StopIteration()\n"
        "builtins.AssertionError = Never\ndef add(a, b): return 0",
        ASSERTS,
        passed=0,
    ),
    case(
        "the harness's modules",
        FAILURE,
        """
        import sys
        for module in list(sys.modules.values()):
            for name in ("encode", "_encoded", "_tagged", "same_value", "same_output"):
                if hasattr(module, name):
                    setattr(module, name, lambda *a, **k: b"3")
        def add(a, b): return 0
        """,
        CALLS,
        passed=1,
    ),
    case(
        "locals of the frames above",
        FAILURE,
        """
        import ctypes, sys
        def add(a, b):
            frame = sys._getframe().f_back
            while frame:
                for name in frame.f_locals:
                    if name in ("value", "report"):
                        frame.f_locals[name] = b"3" if name == "value" else {}
                        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
                frame = frame.f_back
            return 0
        """,
        CALLS,
        passed=0,
    ),
    case("tracing the harness", FAILURE, "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\nprint(4)"),
    case("an error that is hidden", raised("ValueError", 3), "import json\njson.dumps = lambda *a, **k: '{}'\nraise ValueError"),
)
_FORGED = (
    case("report on every descriptor", DISALLOWED, _forged(_RIGHT_REPORT), instead=FAILURE),
    case("value on every descriptor", DISALLOWED, _forged(_RIGHT_VALUE) + "def add(a, b): return 0", CALLS, instead=FAILURE),
    case("garbage on every descriptor", DISALLOWED, _forged("b'garbage' * 9")),
    case("a report without end", DISALLOWED, _forged("(2**32 - 1).to_bytes(4, 'little')")),
    case(
        "asserted, value on every descriptor",
        DISALLOWED,
        _forged(_RIGHT_VALUE) + "def add(a, b): return 0",
        ASSERTS,
        instead=FAILURE,
    ),
    case("into the next input", PASS, "import os\n" + ADD + "os.pwrite(0, b'9 9' * 99, 0)\n", SUMS),
    case("output rewritten", PASS, "import os\nos.write(1, b'garbage')\nos.ftruncate(1, 0)\n" + ADD),
)
_LATE = (
    case("wrong answer at exit", FAILURE, "import atexit\natexit.register(print, 'late')\n" + ADD),
    case(
        "answer at exit, called",
        FAILURE,
        "import atexit\natexit.register(print, 3)\ndef add(a, b): atexit._run_exitfuncs()",
        CALLS,
    ),
    case(
        "output from __del__", FAILURE, "import os\nclass D:\n    def __del__(self, w=os.write): w(1, b'late')\nd = D()\n" + ADD
    ),
    case(
        "a daemon's output in the next test",
        FAILURE,
        """
        import os, threading, time
        def later():
            while True:
                time.sleep(0.01)
                os.write(1, b"7\\n0\\n")
        if input() == "1 2":
            threading.Thread(target=later, daemon=True).start()
        """,
        SUMS,
        passed=0,
    ),
    case(
        "state for the next test",
        FAILURE,
        "import math\nmath.n = getattr(math, 'n', 0) + 1\nprint(math.n)",
        prints("2", "2"),
    ),
    case("a broken os for the next test", PASS, "import os\n" + ADD + "os.dup2 = os.lseek = os.pread = None", SUMS),
    case("no modules for the next test", PASS, "import sys\n" + ADD + "sys.modules.clear()", SUMS),
    case("an answer in a file", DISALLOWED, "open('rltf-hostile-left', 'a').write('3')"),
)
CASES: tuple[Case, ...] = (*_EXITS, *_ANSWERS, *_TRICKY, *_SEARCHES, *_PATCHES, *_FORGED, *_LATE)
