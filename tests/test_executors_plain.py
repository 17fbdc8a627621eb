"""The form in which values leave the sandbox: types survive, everything else is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors import plain

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(), max_size=4)
HASHABLE = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=4
)
PLAIN = st.recursive(
    SCALARS | st.sets(HASHABLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(HASHABLE, inner, max_size=3)
    ),
    max_leaves=10,
)


def types(value: Any) -> Any:
    """The value with every type spelled out."""
    if isinstance(value, dict):
        return dict, [(types(key), types(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [types(item) for item in value]
    return type(value), value


@given(PLAIN)
def test_values_and_types_survive(value: Any) -> None:
    assert types(plain.decode(plain.encode(value))) == types(value)


def test_numbers_that_json_has_not() -> None:
    assert plain.decode(plain.encode(-(10**5000))) == -(10**5000)
    assert plain.decode(plain.encode([math.inf, -math.inf])) == [math.inf, -math.inf]
    assert math.isnan(plain.decode(plain.encode(math.nan)))


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


def test_what_a_subclass_says_of_itself_does_not_count() -> None:
    (number,) = plain.decode(plain.encode([Liar(3)]))
    assert (type(number), number) == (int, 3)


@pytest.mark.parametrize("value", [object(), (i for i in range(3)), b"x", 1j, {1: print}])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(plain.NotPlain):
        plain.encode(value)


def test_recursive_and_deep_values_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(plain.NotPlain):
        plain.encode(endless)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[",
        b"{}",
        b'{"a":1}',
        b'{"int":1}',
        b'{"int":"0x1","float":"nan"}',
        b'{"float":"1"}',
        b'{"set":[[1]]}',
        b'{"dict":[[1]]}',
        b'{"dict":[[[1],2]]}',
        b'{"tuple":5}',
        b"[" * 100_000,
        b"[" * 100 + b"]" * 100,
        b"\xff",
        b"1" * 5000,
    ],
)
def test_forged_encodings_are_refused(payload: bytes) -> None:
    with pytest.raises(plain.NotPlain):
        plain.decode(payload)


@given(st.binary(max_size=40))
def test_any_bytes_are_decoded_or_refused(payload: bytes) -> None:
    try:
        value = plain.decode(payload)
    except plain.NotPlain:
        return
    assert plain.encode(plain.decode(plain.encode(value))) == plain.encode(value)


def hashed(value: Any) -> Any:
    """An answer with its sets and dicts made real."""
    if isinstance(value, plain.Unhashed):
        return value.kind(hashed(value.items))
    return type(value)(map(hashed, value)) if isinstance(value, list | tuple) else value


@given(PLAIN)
def test_answers_are_the_same_without_hashing(value: Any) -> None:
    answer = plain.decode_answer(plain.encode(value), plain.size(value))
    assert types(hashed(answer)) == types(value)


@pytest.mark.parametrize("value", [[0], (0, 1), {1, 2}, frozenset({1}), {1: 2}, [[], []], {(1, 2): [3]}])
def test_answers_larger_than_allowed_are_refused(value: Any) -> None:
    payload = plain.encode(value)
    plain.decode_answer(payload, plain.size(value))
    with pytest.raises(plain.NotPlain):
        plain.decode_answer(payload, plain.size(value) - 1)


def test_decoding_has_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "MAX_NODES", 3)
    assert plain.decode(b"[1, 2, 3]") == [1, 2, 3]
    with pytest.raises(plain.NotPlain):
        plain.decode(b"[1, 2, [3]]")


def test_size_counts_what_containers_hold() -> None:
    assert [plain.size(value) for value in (5, "ab", [], [1, [2]], {(1, 2): {3}}, {4: None})] == [0, 0, 0, 3, 4, 1]
