"""In which child each test runs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import Outcome
from executors.schedule import Judged, run_all
from executors.spans import ErrorReport

PASS = Judged(Outcome.PASS, 0.1)
WRONG = Judged(Outcome.FAILURE, 0.1)
CRASH = Judged(Outcome.RUNTIME_ERROR, 0.1, ErrorReport("exit"))
SLOW = Judged(Outcome.RUNTIME_ERROR, 2.0, ErrorReport("timeout"))


class Children:
    """A program as a table: what each test gives in a used child and in a new one; `log` shows which child was to run what.

    A child ends with a crash or a time-out.
    """

    def __init__(self, used: list[Judged], new: dict[int, Judged] | None = None) -> None:
        self.used, self.new = used, new or {}
        self.log: list[tuple[int, int]] = []

    def run(self, order: Sequence[int], only_first: bool) -> list[Judged]:
        first, *rest = order
        assert sorted(order) == list(range(len(self.used))) if only_first else list(order) == list(range(first, len(self.used)))
        self.log.append((first, first + 1 if only_first else len(self.used)))
        results = [self.new.get(first, self.used[first]), *(self.used[index] for index in rest if not only_first)]
        ends = (place for place, result in enumerate(results) if result.error is not None)
        return results[: next(ends, len(results)) + 1]


@pytest.mark.parametrize(
    ("children", "log", "outcomes"),
    [
        (Children([PASS] * 4), [(0, 4)], "pppp"),
        (Children([CRASH, PASS, PASS]), [(0, 3), (1, 3)], "rpp"),
        (Children([WRONG, PASS, WRONG]), [(0, 3)], "fpf"),
        (Children([PASS, WRONG, WRONG, PASS]), [(0, 4), (1, 2)], "pffp"),
        (Children([PASS, CRASH, PASS, CRASH, PASS]), [(0, 5), (1, 2), (2, 5), (4, 5)], "prprp"),
        (Children([PASS, WRONG, WRONG, CRASH], {1: PASS, 2: PASS, 3: PASS}), [(0, 4), (1, 2), (2, 3), (3, 4)], "pppp"),
        (Children([SLOW, PASS, SLOW, PASS], {}), [(0, 4), (1, 4)], "rprr"),
    ],
)
def test_order(children: Children, log: list[tuple[int, int]], outcomes: str) -> None:
    results = run_all(len(children.used), children.run)
    assert children.log == log
    assert "".join(result.outcome[0] for result in results) == outcomes


def test_a_doubtful_time_out_is_run_once_more() -> None:
    children = Children([PASS, SLOW._replace(doubtful=True), PASS], {1: PASS})
    assert [result.outcome[0] for result in run_all(3, children.run)] == ["p", "p", "p"]
    assert children.log[:2] == [(0, 3), (1, 2)]
    again = Children([SLOW._replace(doubtful=True), PASS])
    assert [result.outcome[0] for result in run_all(2, again.run)] == ["r", "p"]
    assert again.log == [(0, 2), (0, 1), (1, 2)]


def test_after_two_time_outs_the_rest_is_not_run() -> None:
    children = Children([SLOW] * 50)
    results = run_all(50, children.run)
    assert len(children.log) == 2
    assert len(results) == 50
    assert [result.seconds for result in results[1:4]] == [2.0, 0.0, 0.0]


@given(st.lists(st.sampled_from([PASS, WRONG, CRASH, SLOW]), min_size=1, max_size=12))
def test_without_leaks_each_test_keeps_its_own_result(used: list[Judged]) -> None:
    results = run_all(len(used), Children(used).run)
    slow = [place for place, result in enumerate(used) if result is SLOW][:2]
    known = slow[1] + 1 if len(slow) == 2 else len(used)
    assert results[:known] == used[:known]
    assert len(results) == len(used)
