"""The learner's window on the FIFO."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from buffer.base import Append
from buffer.memory import MemoryBuffer
from buffer.window import Window
from contracts.sections import BufferConfig
from tests.factories import labelled


def filled(config: BufferConfig, keys: str, version: int = 0) -> MemoryBuffer:
    buffer = MemoryBuffer(config)
    for key in keys:
        buffer.append(labelled(key, version=version))
    return buffer


def window_on(buffer: MemoryBuffer, config: BufferConfig, seed: int, steps: int = 1000) -> Window:
    """Two groups of two samples a step."""
    return Window(buffer, config, 2, 2, seed, steps)


def test_steps_draw_without_replacement_in_an_order_from_the_seed() -> None:
    config = BufferConfig(refresh_every=50)
    orders = []
    for seed in (1, 1, 2):
        window = window_on(filled(config, "abcdefgh"), config, seed=seed)
        orders.append([key for step in range(4) for key in window.draw(step) or []])
    assert sorted(orders[0]) == list("abcdefgh")
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != list("abcdefgh")


def test_too_few_groups_mean_wait_and_cost_nothing() -> None:
    config = BufferConfig()
    buffer = filled(config, "a")
    window = window_on(buffer, config, seed=0)
    assert window.draw(0) is None
    assert [waiting.id for waiting in buffer.waiting()] == ["a"]
    buffer.append(labelled("b"))
    assert sorted(window.draw(0) or []) == ["a", "b"]


def test_groups_that_come_during_a_window_wait_for_the_next_refresh() -> None:
    config = BufferConfig(refresh_every=2, max_uses=0)
    buffer = filled(config, "abcdefgh")
    window = window_on(buffer, config, seed=0)
    first = window.draw(0) or []
    for key in "ijklmnopqrstuvwxyz":
        buffer.append(labelled(key))
    assert set(window.draw(1) or []) <= set("abcdefgh") - set(first)
    third = [key for step in (2, 3) for key in window.draw(step) or []]
    assert set(third) & set("ijklmnopqrstuvwxyz")


def test_exhausted_refresh_takes_what_is_there_after_what_is_left() -> None:
    config = BufferConfig(refresh_every=50)
    buffer = filled(config, "abc")
    window = window_on(buffer, config, seed=0)
    first = window.draw(0) or []
    buffer.append(labelled("d"))
    assert sorted([*first, *(window.draw(1) or [])]) == list("abcd")


def test_exhausted_reshuffle_draws_the_same_window_again() -> None:
    config = BufferConfig(refresh_every=50, on_exhausted="reshuffle", max_uses=0)
    buffer = filled(config, "abcd")
    window = window_on(buffer, config, seed=0)
    drawn = [sorted((window.draw(step) or []) + (window.draw(step + 1) or [])) for step in (0, 2)]
    buffer.append(labelled("e"))
    assert drawn == [list("abcd"), list("abcd")]
    assert "e" not in [*(window.draw(4) or []), *(window.draw(5) or [])]


def test_exhausted_wait_waits_for_a_window_of_new_groups() -> None:
    config = BufferConfig(refresh_every=2, on_exhausted="wait")
    buffer = filled(config, "ab")
    window = window_on(buffer, config, seed=0)
    assert window.draw(0) is not None
    for key in "cde":
        buffer.append(labelled(key))
        assert window.draw(1) is None
    buffer.append(labelled("f"))
    assert window.draw(1) is not None


def test_groups_over_the_lag_limit_are_evicted_and_counted() -> None:
    config = BufferConfig(max_lag=3)
    buffer = filled(config, "ab", version=0)
    buffer.append(labelled("c", version=2))
    buffer.append(labelled("d", version=4))
    window = window_on(buffer, config, seed=0)
    assert sorted(window.draw(4) or []) == ["c", "d"]
    assert buffer.counts().evicted == {"lag": 4}


def test_groups_displaced_since_the_refresh_are_replaced() -> None:
    config = BufferConfig(capacity=8, refresh_every=50)
    buffer = filled(config, "abcd")
    window = window_on(buffer, config, seed=0)
    first = window.draw(0) or []
    left = sorted(set("abcd") - set(first))
    for key in "efg":
        buffer.append(labelled(key))  # the last one displaces the oldest that was left
    drawn = window.draw(1) or []
    assert left[0] not in drawn
    assert len(drawn) == 2
    assert buffer.counts().drawn == 8


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_a_restored_window_goes_on_as_if_never_stopped(stop: int) -> None:
    config = BufferConfig(capacity=100, refresh_every=3)
    buffer = filled(config, "abcdefghijkl")
    window = window_on(buffer, config, seed=7)
    drawn = [window.draw(step) for step in range(stop)]
    state = window.state()
    state = {key: list(value) if isinstance(value, list) else value for key, value in state.items()}
    rest = [window.draw(step) for step in range(stop, 6)]
    buffer.rewind(stop, 12, 4 * stop)
    again = window_on(buffer, config, seed=7)
    again.restore(state)
    assert [*drawn, *(again.draw(step) for step in range(stop, 6))] == [*drawn, *rest]


def test_a_first_window_is_taken_when_there_is_enough_for_a_step() -> None:
    config = BufferConfig(on_exhausted="reshuffle", max_uses=0)
    buffer = filled(config, "a")
    window = window_on(buffer, config, seed=0)
    assert window.draw(0) is None
    for key in "bcd":
        buffer.append(labelled(key))
    drawn = [*(window.draw(0) or []), *(window.draw(1) or [])]
    assert sorted(drawn) == list("abcd")


def test_a_reshuffled_window_that_is_used_up_makes_room_for_a_new_one() -> None:
    config = BufferConfig(on_exhausted="reshuffle", max_uses=2)
    buffer = filled(config, "abcd")
    window = window_on(buffer, config, seed=0)
    drawn = [key for step in range(4) for key in window.draw(step) or []]
    assert sorted(drawn) == sorted("abcd" * 2)
    assert window.draw(4) is None
    for key in "ef":
        buffer.append(labelled(key))
    assert sorted(window.draw(4) or []) == ["e", "f"]


def test_the_last_window_waits_for_no_more_than_the_steps_that_are_left() -> None:
    config = BufferConfig(on_exhausted="wait", refresh_every=4)
    buffer = filled(config, "abcdefgh")
    window = window_on(buffer, config, seed=0, steps=5)
    assert all(window.draw(step) for step in range(4))
    for key in "ij":
        assert window.draw(4) is None
        buffer.append(labelled(key))
    assert sorted(window.draw(4) or []) == ["i", "j"]


def test_groups_drawn_before_others_were_displaced_are_not_lost_at_a_refresh() -> None:
    config = BufferConfig(capacity=4, refresh_every=1)
    buffer = filled(config, "ab")
    window = window_on(buffer, config, seed=0)
    assert window.draw(0) is not None
    for key in "cd":
        buffer.append(labelled(key))
    state = window.state()
    buffer.append(labelled("e"))  # displaces c, after the window may have been taken
    window.restore({**state, "ids": ["d", "c"], "taken": ["d", "c"], "since": 1})
    drawn = window.draw(1)
    assert sorted(drawn or []) == ["d", "e"]


@settings(max_examples=200, deadline=None)
@given(
    overflow=st.sampled_from(["drop_oldest", "block"]),
    max_uses=st.integers(0, 3),
    on_exhausted=st.sampled_from(["refresh", "reshuffle", "wait"]),
    refresh_every=st.integers(1, 6),
    capacity=st.integers(4, 30),
    per_append=st.integers(1, 5),
    sizes=st.lists(st.integers(1, 2), min_size=1, max_size=5),
)
def test_every_step_gets_its_groups_whatever_the_settings(
    overflow: str, max_uses: int, on_exhausted: str, refresh_every: int, capacity: int, per_append: int, sizes: list[int]
) -> None:
    """A producer that appends as it may and a learner that draws as it may always come to the last step."""
    fields = {"overflow": overflow, "max_uses": max_uses, "on_exhausted": on_exhausted}
    assume(not (on_exhausted == "reshuffle" and max_uses == 1) and not (overflow == "block" and max_uses == 0))
    config = BufferConfig.model_validate({**fields, "capacity": capacity, "refresh_every": refresh_every})
    buffer, steps, made, drawn = MemoryBuffer(config), 12, 0, []
    window = window_on(buffer, config, seed=0, steps=steps)
    for _ in range(2000):
        if len(drawn) == steps:
            break
        counts = buffer.counts()
        if max_uses != 1 or counts.drawn + counts.waiting < steps * 4:
            for _ in range(per_append):
                if buffer.append(labelled(f"{made:04d}", samples=sizes[made % len(sizes)])) is not Append.FULL:
                    made += 1
        ids = window.draw(len(drawn))
        if ids is not None:
            assert len(set(ids)) == 2
            drawn.append(ids)
            assert [entry.group.id for entry in buffer.fetch(ids)] == ids
            buffer.commit(len(drawn))
    assert len(drawn) == steps
    if max_uses:
        used = [key for ids in drawn for key in ids]
        assert max(used.count(key) for key in used) <= max_uses
