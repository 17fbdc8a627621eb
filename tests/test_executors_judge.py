"""Programs → verdicts: every outcome and detail, both kinds of test, all ways of reading, and what a program leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from contracts.errors import UserError
from contracts.records import Category, Detail, Outcome, Problem, Verdict
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors import tiers
from executors.confine import Tier
from executors.judge import Executor

ADD = "a, b = map(int, input().split())\nprint(a + b)\n"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(ExecutorsConfig(cpu_seconds=0.3, memory_mb=128, output_mb=1), RewardsConfig()) as one:
        yield one


def stdin(*tests: tuple[str, str]) -> Problem:
    return Problem(id="stdin", question="", tests=tuple(UnitTest(*pair) for pair in tests))


def call(fn_name: str, *tests: tuple[list[Any], Any]) -> Problem:
    return Problem(id="call", question="", fn_name=fn_name, tests=tuple(UnitTest(*pair) for pair in tests))


SUMS = stdin(("1 2\n", "3\n"), ("3 4", "7"), ("-5 5\n", "0\n"))


def brief(verdict: Verdict) -> tuple[str, str | None, int, str]:
    """Outcome, detail, tests passed, and each test's first letter."""
    return verdict.outcome, verdict.detail, verdict.passed, "".join(result.outcome[0] for result in verdict.tests)


READERS = {
    "input": ADD,
    "sys.stdin": "import sys\nfor line in sys.stdin:\n    print(sum(map(int, line.split())))",
    "from sys import stdin": "from sys import stdin, stdout\nstdout.write(str(sum(map(int, stdin.readline().split()))))",
    "buffer": "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))",
    "os.read": "import os\nprint(sum(map(int, os.read(0, 10**6).split())))",
    "open(0)": "print(sum(map(int, open(0).read().split())))",
    "open(0, rb)": "print(sum(map(int, open(0, 'rb').readline().split())))",
    "__stdin__": "import sys\nprint(sum(map(int, sys.__stdin__.read().split())), file=sys.__stdout__)",
    "main guard": "def main():\n    print(sum(map(int, input().split())))\nif __name__ == '__main__':\n    main()",
    "global": "total = 0\ndef main():\n    global total\n    total = sum(map(int, input().split()))\nmain()\n"
    "print(\n    total,\n)",
    "own input": "import sys\ninput = sys.stdin.readline\nprint(sum(map(int, input().split())))",
    "os.write": "import os\nos.write(1, str(sum(map(int, input().split()))).encode())",
    "stdout.buffer": "import sys\nsys.stdout.buffer.write(b'%d' % sum(map(int, input().split())))",
    "open(1)": "out = open(1, 'w')\nout.write(str(sum(map(int, input().split()))))",
    "exit(0)": ADD + "exit(0)",
    "sys.exit()": "import sys\n" + ADD + "sys.exit()",
    "exit handler": "import atexit, io, sys, os\nout = io.StringIO()\n"
    "atexit.register(lambda: os.write(1, out.getvalue().encode()))\nprint(sum(map(int, input().split())), file=out)",
    "own stdout": "import sys, io, os\nclass Out(io.StringIO):\n    def flush(self):\n"
    "        os.write(1, self.getvalue().encode())\n        self.truncate(0)\n        self.seek(0)\nsys.stdout = Out()\n" + ADD,
    "fast template": "import os, sys\nfrom io import BytesIO, IOBase\n"
    "class Fast(IOBase):\n    def __init__(self, file):\n        self._fd = file.fileno()\n        self.buffer = BytesIO()\n"
    "    def readline(self):\n        self.buffer = BytesIO(os.read(self._fd, os.fstat(self._fd).st_size))\n"
    "        return self.buffer.readline().decode()\n"
    "    def write(self, s):\n        self.buffer.write(s.encode())\n"
    "    def flush(self):\n        os.write(self._fd, self.buffer.getvalue())\n        self.buffer = BytesIO()\n"
    "sys.stdin, sys.stdout = Fast(sys.stdin), Fast(sys.stdout)\ninput = lambda: sys.stdin.readline().rstrip()\n" + ADD,
    "thread": "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(2**27)\n"
    "def deep(n):\n    return 0 if n == 0 else deep(n - 1)\n"
    "def main():\n    print(sum(map(int, input().split())) + deep(5000))\nt = threading.Thread(target=main)\nt.start()\nt.join()",
    "unjoined thread": "import threading\nthreading.Thread(target=lambda: print(sum(map(int, input().split())))).start()",
    "pool": "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor()\n"
    "print(pool.submit(lambda: sum(map(int, input().split()))).result())",
    "dataclass": "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n"
    "    a: int\n    b: int\np = P(*map(int, input().split()))\nprint(p.a + p.b)",
    "byte order mark": "\ufeff" + ADD,
    "line breaks": ADD.replace("\n", "\r\n"),
    "old line breaks": ADD.replace("\n", "\r"),
    "coding cookie": "# -*- coding: latin-1 -*-\nassert len('é') == 1\n" + ADD,
    "_exit after flush": ADD + "import os, sys\nsys.stdout.flush()\nos._exit(0)",
    "closed stdout": ADD + "import sys\nsys.stdout.close()",
    "closes 0 and 1": ADD + "import os, sys\nsys.stdout.flush()\nos.close(0)\nos.close(1)",
    "prints to stderr": "import sys\nprint('\\udc80 noise', file=sys.stderr)\n" + ADD,
    "numpy": "import numpy as np\nprint(np.array(input().split(), dtype=int).sum())",
}


@pytest.mark.parametrize("name", READERS)
def test_ways_of_reading_and_writing(name: str) -> None:
    with Executor(ExecutorsConfig(cpu_seconds=5), RewardsConfig()) as one:
        verdict = one.judge(SUMS, READERS[name])
    assert brief(verdict) == (Outcome.PASS, None, 3, "ppp"), verdict.message


@pytest.mark.parametrize(
    ("text", "outcome", "detail", "error_type", "category"),
    [
        (ADD, Outcome.PASS, None, None, None),
        ("print(4)", Outcome.FAILURE, None, None, None),
        ("", Outcome.FAILURE, None, None, None),
        ("import os\nprint(3)\nos._exit(0)", Outcome.FAILURE, None, None, None),
        ("print(x)", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "NameError", Category.LINE),
        ("raise KeyboardInterrupt", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "KeyboardInterrupt", Category.LINE),
        ("raise GeneratorExit", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "GeneratorExit", Category.LINE),
        ("raise ExceptionGroup('g', [ValueError()])", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "ExceptionGroup", Category.LINE),
        ("def f(): f()\nf()", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "RecursionError", Category.GLOBAL),
        (ADD + "exit(3)", Outcome.RUNTIME_ERROR, Detail.EXIT, "SystemExit", Category.GLOBAL),
        (ADD + "exit('no')", Outcome.RUNTIME_ERROR, Detail.EXIT, "SystemExit", Category.GLOBAL),
        ("import os\nos._exit(1)", Outcome.RUNTIME_ERROR, Detail.EXIT, None, Category.GLOBAL),
        ("import os\nos.abort()", Outcome.RUNTIME_ERROR, Detail.EXIT, None, Category.GLOBAL),
        ("import os\nos.kill(os.getpid(), 35)", Outcome.RUNTIME_ERROR, Detail.EXIT, None, Category.GLOBAL),
        ("import os\nos.kill(os.getpid(), 9)", Outcome.RUNTIME_ERROR, Detail.EXIT, None, Category.GLOBAL),
        ("while True: pass", Outcome.RUNTIME_ERROR, Detail.TIMEOUT, None, Category.GLOBAL),
        (
            "while True:\n try:\n  while True: pass\n except BaseException: pass",
            Outcome.RUNTIME_ERROR,
            Detail.TIMEOUT,
            None,
            Category.GLOBAL,
        ),
        ("x = 10**10**8", Outcome.RUNTIME_ERROR, Detail.TIMEOUT, None, Category.GLOBAL),
        ("x = b'x' * 2**28\ny = bytearray(x)", Outcome.RUNTIME_ERROR, Detail.MEMORY, None, Category.GLOBAL),
        ("x = [0] * 10**12", Outcome.RUNTIME_ERROR, Detail.MEMORY, "MemoryError", Category.GLOBAL),
        ("while True: print('x' * 999)", Outcome.RUNTIME_ERROR, Detail.OUTPUT_LIMIT, None, Category.GLOBAL),
        ("import os\nwhile True: os.write(2, b'x' * 999)", Outcome.RUNTIME_ERROR, Detail.OUTPUT_LIMIT, None, Category.GLOBAL),
        ("print(1", Outcome.SYNTAX_ERROR, None, "SyntaxError", Category.GLOBAL),
        ("x = = 1\n", Outcome.SYNTAX_ERROR, None, "SyntaxError", Category.LINE),
        (
            "class E(Exception):\n def __str__(self): raise ValueError\nraise E",
            Outcome.RUNTIME_ERROR,
            Detail.EXCEPTION,
            "E",
            Category.LINE,
        ),
        ("raise ValueError('\\udc80' * 10**6)", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "ValueError", Category.LINE),
        (
            "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()",
            Outcome.RUNTIME_ERROR,
            Detail.EXCEPTION,
            "ZeroDivisionError",
            Category.LINE,
        ),
        ("print('\\udc80')", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "UnicodeEncodeError", Category.LINE),
        ("import os\nos.write(1, b'3\\xff')", Outcome.FAILURE, None, None, None),
    ],
)
def test_outcomes(
    executor: Executor, text: str, outcome: Outcome, detail: Detail | None, error_type: str | None, category: Category | None
) -> None:
    # Pages and output take many times their usual CPU time on a busy machine.
    seconds = 2.0 if detail in (Detail.MEMORY, Detail.OUTPUT_LIMIT) else None
    problem = msgspec.structs.replace(stdin(("1 2", "3")), reference_seconds=seconds)
    verdict = executor.judge(problem, text)
    assert (verdict.outcome, verdict.detail, verdict.error_type, verdict.category) == (outcome, detail, error_type, category)
    assert verdict.total == 1
    assert verdict.passed == (outcome is Outcome.PASS)
    assert len(verdict.message) <= 300
    assert executor.judge(problem, ADD).outcome is Outcome.PASS, "the next program is judged as ever"


@pytest.mark.parametrize("text", ["print('\0')", "print('\udc80')", "x = " + "-" * 100_000 + "1"])
def test_texts_that_python_cannot_even_read(executor: Executor, text: str) -> None:
    verdict = executor.judge(SUMS, text)
    assert (verdict.outcome, verdict.category, verdict.total, verdict.tests) == (Outcome.SYNTAX_ERROR, Category.GLOBAL, 3, ())


def test_sleeping_counts_against_the_wall(executor: Executor) -> None:
    verdict = executor.judge(stdin(("", "")), "import time\ntime.sleep(1000)")
    assert (verdict.detail, verdict.category) == (Detail.TIMEOUT, Category.GLOBAL)
    assert verdict.seconds < 0.3


def test_a_test_that_took_too_long_is_a_time_out_for_it_alone(executor: Executor) -> None:
    slow = "n = int(input())\nwhile n == 2: pass\nprint(n)"
    verdict = executor.judge(stdin(*((f"{n}", f"{n}") for n in range(5))), slow)
    assert brief(verdict) == (Outcome.RUNTIME_ERROR, Detail.TIMEOUT, 4, "pprpp")
    assert verdict.tests[2].seconds > 0.3


def test_crashes_do_not_hide_the_other_tests(executor: Executor) -> None:
    text = "n = int(input())\nprint(10 // (n - 3))"
    tests = [(f"{n}", f"{10 // (n - 3)}" if n not in (3, 7) else "?") for n in range(10)]
    verdict = executor.judge(stdin(*tests), text)
    assert brief(verdict) == (Outcome.RUNTIME_ERROR, Detail.EXCEPTION, 8, "ppprpppfpp")
    assert verdict.error_type == "ZeroDivisionError"


@pytest.mark.parametrize(
    "leak",
    [
        "import collections\ncollections.count = getattr(collections, 'count', 0) + 1\nassert collections.count == 1\n",
        "import collections\ncollections.count = getattr(collections, 'count', 0) + 1\nif collections.count > 1: input = str\n",
        "import math\nif hasattr(math, 'x'): import os; os._exit(1)\nmath.x = 1\n",
    ],
)
def test_state_that_leaks_between_tests_is_not_held_against_a_program(executor: Executor, leak: str) -> None:
    assert brief(executor.judge(SUMS, leak + ADD)) == (Outcome.PASS, None, 3, "ppp")


@pytest.mark.parametrize(
    "habit",
    [
        "import sys\nassert sys.getrecursionlimit() == 1012\nsys.setrecursionlimit(50)\n",
        "import builtins\nassert len('ab') == 2\nbuiltins.len = lambda x: 5\n",
        "assert 'seen' not in globals()\nseen = 1\n",
        "import random\nassert random.random() == 0.8444218515250481\n",
    ],
)
def test_each_test_starts_fresh(executor: Executor, habit: str) -> None:
    assert executor.judge(SUMS, habit + ADD).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("text", "outcome", "detail", "category"),
    [
        ("def f(a, b):\n    print('noise')\n    return [a, b]", Outcome.PASS, None, None),
        ("def f(a, b): return (a, b)", Outcome.PASS, None, None),
        ("class Solution:\n    def f(self, a, b): return [a, b]", Outcome.PASS, None, None),
        ("f = lambda a, b: [a, b]\nif __name__ == '__main__': f(input())", Outcome.PASS, None, None),
        ("def f(a, b): return [b, a]", Outcome.FAILURE, None, None),
        ("def f(a, b): yield a; yield b", Outcome.FAILURE, None, None),
        ("def f(a, b): return {a, b}", Outcome.FAILURE, None, None),
        ("def f(a, b): return [float('nan'), b]", Outcome.FAILURE, None, None),
        ("def f(a, b):\n    r = [a]\n    r.append(r)\n    return r", Outcome.FAILURE, None, None),
        ("class E:\n    __eq__ = lambda s, o: True\ndef f(a, b): return E()", Outcome.FAILURE, None, None),
        ("class E(list):\n    __eq__ = lambda s, o: True\ndef f(a, b): return E([b, a])", Outcome.FAILURE, None, None),
        ("class E(list):\n    __eq__ = lambda s, o: False\ndef f(a, b): return E([a, b])", Outcome.PASS, None, None),
        ("class E(int):\n    __eq__ = lambda s, o: True\ndef f(a, b): return [E(b), E(a)]", Outcome.FAILURE, None, None),
        ("import numpy\ndef f(a, b): return numpy.array([a, b])", Outcome.PASS, None, None),
        ("def f(a, b): return '[1, 2]'", Outcome.FAILURE, None, None),
        ("def f(a, b): return 1 << 10**6", Outcome.FAILURE, None, None),
        ("def f(a, b): return [0] * 3 * 10**6", Outcome.FAILURE, None, None),
        ("def g(a, b): return [a, b]", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, Category.GLOBAL),
        ("f = 5", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, Category.GLOBAL),
        ("def f(a): return [a, 2]", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, Category.GLOBAL),
        ("class Solution:\n    def f(a, b): return [a, b]", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, Category.GLOBAL),
        (
            "class Solution:\n    def __init__(self, x): 5\n    def f(self, a, b): 5",
            Outcome.RUNTIME_ERROR,
            Detail.EXCEPTION,
            Category.GLOBAL,
        ),
        ("def f(a, b): return a.x", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, Category.LINE),
        ("def f(a, b): return input()", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, Category.LINE),
        ("def f(a, b): exit(0)", Outcome.RUNTIME_ERROR, Detail.EXIT, Category.GLOBAL),
        ("import os\ndef f(a, b): os._exit(0)", Outcome.RUNTIME_ERROR, Detail.EXIT, Category.GLOBAL),
        ("def f(a, b):\n    while True: pass", Outcome.RUNTIME_ERROR, Detail.TIMEOUT, Category.GLOBAL),
        ("def f(a, b):\n    while True: print('x' * 999)", Outcome.RUNTIME_ERROR, Detail.OUTPUT_LIMIT, Category.GLOBAL),
    ],
)
def test_calls(executor: Executor, text: str, outcome: Outcome, detail: Detail | None, category: Category | None) -> None:
    verdict = executor.judge(call("f", ([1, 2], [1, 2])), text)
    assert (verdict.outcome, verdict.detail, verdict.category) == (outcome, detail, category), verdict.message


def test_plain_data_keeps_its_types_both_ways(executor: Executor) -> None:
    values = [(1, 2), {1: (2,), "1": None}, {3, 4}, 10**40, 1.5, "\u00e9\n", [True]]
    problem = call("f", *(([value], [repr(value), value]) for value in values))
    assert executor.judge(problem, "def f(x): return [repr(x), x]").outcome is Outcome.PASS


FORGE = "import os\nfor d in range(64):\n    try: os.write(d, {})\n    except OSError: pass\n"


@pytest.mark.parametrize(
    "report",
    [
        "b'garbage' * 9",
        "(3).to_bytes(4, 'little') + b'{}\\n'",
        "(5).to_bytes(4, 'little') + b'{\"\\xff\"}'",
        "(2**32 - 1).to_bytes(4, 'little')",
        "(8).to_bytes(4, 'little') + b'{}\\n[[[[['",
    ],
)
def test_forged_reports_pass_nothing(executor: Executor, report: str) -> None:
    problem = call("f", ([1], 1), ([2], 2))
    assert executor.judge(problem, FORGE.replace("{}", report, 1) + "def f(x): return 0").outcome is not Outcome.PASS
    assert executor.judge(problem, "def f(x): return x").outcome is Outcome.PASS


def test_no_descriptor_is_left(executor: Executor) -> None:
    executor.judge(SUMS, ADD)
    before = os.listdir("/proc/self/fd")
    for text in (ADD, "1 / 0", "print(", "while True: pass"):
        executor.judge(SUMS, text)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_hidden_tests_and_how_many(executor: Executor) -> None:
    problem = Problem(id="p", question="", tests=(UnitTest("1", "1"),), hidden_tests=(UnitTest("1", "1"), UnitTest("2", "2")))
    assert executor.judge(problem, "print(1)").outcome is Outcome.PASS
    assert brief(executor.judge(problem, "print(1)", hidden=True)) == (Outcome.FAILURE, None, 1, "pf")
    assert executor.judge(SUMS, ADD, hidden=True).total == 3
    with Executor(ExecutorsConfig(max_tests=1), RewardsConfig()) as one:
        assert one.judge(problem, "print(1)", hidden=True).outcome is Outcome.PASS
    with pytest.raises(UserError, match="no tests"):
        executor.judge(Problem(id="p", question="", tests=()), ADD)


def test_preludes(executor: Executor) -> None:
    text = "print(gcd(*map(int, input().split())), Counter('a')['a'], np.int64(heappop([4])), List is not None)"
    problem = stdin(("8 12", "4 1 4 True"))
    assert executor.judge(problem, text).error_type == "NameError"
    with Executor(ExecutorsConfig(prelude="apps"), RewardsConfig()) as one:
        assert one.judge(problem, text).outcome is Outcome.PASS
        assert one.judge(call("gcd", ([8, 12], 4)), "x = 1").outcome is Outcome.RUNTIME_ERROR


def test_a_prelude_lifts_the_limit_on_a_numbers_digits(executor: Executor) -> None:
    problem = stdin(("5000\n", "1" + "0" * 5000 + "\n"))
    text = "n = int('1' + '0' * int(input()))\nprint(n)"
    verdict = executor.judge(problem, text)
    assert (verdict.outcome, verdict.error_type) == (Outcome.RUNTIME_ERROR, "ValueError")
    literal = Problem(id="a", question="", fn_name="f", test_setup="", tests=(UnitTest("assert f() == 10 ** 5000", None),))
    constant = f"def f(): return 1{'0' * 5000}"
    assert executor.judge(literal, constant).outcome is Outcome.SYNTAX_ERROR
    with Executor(ExecutorsConfig(prelude="apps"), RewardsConfig()) as one:
        assert one.judge(problem, text).outcome is Outcome.PASS
        assert one.judge(literal, constant).outcome is Outcome.PASS


def test_long_output(executor: Executor) -> None:
    assert (
        executor.judge(stdin(("", "1234567890\n" * 15_000)), "for _ in range(15000): print(1234567890)").outcome is Outcome.PASS
    )


def test_output_is_limited_over_all_tests_beyond_the_right_answers(executor: Executor) -> None:
    tests = [("x" * 400_000, "x" * 400_000)] * 4
    assert brief(executor.judge(stdin(*tests), "print(input())")) == (Outcome.PASS, None, 4, "pppp")
    assert brief(executor.judge(stdin(*tests), "print(input() * 2)")) == (
        Outcome.RUNTIME_ERROR,
        Detail.OUTPUT_LIMIT,
        0,
        "fffr",
    )
    assert executor.judge(stdin(("", "x")), "print('x' * 2**21)").detail is Detail.OUTPUT_LIMIT


def test_a_machine_that_holds_no_tier_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "best", lambda: Tier.WEAK)
    with pytest.raises(UserError, match="cannot isolate programs"):
        Executor(ExecutorsConfig(), RewardsConfig())
    with Executor(ExecutorsConfig(allow_weak_isolation=True), RewardsConfig()) as one:
        assert one.tier is Tier.WEAK
        assert one.judge(SUMS, ADD).outcome is Outcome.PASS
        assert one.judge(SUMS, "while True: pass").detail is Detail.TIMEOUT
