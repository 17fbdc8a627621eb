"""Answers of references: when they agree, and which tests they make."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import Problem
from contracts.records import Test as UnitTest
from executors import plain
from executors.answers import as_judged
from executors.compare import Mode, same_value
from problems.io_tests import read_back
from rltf.grow_tests import agree, alike, made

STDIN = Problem(id="s", question="", tests=())
CALL = Problem(id="c", question="", fn_name="f", tests=())
ASSERT = Problem(id="a", question="", fn_name="f", test_setup="", tests=())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}),
        ({(1, 2), frozenset("ab")}, {frozenset("ba"), (1, 2)}),
        ([math.nan, (math.inf, 0.1 + 0.2)], [math.nan, (math.inf, 0.3)]),
        ({1: {"x": -0.0}, None: {3}}, {None: {3}, 1: {"x": 0.0}}),
        ("a", "a"),
    ],
)
def test_alike(one: Any, other: Any) -> None:
    assert alike(one, other)
    assert alike(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (True, 1),
        (1, 1.0),
        (None, 0),
        ([1], (1,)),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({1}, {True}),
        ({1}, frozenset({1})),
        ({1: 2}, {"1": 2}),
        ({1: 2}, {True: 2}),
        ({1: 2}, {1: 2.0}),
        ({"a": [0]}, {"a": [False]}),
        ({"a": 1}, {"a": 1, "b": 2}),
        (0.5, 0.5001),
        (math.nan, 0.0),
        (math.inf, -math.inf),
    ],
)
def test_not_alike(one: Any, other: Any) -> None:
    assert not alike(one, other)
    assert not alike(other, one)


scalars = (
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, 0.5, math.nan]) | st.sampled_from(["", "1", "a"])
)
hashable = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2).map(tuple) | st.frozensets(inner, max_size=2), max_leaves=3
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(hashable, inner, max_size=2)
        | st.sets(hashable, max_size=2)
    ),
    max_leaves=5,
)


def shown(value: Any) -> str:
    """A text that values of the same content and types share."""
    if isinstance(value, dict):
        items = sorted(f"{shown(key)}: {shown(item)}" for key, item in value.items())
    elif isinstance(value, list | tuple):
        items = list(map(shown, value))
    elif isinstance(value, set | frozenset):
        items = sorted(map(shown, value))
    else:
        return repr(value)
    return f"{type(value).__name__}({', '.join(items)})"


@given(values, values)
def test_alike_is_the_same_in_content_and_types(one: Any, other: Any) -> None:
    assert alike(one, one)
    assert alike(one, other) == alike(other, one) == (shown(one) == shown(other))


@given(values, values, st.sampled_from(["strict", "apps"]))
def test_answers_are_compared_as_the_judge_compares_them(one: Any, other: Any, mode: Mode) -> None:
    for value in (one, other):
        sent = plain.decode_answer(plain.encode(value), plain.MAX_NODES)
        assert same_value(as_judged(value), one, mode) == same_value(sent, one, mode)


def test_a_call_s_answers_agree_as_its_test_will_judge_them() -> None:
    assert agree(CALL, {"b": 0.3, "a": (1,)}, {"a": [1], "b": 0.1 + 0.2}, "strict")
    assert not agree(CALL, {"a": True}, {"a": 1}, "strict")
    assert agree(CALL, {"a": True}, {"a": 1}, "apps")
    assert agree(STDIN, "1 \n", "1", "strict")
    assert not agree(ASSERT, [1], (1,), "strict")


@given(st.lists(values, max_size=2), values)
def test_a_test_is_made_where_it_is_read_as_it_was_answered(arguments: list[Any], answer: Any) -> None:
    test = made(CALL, arguments, answer)
    if test is not None:
        assert read_back(test, "f") == test
        assert same_value(as_judged(arguments), test.input, "strict")
        assert same_value(as_judged(answer), test.expected, "strict")


@pytest.mark.parametrize(
    ("arguments", "answer", "test"),
    [
        ([{1: 2}], {3: 4}, UnitTest([{1: 2}], {3: 4})),
        ([3], {"a": (1, 2)}, UnitTest([3], {"a": [1, 2]})),
        ([0, {"1": 2}], [{"1": 2}, 0], UnitTest([0, {"1": 2}], [{"1": 2}, 0])),
        ([{"1": 2}], 0, None),
        ([0, {1: 2}], 0, None),
        ([0], {"1": 2}, None),
        ([0], [{"1": 2}], None),
        ([0], {1: 2, "1": 3}, None),
        ([0], {True: 2}, None),
        ([0], {None: 2}, None),
        ([0], {1, 2}, None),
        ([0], {(1, 2): 3}, None),
        ([0], math.nan, None),
        ([0], "\ud83d\ude00", None),
    ],
)
def test_call_tests(arguments: list[Any], answer: Any, test: UnitTest | None) -> None:
    assert made(CALL, arguments, answer) == test


def test_other_tests() -> None:
    assert made(STDIN, "1", "2\n") == UnitTest("1", "2\n")
    assert made(STDIN, "1", " \n") is None
    assert made(ASSERT, [1], {2}) == UnitTest("assert f(1) == {2}", None)
    assert made(ASSERT, [1], [0.5]) is None
