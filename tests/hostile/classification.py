"""Programs that are merely odd: each has one right verdict, and one place of its error."""

from __future__ import annotations

import math

from contracts.records import Problem
from contracts.records import Test as UnitTest
from tests.hostile.case import (
    ADD,
    ASSERTS,
    CALLS,
    CUT_OFF,
    EXIT,
    FAILURE,
    PASS,
    SUM,
    SUMS,
    Case,
    case,
    misspelt,
    prints,
    raised,
    returns,
)

_TEXTS = (
    case("cut off in a bracket", CUT_OFF, ADD + "print((1 +"),
    case("cut off in a string", CUT_OFF, ADD + "print('abc"),
    case("cut off in a long string", CUT_OFF, ADD + '"""abc\n'),
    case("cut off before a block", CUT_OFF, ADD + "def f():\n"),
    case("cut off in a function", CUT_OFF, "def add(a, b):\n    return (a +", CALLS),
    case("NUL", CUT_OFF, "print('\0')\n" + ADD),
    case("lone surrogate", CUT_OFF, "print('\udc80')\n" + ADD),
    case("byte order mark", PASS, "\ufeff" + ADD),
    case("byte order mark within", misspelt(2), "x = 1\n\ufeff" + ADD),
    case("line ends of Windows", PASS, ADD.replace("\n", "\r\n")),
    case("line ends of old", PASS, ADD.replace("\n", "\r")),
    case("form feed", PASS, "\f" + ADD),
    case("coding cookie", PASS, "# -*- coding: latin-1 -*-\nassert len('é') == 1\n" + ADD),
    case("coding cookie of nowhere", PASS, "# -*- coding: nonsense -*-\n" + ADD),
    case("text as model answers have it", misspelt(1), "```python\n" + ADD + "```"),
    case("prose", misspelt(1), "Here is the solution:\n" + ADD),
    case("tabs and spaces", misspelt(3, "TabError"), "if 1:\n        x = 1\n\tx = 2\n"),
    case("bad dedent", misspelt(3, "IndentationError"), "if 1:\n    x = 1\n  x = 2\n"),
    case("duplicate argument", misspelt(1), "def f(a, a): 1\n"),
    case("a number of too many digits", misspelt(1), "x = " + "1" * 5000 + "\n"),
    case("invalid UTF-8 in the output", FAILURE, "import os\nos.write(1, b'3\\xff')"),
    case("surrogate in the output", raised("UnicodeEncodeError", 1), "print('\\udc80')"),
)
_PLACES = (
    case("equal lines", raised("IndexError", 4), "x = [1]\nx[0]\nx.pop()\nx[0]\nx[0]\n"),
    case("multi-line call", raised("ZeroDivisionError", 2), "x = 0\nprint(\n    1,\n    1 / x,\n)\n"),
    case("multi-line comprehension", raised("ZeroDivisionError", 1), "x = [\n    1 / y\n    for y in (1, 0)\n]\n"),
    case("library frame", raised("JSONDecodeError", 2), "import json\njson.loads('{')\n"),
    case(
        "library calls back",
        raised("ZeroDivisionError", 3),
        "import functools\ndef f(a, b):\n    return a / b\nfunctools.reduce(f, [1, 0])\n",
    ),
    case("decorated", raised("ZeroDivisionError", 5), "def d(f): return lambda: f()\n@d\n@d\ndef g():\n    1 / 0\ng()\n"),
    case("in a lambda", raised("ZeroDivisionError", 1), "f = lambda: 1 / 0\nf()\n"),
    case("in a class", raised("NameError", 2), "class A:\n    x = y\n"),
    case("exec'd text", raised("ZeroDivisionError", 2), "x = 1\nexec('\\n\\n\\n1 / 0')\n"),
    case("text of the same name", raised("ZeroDivisionError", 2), "x = 1\nexec(compile('1 / 0', '<string>', 'exec'))\n"),
    case("chained", raised("KeyError", 4), "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError(1) from e\n"),
    case("raised in finally", raised("KeyError", 4), "try:\n    1 / 0\nfinally:\n    {}[1]\n"),
    case("raised again", raised("ZeroDivisionError", 2), "def f():\n    1 / 0\ntry: f()\nexcept ZeroDivisionError: raise\n"),
    case(
        "message names a line",
        raised("ValueError", 2),
        "x = 1\nraise ValueError('File \"<program under test>\", line 1, in x')\n",
    ),
    case("message names an error", raised("ValueError", 1), "raise ValueError('RuntimeError: TimeoutError: SystemExit')\n"),
    case("line number of its own", raised("SyntaxError", 2), "x = 1\nraise SyntaxError('no', ('f', 1, 1, 'x = 1'))\n"),
)
_EXCEPTIONS = (
    case("__str__ raises", raised("E", 3), "class E(Exception):\n    def __str__(self): raise ValueError\nraise E\n"),
    case("__str__ returns no text", raised("E", 3), "class E(Exception):\n    def __str__(self): return 1\nraise E\n"),
    case(
        "__str__ exits", raised("E", 4), "import os\nclass E(Exception):\n    def __str__(self): raise SystemExit(0)\nraise E\n"
    ),
    case("huge message", raised("ValueError", 1), "raise ValueError('x' * 10**7)\n"),
    case("surrogate message", raised("ValueError", 1), "raise ValueError('\\udc80')\n"),
    case("huge name", raised("E" * 300, 1), "raise type('E' * 10**6, (Exception,), {})\n"),
    case("KeyboardInterrupt", raised("KeyboardInterrupt", 1), "raise KeyboardInterrupt\n"),
    case("GeneratorExit", raised("GeneratorExit", 1), "raise GeneratorExit\n"),
    case("ExceptionGroup", raised("ExceptionGroup", 1), "raise ExceptionGroup('g', [ValueError(), KeyError()])\n"),
    case("BaseException", raised("BaseException", 1), "raise BaseException\n"),
    case("StopIteration in the function", raised("StopIteration", 1), "def add(a, b): raise StopIteration\n", CALLS),
    case("exception in an assert", raised("ZeroDivisionError", 1), "def add(a, b): return a / 0\n", ASSERTS),
    case("assert of its own", raised("AssertionError", 1), "def add(a, b): assert False\n", ASSERTS),
    case("PermissionError of its own", raised("PermissionError", 1), "raise PermissionError\n"),
    case("TimeoutError of its own", raised("TimeoutError", 1), "raise TimeoutError\n"),
    case("in a thread", raised("ZeroDivisionError", 2), "import threading\ndef f(): 1 / 0\nthreading.Thread(target=f).start()\n"),
    case("exit 1", EXIT, ADD + "exit(1)\n"),
    case("exit by words", EXIT, ADD + "exit('no')\n"),
    case("exit 256", EXIT, ADD + "import sys\nsys.exit(256)\n"),
    case("exit True", EXIT, ADD + "exit(True)\n"),
    case("exit False", PASS, ADD + "exit(False)\n"),
    case("_exit 1", EXIT, "import os\n" + ADD + "os._exit(1)\n"),
    case("exit 0 after the output", PASS, ADD + "exit(0)\n"),
    case("_exit 0 after the output", PASS, "import os, sys\n" + ADD + "sys.stdout.flush()\nos._exit(0)\n"),
)
_CALLS = (
    case("missing function", raised("AttributeError"), "def sub(a, b): return a + b\n", CALLS),
    case("missing asserted function", raised("AttributeError"), "def sub(a, b): return a + b\n", ASSERTS),
    case("too few parameters", raised("TypeError"), "def add(a): return a\n", CALLS),
    case("too few asserted parameters", raised("TypeError"), "def add(a): return a\n", ASSERTS),
    case("no function", raised("AttributeError"), "add = 3\n", CALLS),
    case("class Solution", PASS, "class Solution:\n    def add(self, a, b): return a + b\n", CALLS),
    case("class Solution without self", raised("TypeError"), "class Solution:\n    def add(a, b): return a + b\n", CALLS),
    case(
        "class Solution of another task",
        raised("AttributeError"),
        "class Solution:\n    def sub(self, a, b): return a + b\n",
        CALLS,
    ),
    case("right and asserted", PASS, "def add(a, b): return a + b\n", ASSERTS),
    case("prints and returns", PASS, "def add(a, b):\n    print('noise')\n    return a + b\n", CALLS),
)
_VALUES = (
    case("generator", FAILURE, "def f(i): yield 1\n", returns([1])),
    case("range", FAILURE, "def f(i): return range(2)\n", returns([0, 1])),
    case("bytes", FAILURE, "def f(i): return b'1'\n", returns("1")),
    case("set", PASS, "def f(i): return {2, 1}\n", returns({1, 2})),
    case("set for a list", FAILURE, "def f(i): return {1, 2}\n", returns([1, 2])),
    case("dict with int keys", PASS, "def f(i): return {1: 'a', 2: 'b'}\n", returns({2: "b", 1: "a"})),
    case("dict with text keys for int keys", FAILURE, "def f(i): return {'1': 'a'}\n", returns({1: "a"})),
    case("Decimal", FAILURE, "from decimal import Decimal\ndef f(i): return Decimal(1)\n", returns(1)),
    case("complex", FAILURE, "def f(i): return 1 + 0j\n", returns(1)),
    case("huge int", PASS, "def f(i): return 10**5000 + 1\n", returns(10**5000 + 1)),
    case("huge int, wrong", FAILURE, "def f(i): return 10**5000 + 2\n", returns(10**5000 + 1)),
    case("NaN", FAILURE, "def f(i): return float('nan')\n", returns(math.nan)),
    case("infinity", PASS, "def f(i): return float('inf')\n", returns(math.inf)),
    case("recursive list", FAILURE, "def f(i):\n    r = [1]\n    r.append(r)\n    return r\n", returns([1, [1]])),
    case("tuple for a list", PASS, "def f(i): return (1, 2)\n", returns([1, 2])),
    case("nothing", FAILURE, "def f(i): pass\n", returns(0)),
    case("nothing, as expected", PASS, "def f(i): pass\n", returns(None)),
    case("nearly", PASS, "def f(i): return 0.1 + 0.2\n", returns(0.3)),
    case("a function", FAILURE, "def f(i): return f\n", returns(1)),
    case("a class", FAILURE, "def f(i): return int\n", returns(1)),
)
_READ = "print(sum(map(int, {}.split())))\n"
_READERS = tuple(
    case(f"reads by {how}", PASS, "import io, os, sys\n" + _READ.format(how), SUMS)
    for how in (
        "input()",
        "sys.stdin.readline()",
        "sys.stdin.read()",
        "next(sys.stdin)",
        "sys.stdin.readlines()[0]",
        "sys.stdin.buffer.read()",
        "sys.stdin.buffer.raw.readall()",
        "sys.stdin.detach().read()",
        "sys.__stdin__.read()",
        "os.read(0, 10**6)",
        "os.read(sys.stdin.fileno(), os.fstat(0).st_size)",
        "open(0).read()",
        "open(0, 'rb').readline()",
        "io.TextIOWrapper(io.FileIO(0)).read()",
        "next(__import__('fileinput').input('-'))",
    )
)
_MANY = Problem(
    id="many", question="", tests=tuple(UnitTest(str(n), str(1000 // (n - 77) if n != 77 else 0)) for n in range(200))
)
_REST = (
    case("200 tests and a crash", raised("ZeroDivisionError", 1), "print(1000 // (int(input()) - 77))\n", _MANY, passed=199),
    case("crash at the second test", raised("ZeroDivisionError", 3), ADD + "0 // (a - 3)\n", SUMS, passed=2),
    case("dies at the second test", EXIT, ADD + "import os\nif a == 3: os._exit(9)\n", SUMS, passed=2),
    case("much output", PASS, "for _ in range(15_000): print(1234567890)\n", prints("1234567890\n" * 15_000)),
    case("main guard", PASS, "if __name__ == '__main__':\n    " + ADD.replace("\n", "\n    "), SUM),
    case("deep thread", PASS, """
        import sys, threading
        sys.setrecursionlimit(10**6)
        threading.stack_size(2**27)
        def deep(n): return 0 if n == 0 else deep(n - 1)
        def main(): print(sum(map(int, input().split())) + deep(5000))
        t = threading.Thread(target=main)
        t.start()
        t.join()
        """, SUMS),
)  # fmt: skip
CASES: tuple[Case, ...] = (*_TEXTS, *_PLACES, *_EXCEPTIONS, *_CALLS, *_VALUES, *_READERS, *_REST)
