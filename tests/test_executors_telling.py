"""What people are told of wrong answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import Outcome, Problem
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors import plain
from executors.compare import same_output, same_value
from executors.judge import Executor
from executors.telling import failed_assertion, short, wrong_output, wrong_value

LINES = partial(same_output, mode="strict")
ITEMS = partial(same_value, mode="strict")
LETTERS = {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5}
ABCD = "{'a': 0, 'b': 1, 'c': 2, 'd': 3, ...}"
SIX = "[0, 1, 2, 3, 4, 5, ...]"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(ExecutorsConfig(cpu_seconds=1), RewardsConfig()) as one:
        yield one


@pytest.mark.parametrize(
    ("output", "expected", "told"),
    [
        ("4\n", "5\n", "expected '5', got '4'"),
        ("1\n2\n3", "1\n4\n3", "expected '4' in line 2, got '2'"),
        ("1.0000001\n2\n", "1.0\n3", "expected '3' in line 2, got '2'"),
        ("1\n", "1\n2", "expected '2' in line 2, got no such line"),
        ("1\n2\n", "1", "expected no line 2, got '2'"),
        ("x y", " x\ny", "expected 'x' in line 1, got 'x y'"),
        ("1\n3", "\n1\n2", "expected '2' in line 2, got '3'"),
        ("a" * 90 + "b" + "a" * 90, "a" * 181, f"expected '{'a' * 40}' from character 83, got '{'a' * 8}b{'a' * 31}'"),
        (
            "\n".join(["1.0"] * 2000),
            "\n".join(["1.00"] * 1999),
            "expected '" + r"1.00\n" * 8 + "' from character 1, got '" + r"1.0\n" * 10 + "'",
        ),
        ("", "1", "expected '1', got ''"),
        ("a\x1b[2J\udc80", "a", "expected 'a', got 'a\\x1b[2J\\udc80'"),
    ],
)
def test_the_first_line_that_differs_is_told(output: str, expected: str, told: str) -> None:
    assert not LINES(output, expected)
    assert wrong_output(output, expected, "7", LINES) == f"{told}; the input is '7'"


@pytest.mark.parametrize(
    ("value", "expected", "told"),
    [
        (4, 5, "expected 5, got 4"),
        ([1, [2, 3]], [1, (2, 4)], "expected 4 at [1][1], got 3"),
        ([1, 2, 3], [1, 2], "expected [1, 2], got [1, 2, 3]"),
        ({1: {2}}, {1: {3}}, "expected {1: {3}}, got {1: {2}}"),
        ({"a": 0, "b": [1, {"c": 2}]}, {"a": 0, "b": [1, {"c": 3}]}, "expected 3 at ['b'][1]['c'], got 2"),
        ({"a": 1}, {"b": 1}, "expected {'b': 1}, got {'a': 1}"),
        (LETTERS, {key: LETTERS[key] for key in "abcde"}, f"expected {ABCD} (5 items), got {ABCD} (6 items)"),
        (LETTERS, {key: LETTERS.get(key, 5) for key in "abcdeg"}, f"expected {ABCD}, got {ABCD}, which is another"),
        (
            10**300 + 1,
            10**300,
            f"expected 1{'0' * 27}...{'0' * 29}, got 1{'0' * 27}...{'0' * 28}1",
        ),
        (set(), {3}, "expected {3}, got set()"),
        ({None, "b", "a", 3}, {3}, "expected {3}, got {'a', 'b', 3, None}"),
        ({"x" * 100: "<function f at 0x7f00>"}, 1, f"expected 1, got {{'{'x' * 27}...{'x' * 28}': '<function f at …"),
        ({0: "<function f at 0x7f00>"}, 1, "expected 1, got {0: '<function f at 0x…>'}"),
        (set(range(9)), {3}, "expected {3}, got a set of 9"),
        (list(range(8)), list(range(7)), f"expected {SIX} (7 items), got {SIX} (8 items)"),
        ({1: [[[[2]]]]}, 1, "expected 1, got {1: [[[...]]]}"),
        ([[[[[7]]]]], [[[[[8]]]]], "expected [8] at [0][0][0][0], got [7]"),
        (frozenset({1}), 1, "expected 1, got frozenset({1})"),
        ({}, 1, "expected 1, got {}"),
        ([10**5000], [1], "expected 1 at [0], got an int of 16610 bits"),
        ([list(range(9))], [0], "expected 0 at [0], got [0, 1, 2, 3, 4, 5, ...]"),
        (float("nan"), 1.0, "expected 1.0, got nan"),
    ],
)
def test_the_item_that_differs_is_told(value: Any, expected: Any, told: str) -> None:
    answer = plain.decode_answer(plain.encode(value), 100)
    assert not ITEMS(answer, expected)
    assert wrong_value(answer, expected, "f(7)", ITEMS) == f"{told}; the call is f(7)"


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=100)
_PLAIN = st.recursive(_LEAVES, lambda items: st.lists(items) | st.dictionaries(st.integers(), items) | st.tuples(items, items))


@given(_PLAIN)
def test_an_answer_of_any_size_takes_few_words(value: Any) -> None:
    assert len(short(plain.decode_answer(plain.encode(value), plain.MAX_NODES))) <= 80
    if not isinstance(value, str | int | list | tuple | dict):
        assert short(value) == repr(value)


def test_of_what_is_no_plain_data_the_type_is_told() -> None:
    values = [Fraction(7**99), iter([1]), {1: 2}.values(), b"x" * 99, range(7**99), Decimal(1), date(2020, 1, 2), deque([1], 3)]
    assert list(map(short, values)) == [
        "<Fraction>",
        "<list_iterator>",
        "<dict_values>",
        f"b'{'x' * 30}'",
        "<range>",
        "<Decimal>",
        "datetime.date(2020, 1, 2)",
        "deque([1])",
    ]


def test_where_an_item_may_answer_for_the_whole_only_the_whole_is_told() -> None:
    assert wrong_value([7, [6]], [[7, 8], [5]], "f()", None) == "expected [[7, 8], [5]], got [7, [6]]; the call is f()"
    assert wrong_output("3\n1\n", "1\n2", "7", None) == "expected '1\\n2', got '3\\n1'; the input is '7'"


def test_a_long_assertion_is_cut() -> None:
    assert failed_assertion("assert  f(1)\n == 2", "") == "assert f(1) == 2"
    assert failed_assertion("x" * 200, "said") == f"{'x' * 119}…: said"


def _judged(executor: Executor, text: str, *tests: UnitTest, **of: Any) -> tuple[Outcome, str]:
    verdict = executor.judge(Problem(id="p", question="", tests=tests, **of), text)
    return verdict.outcome, verdict.message


def test_the_first_wrong_answer_is_the_verdicts_message(executor: Executor) -> None:
    tests = UnitTest("1", "1"), UnitTest("2", "4"), UnitTest("3", "9")
    assert _judged(executor, "print(input())", *tests) == (Outcome.FAILURE, "test 2: expected '4', got '2'; the input is '2'")
    assert _judged(executor, "print(int(input()) ** 2)", *tests) == (Outcome.PASS, "")
    function = "test 1: expected '1', got '<function f at 0x…>'; the input is '1'"
    assert _judged(executor, "def f(): 0\nprint(f)", *tests) == (Outcome.FAILURE, function)
    raises = "print(1 // (int(input()) - 3))"
    assert _judged(executor, raises, *tests) == (Outcome.RUNTIME_ERROR, "integer division or modulo by zero")
    assert _judged(executor, "print('x' * 10**5)", *tests) == (
        Outcome.FAILURE,
        f"test 1: expected '1', got 100001 bytes that begin with '{'x' * 40}'",
    )


def test_of_a_call_the_returned_value_is_told(executor: Executor) -> None:
    call = partial(_judged, executor, fn_name="f")
    tests = UnitTest([1], 1), UnitTest([[2]], [4])
    assert call("def f(x): return 1", *tests) == (Outcome.FAILURE, "test 2: expected [4], got 1; the call is f([2])")
    more = "test 2: expected [4], got [4, 5, [6]]; the call is f([2])"
    assert call("def f(x): return 1 if x == 1 else [4, 5, [6]]", *tests) == (Outcome.FAILURE, more)
    assert call("def f(): return 1", UnitTest([], 2)) == (Outcome.FAILURE, "test 1: expected 2, got 1; the call is f()")
    for got, told in {
        "list(range(2000))": "something too large",
        "'x' * 10**5": f"100002 bytes that begin with '\"{'x' * 39}'",
        "range(4)": "<range>, which is or holds something else than plain data",
        "[object()]": "<list>, which is or holds something else than plain data",
        "type('M', (type,), {'__name__': 7})('C', (), {})()": "<C>, which is or holds something else than plain data",
    }.items():
        outcome, message = call(f"def f(x): return 1 if x == 1 else {got}", *tests)
        assert outcome is Outcome.FAILURE
        assert message.removesuffix("; the call is f([2])") == f"test 2: expected [4], got {told}"


def test_a_hidden_test_is_called_one(executor: Executor) -> None:
    problem = Problem(id="p", question="", tests=(UnitTest("", "1"),), hidden_tests=(UnitTest("", "1"), UnitTest("", "2")))
    assert executor.judge(problem, "print(1)", hidden=True).message == "hidden test 2: expected '2', got '1'; the input is ''"
    without = msgspec.structs.replace(problem, hidden_tests=())
    assert executor.judge(without, "print(2)", hidden=True).message == "test 1: expected '1', got '2'; the input is ''"


def test_of_an_assertion_its_source_is_told_and_what_came_back(executor: Executor) -> None:
    judge = partial(_judged, executor, test_setup="", fn_name="f")
    right, wrong = UnitTest("assert f(1) == 1", None), UnitTest("assert f(2) == 4, 'twice'", None)
    told = "test 2: assert f(2) == 4, 'twice': AssertionError: twice; the last call returned 2"
    assert judge("def f(x): return x", right, wrong) == (Outcome.FAILURE, told)
    lines = UnitTest("a = f(3)\nassert a == 3\nassert (f(a) ==\n  4)\nassert f(a) == 3", None)
    told = "test 1: assert (f(a) ==: AssertionError; the last call returned 3"
    assert judge("def f(x): return x", lines) == (Outcome.FAILURE, told)
    raised = UnitTest("assert f(1) == 1\ntry:\n    f(0)\nexcept ZeroDivisionError: pass\nassert 0", None)
    assert judge("def f(x): return x // x", raised) == (Outcome.FAILURE, "test 1: assert 0: AssertionError")
    changed = UnitTest("a = f(1)\na.sort()\nassert a == [3, 1]", None)
    told = "test 1: assert a == [3, 1]: AssertionError; the last call returned [3, 1]"
    assert judge("def f(x): return [3, 1]", changed) == (Outcome.FAILURE, told)
    text = "check(candidate)"
    told = f"test 1: {text}: AssertionError; the last call returned 2"
    checked = judge("def f(x): return x", UnitTest(text, None), test_setup="def check(f):\n    assert f(2) == 3")
    assert checked == (Outcome.FAILURE, told)
    inside = UnitTest("assert f(1).x == 1", None)
    told = "AttributeError: 'Foreign' object has no attribute 'x'; the last call returned <f>, which tests cannot look into"
    assert judge("class f:\n    def __init__(self, x): self.x = x", inside) == (
        Outcome.FAILURE,
        f"test 1: assert f(1).x == 1: {told}",
    )
    shared = UnitTest("assert other(2) == 4, 'twice'", None)
    told = "test 1: assert other(2) == 4, 'twice': twice"
    assert judge("def f(x): return x\ndef other(x): return x", shared) == (Outcome.FAILURE, told)


def test_words_take_no_time_from_the_test(executor: Executor) -> None:
    tests = [UnitTest(f"assert f({at}) == 3", None) for at in range(4)]
    for huge in ("Fraction(7**600000)", "range(7**600000)", "{1: 7**600000}.values()"):
        text = f"from fractions import Fraction\ndef f(x): return x if x == 3 else {huge}"
        verdict = executor.judge(Problem(id="p", question="", tests=tuple(tests), test_setup="", fn_name="f"), text)
        assert (verdict.outcome, verdict.passed) == (Outcome.FAILURE, 1), huge


def test_messages_can_be_shown_and_sent_whatever_is_in_them(executor: Executor) -> None:
    tests = UnitTest("assert other(2) == 1, 'a\x1b[2J'", None), UnitTest("assert f('\ud800') == 1", None)
    of = {"test_setup": "", "fn_name": "f"}
    for test, told in zip(tests, ("a\\x1b[2J", "SyntaxError"), strict=True):
        outcome, message = _judged(executor, "def f(x): return x\ndef other(x): return x", test, **of)
        assert outcome is Outcome.FAILURE
        assert told in message
        assert message.isprintable()
    raised = "raise ValueError('a\\x1b[2J\\n\\ud800')"
    assert _judged(executor, raised, UnitTest("", "")) == (Outcome.RUNTIME_ERROR, "a\\x1b[2J\\n\\ud800")
