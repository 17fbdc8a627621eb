"""The online buffer: the same semantics in memory and over a real Redis."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buffer.base import Append, Counts, OnlineBuffer, Waiting
from buffer.memory import MemoryBuffer
from buffer.redis_buffer import RedisBuffer
from contracts.errors import UserError
from contracts.records import SchemaError, decode_labelled, encode
from contracts.sections import BufferConfig
from tests.factories import labelled

Make = Callable[..., OnlineBuffer]


@pytest.fixture(params=["memory", "redis"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[RedisBuffer] = []

    def build(**config: object) -> OnlineBuffer:
        parsed = BufferConfig.model_validate({"capacity": 6, **config})
        if request.param == "memory":
            return MemoryBuffer(parsed)
        made.append(RedisBuffer(request.getfixturevalue("redis_url"), uuid.uuid4().hex, parsed))
        return made[-1]

    yield build
    for buffer in made:
        buffer.clear()
        buffer.close()


def ids(buffer: OnlineBuffer) -> list[str]:
    return [waiting.id for waiting in buffer.waiting()]


def test_appends_wait_in_order_and_come_back_whole(make: Make) -> None:
    buffer = make()
    entry = labelled("a", version=3)
    assert buffer.append(entry) is Append.ADDED
    assert buffer.append(labelled("b")) is Append.ADDED
    assert buffer.waiting() == [Waiting("a", 3, 2), Waiting("b", 0, 2)]
    assert buffer.fetch(["b", "a"])[1] == entry


def test_the_oldest_is_the_one_that_has_waited_longest(make: Make) -> None:
    buffer = make(max_uses=2)
    versions = [buffer.oldest()]
    for key, version in (("a", 3), ("b", 0), ("c", 4)):
        buffer.append(labelled(key, version=version))
        versions.append(buffer.oldest())
    buffer.draw(["a"], 0)
    versions.append(buffer.oldest())
    buffer.draw(["a"], 1)
    versions.append(buffer.oldest())
    buffer.evict(["b", "c"], "lag")
    versions.append(buffer.oldest())
    assert versions == [None, 3, 3, 3, 3, 0, None]


def test_second_append_of_an_id_does_nothing_even_after_it_was_drawn(make: Make) -> None:
    buffer = make()
    buffer.append(labelled("a"))
    assert buffer.append(labelled("a")) is Append.DUPLICATE
    buffer.draw(["a"], 0)
    buffer.commit(1)
    assert buffer.append(labelled("a")) is Append.DUPLICATE
    assert buffer.counts() == Counts(appended=2, drawn=2, sequence=1)


def test_at_capacity_the_oldest_make_room_whole_and_are_counted(make: Make) -> None:
    buffer = make()
    for key in "abcd":
        assert buffer.append(labelled(key)) is Append.ADDED
    assert ids(buffer) == ["b", "c", "d"]
    buffer.append(labelled("e", samples=3))
    assert ids(buffer) == ["d", "e"]
    assert buffer.counts().evicted == {"overflow": 6}


def test_at_capacity_appends_wait_where_told_so(make: Make) -> None:
    buffer = make(overflow="block")
    for key in "abc":
        buffer.append(labelled(key))
    assert buffer.append(labelled("d")) is Append.FULL
    buffer.draw(["a"], 0)
    assert buffer.append(labelled("d")) is Append.ADDED
    assert ids(buffer) == ["b", "c", "d"]


def test_a_group_larger_than_the_capacity_is_taken_alone(make: Make) -> None:
    buffer = make(overflow="block")
    assert buffer.append(labelled("a", samples=9)) is Append.ADDED


def test_a_draw_counts_once_and_reports_what_is_gone(make: Make) -> None:
    buffer = make()
    for key in "abcd":
        buffer.append(labelled(key))
    assert buffer.draw(["a", "b"], 5) == ["b"]
    assert buffer.draw(["b"], 5) == ["b"], "a retried draw of the same step"
    assert buffer.draw(["b"], 6) == []
    assert buffer.counts().drawn == 2


def test_groups_stay_for_as_many_uses_as_configured(make: Make) -> None:
    twice, always = make(max_uses=2), make(max_uses=0)
    for buffer in (twice, always):
        buffer.append(labelled("a"))
    assert [twice.draw(["a"], step) for step in range(3)] == [["a"], ["a"], []]
    assert [always.draw(["a"], step) for step in range(3)] == [["a"], ["a"], ["a"]]


def test_rewind_brings_back_what_was_used_since_and_drops_what_was_appended_since(make: Make) -> None:
    buffer = make(capacity=100)
    for key in "abc":
        buffer.append(labelled(key))
    buffer.draw(["a"], 0)
    buffer.commit(1)
    sequence = buffer.counts().sequence
    assert sequence == 3
    buffer.draw(["b"], 1)
    buffer.append(labelled("d"))
    buffer.append(labelled("e"))
    buffer.draw(["d"], 2)
    buffer.rewind(1, sequence, 2)
    assert ids(buffer) == ["b", "c"]
    assert buffer.counts() == Counts(waiting=4, appended=10, drawn=2, evicted={"rewound": 4}, sequence=5)
    assert buffer.append(labelled("d")) is Append.ADDED, "it was never there"
    assert buffer.append(labelled("a")) is Append.DUPLICATE


def test_a_rewind_behind_a_commit_counts_no_use_of_the_groups_that_are_gone(make: Make) -> None:
    buffer = make(capacity=100)
    for key in "abcdefgh":
        buffer.append(labelled(key))
    for step, key in enumerate("abcd"):
        buffer.draw([key], step)
    buffer.commit(3)
    buffer.draw(["e"], 4)
    buffer.rewind(1, 6, 2)
    assert ids(buffer) == ["d", "e", "f"]
    assert buffer.counts() == Counts(waiting=6, appended=16, drawn=2, evicted={"rewound": 4}, sequence=8)


def test_a_used_group_that_is_displaced_can_be_fetched_until_it_is_committed(make: Make) -> None:
    buffer = make(max_uses=0)
    for key in "abc":
        buffer.append(labelled(key))
    assert buffer.draw(["a"], 0) == ["a"]
    buffer.append(labelled("d"))
    assert ids(buffer) == ["b", "c", "d"]
    assert buffer.fetch(["a"])[0].group.id == "a"
    buffer.commit(1)
    with pytest.raises(KeyError):
        buffer.fetch(["a"])


def test_drawn_groups_can_be_fetched_until_they_are_committed(make: Make) -> None:
    buffer = make()
    buffer.append(labelled("a"))
    buffer.draw(["a"], 0)
    assert buffer.fetch(["a"])[0].group.id == "a"
    buffer.commit(1)
    with pytest.raises(KeyError):
        buffer.fetch(["a"])


operations = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 9), st.integers(0, 3), st.integers(1, 4)),
    st.tuples(st.just("draw"), st.lists(st.integers(0, 9), max_size=4, unique=True), st.integers(0, 4)),
    st.tuples(st.just("evict"), st.lists(st.integers(0, 9), max_size=3, unique=True)),
    st.tuples(st.just("commit"), st.integers(0, 4)),
    st.tuples(st.just("rewind"), st.integers(0, 4), st.integers(0, 12), st.integers(0, 9)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(operations, max_size=25),
    st.fixed_dictionaries({"overflow": st.just("drop_oldest"), "max_uses": st.integers(0, 2)})
    | st.fixed_dictionaries({"overflow": st.just("block"), "max_uses": st.integers(1, 2)}),
)
def test_redis_and_memory_agree(redis_url: str, script: list[tuple], config: dict) -> None:
    parsed = BufferConfig.model_validate({"capacity": 6, **config})
    memory, shared = MemoryBuffer(parsed), RedisBuffer(redis_url, uuid.uuid4().hex, parsed)
    for name, *arguments in script:
        for_both = []
        for buffer in (memory, shared):
            if name == "append":
                key, version, samples = arguments
                result: object = buffer.append(labelled(f"g{key}", version=version, samples=samples))
            elif name == "draw":
                result = buffer.draw([f"g{key}" for key in arguments[0]], arguments[1])
            elif name == "evict":
                result = buffer.evict([f"g{key}" for key in arguments[0]], "lag")
            else:
                result = getattr(buffer, name)(*arguments)
            for_both.append((result, buffer.waiting(), buffer.oldest(), buffer.counts()))
        assert for_both[0] == for_both[1]
    shared.clear()
    shared.close()


def test_an_unreachable_redis_is_one_line_without_the_password() -> None:
    with pytest.raises(UserError, match=r"no Redis answers at redis://127\.0\.0\.1:1/0") as caught:
        RedisBuffer("redis://:secret@127.0.0.1:1/0", "run", BufferConfig())
    assert "secret" not in str(caught.value)


def test_entries_of_another_schema_are_refused() -> None:
    entry = labelled("a")
    payload = encode(type(entry)(group=entry.group, verdicts=entry.verdicts, labels=entry.labels, schema_version=99))
    with pytest.raises(SchemaError, match="99"):
        decode_labelled(payload)
