"""Assert tests: the tests' own process, what goes between, and who is to blame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from contracts.records import Category, Detail, Outcome, Problem, Trust, Verdict
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors import wider
from executors.judge import Executor


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(ExecutorsConfig(cpu_seconds=0.5, memory_mb=128, output_mb=1), RewardsConfig()) as one:
        yield one


def asserts(*sources: str, setup: str = "", name: str = "f") -> Problem:
    return Problem(id="a", question="", fn_name=name, test_setup=setup, tests=tuple(UnitTest(source, None) for source in sources))


def brief(verdict: Verdict) -> tuple[str, str | None, str, Trust]:
    """Outcome, detail, each test's first letter, trust."""
    return verdict.outcome, verdict.detail, "".join(result.outcome[0] for result in verdict.tests), verdict.trust


THREE = asserts("assert f(1) == 2", "assert candidate(2) == 3", "assert f(3) == 4")


@pytest.mark.parametrize(
    ("text", "outcome", "detail", "tests", "category"),
    [
        ("def f(x): return x + 1", Outcome.PASS, None, "ppp", None),
        ("def f(x): return x if x == 2 else x + 1", Outcome.FAILURE, None, "pfp", None),
        ("def f(x): return None", Outcome.FAILURE, None, "fff", None),
        ("def f(x): return 1 / 0", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "rrr", Category.LINE),
        ("def f(x): return x + 1 if x < 3 else [][0]", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "ppr", Category.LINE),
        ("def f(x):\n    assert x != 2\n    return x + 1", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "prp", Category.LINE),
        ("def g(x): return x + 1", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "rrr", Category.GLOBAL),
        ("def f(): return 2", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "rrr", Category.GLOBAL),
        ("print(y)\ndef f(x): return x + 1", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "rrr", Category.LINE),
        ("def f(x): exit(0)", Outcome.RUNTIME_ERROR, Detail.EXIT, "rrr", Category.GLOBAL),
        ("import os\ndef f(x): os._exit(0)", Outcome.RUNTIME_ERROR, Detail.EXIT, "rrr", Category.GLOBAL),
        ("def f(x):\n    while True: pass", Outcome.RUNTIME_ERROR, Detail.TIMEOUT, "rrr", Category.GLOBAL),
        ("def f(x): return bytearray(2**28) * 2", Outcome.RUNTIME_ERROR, Detail.MEMORY, "rrr", Category.GLOBAL),
        ("import os\ndef f(x): os.fork()", Outcome.RUNTIME_ERROR, Detail.DISALLOWED, "rrr", Category.GLOBAL),
        ("def f(x) return 1\n", Outcome.SYNTAX_ERROR, None, "", Category.LINE),
        ("", Outcome.RUNTIME_ERROR, Detail.EXCEPTION, "rrr", Category.GLOBAL),
    ],
)
def test_outcomes(
    executor: Executor, text: str, outcome: Outcome, detail: Detail | None, tests: str, category: Category | None
) -> None:
    # Pages take many times their usual CPU time on a busy machine.
    problem = msgspec.structs.replace(THREE, reference_seconds=2.0 if detail is Detail.MEMORY else None)
    verdict = executor.judge(problem, text)
    assert (*brief(verdict), verdict.category) == (outcome, detail, tests, Trust.FULL, category), verdict.message
    assert (verdict.passed, verdict.total) == (tests.count("p"), 3)
    assert executor.judge(THREE, "f = lambda x: x + 1").outcome is Outcome.PASS


def test_an_error_is_located_in_the_program(executor: Executor) -> None:
    text = "def f(x):\n    y = x\n    return undefined + y\n"
    verdict = executor.judge(THREE, text)
    assert verdict.error_type == "NameError"
    assert verdict.span is not None
    assert text[verdict.span.start_char : verdict.span.end_char] == "return undefined + y"


EQUAL = "class E:\n    __eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\n    __hash__ = lambda s: 1\n"
FORGERIES = {
    "always equal": EQUAL + "def f(x): return E()",
    "an int that is always equal": EQUAL.replace("class E", "class E(int)") + "def f(x): return E(0)",
    "no assertion ever fails": "import builtins\nbuiltins.AssertionError = ValueError\ndef f(x): return 0",
    "says that it has passed": "import os\ndef f(x):\n    for d in range(3, 12):\n"
    '        try: os.write(d, b\'\\x14\\0\\0\\0{"ended": "passed"}\\n\')\n        except OSError: pass\n    return 0',
    "looks for the answer in frames": "import sys\ndef f(x):\n    frame = sys._getframe()\n"
    "    while frame:\n        for v in frame.f_locals.values():\n"
    "            if isinstance(v, bytes) and b'assert' in v: return x + 1\n"
    "        frame = frame.f_back\n    return 0",
    "looks for the answer in memory": "import gc\ndef f(x):\n    test = ''.join(['assert', ' f(1)'])\n"
    "    return next((x + 1 for o in gc.get_objects() if test in repr(o)[:9999]), 0)",
    "changes the argument": "def f(x):\n    return x",
    "raises what a test may expect": "def f(x): raise AssertionError",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_do_not_pass(executor: Executor, name: str) -> None:
    verdict = executor.judge(asserts("assert f(1) == 2"), FORGERIES[name])
    assert verdict.outcome is not Outcome.PASS
    assert verdict.trust is Trust.FULL


@pytest.mark.parametrize(
    ("test", "text"),
    [
        ("assert list(f(3)) == [0, 1, 2]", "def f(n):\n    yield from range(n)"),
        ("assert next(f(3)) == 0", "def f(n): return iter(range(n))"),
        ("assert f() == {1: (2,), 'a': {3}}", "def f(): return {1: (2,), 'a': {3}}"),
        ("assert f() == {'a': 2}", "import collections\ndef f(): return collections.Counter('aa')"),
        ("assert f() == (1, 2)", "import collections\ndef f(): return collections.namedtuple('P', 'x y')(1, 2)"),
        ("assert f(b'a') == bytearray(b'ab')", "def f(x): return bytearray(x + b'b')"),
        ("from decimal import Decimal\nassert f(Decimal('0.1')) == Decimal('0.2')", "def f(x): return 2 * x"),
        ("import cmath\nassert cmath.isclose(f(1j), 2j)", "def f(x): return 2 * x"),
        ("assert set(f({1: 2})) == {1}", "def f(d): return d.keys()"),
        ("x = [3, 1]\nf(x)\nassert x == [1, 3]", "def f(x): x.sort()"),
        ("assert f([1], key=2) == [1, 2]", "def f(x, key): return x + [key]"),
        (
            "try:\n    f(1)\n    assert False\nexcept ValueError as err:\n    assert str(err) == 'no'",
            "def f(x): raise ValueError('no')",
        ),
        ("assert f(1)", "import re\ndef f(x): return re.match('a', 'a')"),
        ("assert f(2.5) == 2.5 and f(10**40) == 10**40 and f(float('inf')) > 1", "def f(x): return x"),
        ("assert f(f(f([]))) == [1, 1, 1]", "def f(x): return x + [1]"),
        ("assert not f(1)", "def f(x): return None"),
        ("assert f(1) == helper(1)", "def f(x): return 2"),
    ],
)
def test_what_tests_and_programs_exchange(executor: Executor, test: str, text: str) -> None:
    verdict = executor.judge(asserts(test, setup="def helper(x): return x + 1"), text)
    assert brief(verdict) == (Outcome.PASS, None, "p", Trust.FULL), verdict


PAIR = "class Pair:\n    def __init__(s, a, b): s.a, s.b = a, b\ndef f(p): return p[0].a + p[0].b"


@pytest.mark.parametrize(
    ("test", "text", "outcome"),
    [
        ("assert f([Pair(1, 2)]) == 3", PAIR, "pass"),
        ("assert f([Pair(1, 2)]) == 4", PAIR, "failure"),
        ("assert f(lambda x: x + 1) == 2", "def f(g): return g(1)", "pass"),
        ("assert f(lambda x: x + 1) == 2", "def f(g): return g(y)", "runtime_error"),
        ("assert f(lambda x: x + 1) == 2", "import os\ndef f(g): os._exit(0)", "runtime_error"),
    ],
)
def test_tests_that_need_the_programs_objects_are_of_low_trust(executor: Executor, test: str, text: str, outcome: str) -> None:
    verdict = executor.judge(asserts(f"assert ready\n{test}", "assert True", setup="ready = True"), text)
    assert (verdict.outcome, verdict.trust) == (outcome, Trust.LOW), verdict


def test_tests_and_programs_may_have_the_same_prelude() -> None:
    problem = asserts("assert f([1, 2]) == sum([1, 2])", "assert f([Pair(1, 2)]) == 3")
    with Executor(ExecutorsConfig(prelude="apps", compare="apps"), RewardsConfig()) as one:
        assert one.judge(problem, "def f(x: List[int]): return reduce(operator.add, x)").error_type == "NameError"
        assert one.judge(problem, "def f(x: List[int]): return functools.reduce(operator.add, x)").passed == 1
        assert one.judge(problem, PAIR).passed == 1
        assert one.restarts == 0


class Zero:
    def __bool__(self) -> bool:
        return False


def test_each_test_starts_fresh(executor: Executor) -> None:
    problem = asserts("assert f() == 1", "assert f() == 1 and f() == 2", "mine = 1", "assert 'mine' not in globals()")
    counter = "n = 0\ndef f():\n    global n\n    n += 1\n    return n"
    assert brief(executor.judge(problem, counter)) == (Outcome.PASS, None, "pppp", Trust.FULL)


@pytest.mark.parametrize(
    "value", [1j, b"a", range(3), deque([1], 2), Decimal("1.5"), Fraction(1, 3), date(2020, 1, 2), {"a": {1, (2,)}}, [None, True]]
)
def test_wider_values_survive(value: Any) -> None:
    again = wider.decode(wider.encode_arguments([value]))[0]
    assert (type(again), again) == (type(value), value)


def test_what_cannot_leave_a_program_is_foreign() -> None:
    deep: list[Any] = []
    deep.append(deep)
    assert wider.decode(wider.encode_answer([object()]))[0] != object()
    assert not wider.decode(wider.encode_answer(Zero()))
    assert repr(wider.decode(wider.encode_answer(deep))) == "<list>"
