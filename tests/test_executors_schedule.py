"""In which child each test runs."""

from __future__ import annotations

import pytest

from contracts.records import Outcome
from executors.schedule import Judged, run_all
from executors.spans import ErrorReport

PASS = Judged(Outcome.PASS, 0.1)
WRONG = Judged(Outcome.FAILURE, 0.1)
CRASH = Judged(Outcome.RUNTIME_ERROR, 0.1, ErrorReport("raised"), usable=False)
SLOW = Judged(Outcome.RUNTIME_ERROR, 2.0, ErrorReport("timeout"), usable=False)


class Children:
    """A program as a table: what each test gives in a used child and in a new one; `log` shows which child ran what."""

    def __init__(self, used: list[Judged], new: dict[int, Judged] | None = None) -> None:
        self.used, self.new = used, new or {}
        self.log: list[list[int]] = []
        self.open = 0

    def start(self) -> Children:
        assert self.open == 0
        self.open += 1
        self.log.append([])
        return self

    def test(self, index: int) -> Judged:
        self.log[-1].append(index)
        return self.new.get(index, self.used[index]) if len(self.log[-1]) == 1 else self.used[index]

    def close(self) -> None:
        self.open -= 1


@pytest.mark.parametrize(
    ("children", "log", "outcomes"),
    [
        (Children([PASS] * 4), [[0, 1, 2, 3]], "pppp"),
        (Children([CRASH, PASS, PASS]), [[0], [1, 2]], "rpp"),
        (Children([WRONG, PASS, WRONG]), [[0, 1, 2], [2]], "fpf"),
        (Children([PASS, CRASH, PASS, CRASH, PASS]), [[0, 1], [1], [2, 3], [4]], "prprp"),
        (Children([PASS, WRONG, WRONG, CRASH], {1: PASS, 2: PASS, 3: PASS}), [[0, 1], [1], [2], [3]], "pppp"),
        (Children([PASS, CRASH, PASS, PASS], {1: WRONG}), [[0, 1], [1, 2, 3]], "pfpp"),
        (Children([SLOW, PASS, SLOW, PASS], {}), [[0], [1, 2], [2]], "rprr"),
        (Children([PASS._replace(usable=False)] * 3), [[0], [1], [2]], "ppp"),
    ],
)
def test_order(children: Children, log: list[list[int]], outcomes: str) -> None:
    results = run_all(len(children.used), children.start)
    assert children.log == log
    assert "".join(result.outcome[0] for result in results) == outcomes
    assert children.open == 0


def test_a_doubtful_time_out_is_run_once_more() -> None:
    children = Children([PASS, SLOW._replace(doubtful=True), PASS])
    assert [result.outcome[0] for result in run_all(3, children.start)] == ["p", "r", "p"]
    assert children.log == [[0, 1], [1], [2]]


def test_children_are_closed_when_one_fails_to_run() -> None:
    class Broken(Children):
        def test(self, index: int) -> Judged:
            raise KeyError(index)

    broken = Broken([PASS])
    with pytest.raises(KeyError):
        run_all(1, broken.start)
    assert broken.open == 0


@pytest.mark.parametrize("place", ["start", "close"])
def test_each_child_is_closed_once_where_changing_it_fails(place: str) -> None:
    class Broken(Children):
        def start(self) -> Children:
            if place == "start" and self.log:
                raise KeyError(place)
            return super().start()

        def close(self) -> None:
            super().close()
            if place == "close":
                raise KeyError(place)

    broken = Broken([CRASH, PASS])
    with pytest.raises(KeyError):
        run_all(2, broken.start)
    assert broken.open == 0
    assert broken.log == [[0]]
