"""Comparison of answers: what each mode accepts and what only the lenient one does."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors import compare, plain
from executors.compare import same_output

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=5)
LINES = st.lists(st.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=5)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def same_value(value: Any, expected: Any, mode: compare.Mode) -> bool:
    """As the judge has it: the value comes encoded."""
    return compare.same_value(plain.decode_answer(plain.encode(value), plain.MAX_NODES), expected, mode)


@given(LINES)
def test_output_equals_itself_whatever_blanks_end_its_lines(lines: list[list[str]]) -> None:
    expected = "\n".join(" ".join(line) for line in lines)
    shown = "".join(" ".join(line) + " \n" for line in lines) + "\n"
    assert same_output(shown, expected, "strict")
    assert same_output(shown, expected, "apps")


@given(LINES)
def test_a_missing_line_is_wrong(lines: list[list[str]]) -> None:
    expected = "\n".join(" ".join(line) for line in [*lines, ["end"]])
    assert not same_output("\n".join(" ".join(line) for line in lines), expected, "strict")


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_whole_numbers_have_no_tolerance(number: int, off: int) -> None:
    assert not same_output(str(number + off), str(number), "strict")


@given(st.floats(-1e6, 1e6))
def test_reals_have_some(number: float) -> None:
    assert same_output(f"{number + 4e-7:.9f}", f"{number:.9f}", "strict")
    assert not same_output(f"{number + 4 + abs(number):.9f}", f"{number:.9f}", "strict")


@given(PLAIN)
def test_plain_data_equals_itself(value: Any) -> None:
    assert same_value(value, value, "strict")
    assert same_value(value, value, "apps")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("b\na\n", "a\nb\n"),
        ("a\na\nb\n", "a\nb\n"),
        ("2 1\n", "1 2\n"),
        ("1 1 2\n", "1 2\n"),
        ("1000009\n", "1000000\n"),
        ("a\n\nb\n", "a\nb\n"),
        ("1.0001 2.5", "1.0004 2.5"),
        ("1.0\n", "1\n"),
    ],
)
def test_known_false_accepts_of_apps(output: str, expected: str) -> None:
    assert same_output(output, expected, "apps")
    assert not same_output(output, expected, "strict")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("0.5000001", "0.5"),
        ("1e3", "1000.0"),
        ("5e-1", ".5"),
        ("a  b", "a b"),
        ("", "\n"),
        ("inf", "inf"),
        ("the infinite nan", "the infinite nan"),
        ("1\r\n2\r\n", "1\n2"),
        ("x 1.50", "x 1.5"),
        ("1 2", "\n1 2"),
        ("\n1 2\n", "\n1 2"),
    ],
)
def test_strict_accepts(output: str, expected: str) -> None:
    assert same_output(output, expected, "strict")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("nan", "1.5"),
        ("inf", "1e400"),
        ("1_0.0", "10.0"),
        ("٣.0", "3.0"),
        ("0x10", "16.0"),
        ("", "0"),
        ("0", ""),
        ("NO", "no"),
        ("1", "1.1"),
        ("\n1", "1"),
        ("a\udc80", "a"),
    ],
)
def test_strict_rejects(output: str, expected: str) -> None:
    assert not same_output(output, expected, "strict")


@pytest.mark.parametrize("output", ["", "abc", "1\nx", "nan", "1 2"])
def test_apps_rejects_other_answers(output: str) -> None:
    assert not same_output(output, "1\n2", "apps")


def test_apps_numbers_as_allclose_has_them() -> None:
    assert same_output("1.00001\n2", "1\n2", "apps")
    assert not same_output("1.002\n2", "1\n2", "apps")
    assert not same_output("nan\n2", "nan \n3", "apps")
    assert same_output("inf\n2", "Infinity\n2", "apps")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), [1, 2]),
        ([(1, "a")], [[1, "a"]]),
        (2, 2.0),
        (2.0, 2),
        (0.1 + 0.2, 0.3),
        ({1: [1.0000001]}, {1: [1.0]}),
        ({1, 2}, {2, 1}),
        (math.inf, math.inf),
        (10**400, 10**400),
        (None, None),
    ],
)
def test_strict_values_that_are_equal(value: Any, expected: Any) -> None:
    assert same_value(value, expected, "strict")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, 1),
        (1, True),
        ([True], [1]),
        ({True: 2}, {1: 2}),
        ({True}, {1}),
        ("1", 1),
        (7, [7, 8, 9]),
        (math.nan, math.nan),
        ([math.nan], [math.nan]),
        (10**400, 1.5),
        ({1: 2}, {"1": 2}),
        ({1, 2}, [1, 2]),
        ([1, 2], [2, 1]),
        (None, 0),
        (1000009, 1000000),
        ("ab", ["a", "b"]),
        (1.1, 1),
    ],
)
def test_strict_values_that_are_not(value: Any, expected: Any) -> None:
    assert not same_value(value, expected, "strict")


def test_apps_values() -> None:
    assert same_value(7, [7, 8, 9], "apps")
    assert same_value((1, 2), [1, 2], "apps")
    assert same_value([(1, 2)], [[[1, 2]]], "apps")
    assert same_value(True, 1, "apps")
    assert not same_value(8, [7, 8, 9], "apps")
    assert not same_value([(1, 2)], [[1, 2]], "apps")
    assert not same_value(1, [], "apps")


KEYS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.sampled_from([0.0, -0.0, 1.0, 0.5, 2.0**80])
    | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2).map(tuple) | st.frozensets(inner, max_size=2),
    max_leaves=4,
)


@given(st.frozensets(KEYS, max_size=3), st.frozensets(KEYS, max_size=3))
def test_sets_and_dicts_are_equal_where_pythons_are(keys: frozenset[Any], others: frozenset[Any]) -> None:
    same = keys == others
    assert same_value(keys, others, "apps") is same
    assert same_value(dict.fromkeys(keys, 1), dict.fromkeys(others, 1), "apps") is same
    assert same or not same_value(keys, others, "strict")
    assert same_value(keys, set(keys), "strict")


def test_values_of_dicts_are_compared_by_the_modes_own_rule() -> None:
    assert same_value({1: {"a": (0.3,)}}, {1.0: {"a": [0.1 + 0.2]}}, "strict")
    assert not same_value({1: {"a": (0.3,)}}, {1: {"a": [0.3]}}, "apps")
    assert not same_value({1: 2}, {1: 3}, "apps")
    assert same_value([{1: {2}}], [{True: {2.0}}], "apps")


@pytest.mark.parametrize("payload", [b'{"set":[1,1]}', b'{"dict":[[1,2],[1,2]]}'])
def test_repeated_items_are_no_set(payload: bytes) -> None:
    for expected in ({1}, {1, 2}, {1: 2}, {1: 2, 2: 2}):
        assert not compare.same_value(plain.decode_answer(payload, 9), expected, "strict")


def test_impossible_keys_are_refused() -> None:
    for payload in (b'{"set":[[1]]}', b'{"set":[{"set":[]}]}', b'{"set":[{"dict":[]}]}', b'{"set":[{"frozenset":[1,1]}]}'):
        with pytest.raises(plain.NotPlain):
            compare.same_value(plain.decode_answer(payload, 9), {1}, "strict")


def test_apps_compares_lines_as_sets_of_rounded_numbers() -> None:
    assert same_output("2.00012 1e0\n-0.0001\n", "1 2\n0.0", "apps")
    assert not same_output("2.0012 1\n", "1 2", "apps")
    assert not same_output("nan 2.0", "NaN 2", "apps")
    assert same_output("inf 1.0", "1 Infinity", "apps")
