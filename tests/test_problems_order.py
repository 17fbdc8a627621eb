"""The order of problems: a pure function of seed and position, one permutation an epoch, no problem twice in a batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from problems.order import ProblemOrder

SIZES = st.integers(1, 40)
BATCHES = st.integers(1, 40)
SEEDS = st.integers(0, 2**31)


def ids_of(size: int) -> list[str]:
    return [f"p{at}" for at in range(size)]


@given(SIZES, BATCHES, SEEDS)
def test_every_epoch_is_a_permutation(size: int, batch: int, seed: int) -> None:
    order = ProblemOrder(ids_of(size), seed, batch)
    row = [id_ for position in range(3 * size // batch + 1) for id_ in order.batch_at(position)]
    for epoch in range(3):
        assert sorted(row[epoch * size : (epoch + 1) * size]) == sorted(ids_of(size))


@given(SIZES, BATCHES, SEEDS, st.integers(0, 300))
def test_no_problem_is_twice_in_a_batch_if_there_are_enough(size: int, batch: int, seed: int, position: int) -> None:
    drawn = ProblemOrder(ids_of(size), seed, batch).batch_at(position)
    assert len(drawn) == batch
    assert len(set(drawn)) == batch or batch > size


@given(SIZES, BATCHES, SEEDS, st.lists(st.integers(0, 200), min_size=1, max_size=6))
def test_a_batch_depends_on_its_position_only(size: int, batch: int, seed: int, positions: list[int]) -> None:
    one = ProblemOrder(ids_of(size), seed, batch)
    in_any_order = [one.batch_at(position) for position in positions]
    assert in_any_order == [ProblemOrder(ids_of(size), seed, batch).batch_at(position) for position in positions]


def test_resuming_far_out_equals_going_there() -> None:
    ids = ids_of(101)
    walked = ProblemOrder(ids, 5, 32)
    for position in range(2000):
        batch = walked.batch_at(position)
    assert ProblemOrder(ids, 5, 32).batch_at(1999) == batch


def test_seeds_and_epochs_differ() -> None:
    ids = ids_of(50)
    order = ProblemOrder(ids, 1, 50)
    assert order.batch_at(0) != order.batch_at(1)
    assert order.batch_at(0) != ProblemOrder(ids, 2, 50).batch_at(0)
