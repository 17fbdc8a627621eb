"""The learner's window on the FIFO."""

from __future__ import annotations

import pytest

from buffer.memory import MemoryBuffer
from buffer.window import Window
from contracts.sections import BufferConfig
from tests.factories import labelled


def filled(config: BufferConfig, keys: str, version: int = 0) -> MemoryBuffer:
    buffer = MemoryBuffer(config)
    for key in keys:
        buffer.append(labelled(key, version=version))
    return buffer


def test_steps_draw_without_replacement_in_an_order_from_the_seed() -> None:
    config = BufferConfig(refresh_every=50)
    orders = []
    for seed in (1, 1, 2):
        window = Window(filled(config, "abcdefgh"), config, 2, seed)
        orders.append([key for step in range(4) for key in window.draw(step) or []])
    assert sorted(orders[0]) == list("abcdefgh")
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != list("abcdefgh")


def test_too_few_groups_mean_wait_and_cost_nothing() -> None:
    config = BufferConfig()
    buffer = filled(config, "a")
    window = Window(buffer, config, 2, 0)
    assert window.draw(0) is None
    assert [waiting.id for waiting in buffer.waiting()] == ["a"]
    buffer.append(labelled("b"))
    assert sorted(window.draw(0) or []) == ["a", "b"]


def test_groups_that_come_during_a_window_wait_for_the_next_refresh() -> None:
    config = BufferConfig(refresh_every=2, max_uses=0)
    buffer = filled(config, "abcdefgh")
    window = Window(buffer, config, 2, 0)
    first = window.draw(0) or []
    for key in "ijklmnopqrstuvwxyz":
        buffer.append(labelled(key))
    assert set(window.draw(1) or []) <= set("abcdefgh") - set(first)
    third = [key for step in (2, 3) for key in window.draw(step) or []]
    assert set(third) & set("ijklmnopqrstuvwxyz")


def test_exhausted_refresh_takes_what_is_there_after_what_is_left() -> None:
    config = BufferConfig(refresh_every=50)
    buffer = filled(config, "abc")
    window = Window(buffer, config, 2, 0)
    first = window.draw(0) or []
    buffer.append(labelled("d"))
    assert sorted([*first, *(window.draw(1) or [])]) == list("abcd")


def test_exhausted_reshuffle_draws_the_same_window_again() -> None:
    config = BufferConfig(refresh_every=50, on_exhausted="reshuffle", max_uses=0)
    buffer = filled(config, "abcd")
    window = Window(buffer, config, 2, 0)
    drawn = [sorted((window.draw(step) or []) + (window.draw(step + 1) or [])) for step in (0, 2)]
    buffer.append(labelled("e"))
    assert drawn == [list("abcd"), list("abcd")]
    assert "e" not in [*(window.draw(4) or []), *(window.draw(5) or [])]


def test_exhausted_wait_waits_for_a_window_of_new_groups() -> None:
    config = BufferConfig(refresh_every=2, on_exhausted="wait")
    buffer = filled(config, "ab")
    window = Window(buffer, config, 2, 0)
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
    window = Window(buffer, config, 2, 0)
    assert sorted(window.draw(4) or []) == ["c", "d"]
    assert buffer.counts().evicted == {"lag": 4}


def test_groups_displaced_since_the_refresh_are_replaced() -> None:
    config = BufferConfig(capacity=8, refresh_every=50)
    buffer = filled(config, "abcd")
    window = Window(buffer, config, 2, 0)
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
    window = Window(buffer, config, 2, 7)
    drawn = [window.draw(step) for step in range(stop)]
    state = window.state()
    state = {key: list(value) if isinstance(value, list) else value for key, value in state.items()}
    rest = [window.draw(step) for step in range(stop, 6)]
    buffer.rewind(stop)
    again = Window(buffer, config, 2, 7)
    again.restore(state)
    assert [*drawn, *(again.draw(step) for step in range(stop, 6))] == [*drawn, *rest]
