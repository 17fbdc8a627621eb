"""In which child each test runs: all in one, unless a crash or leaked state says otherwise. A pure state machine.

After a crash the rest runs in a new child. The first failing test that was not the first in its child is run again alone, since
an earlier test may have left state behind; if it passes alone, each remaining test gets a child of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple, Protocol

from contracts.records import Detail, Outcome
from executors.spans import ErrorReport

MAX_TIMEOUTS = 2
"""Time-outs after which the remaining tests are not run: they count as RUNTIME_ERROR, with 0 seconds."""


class Judged(NamedTuple):
    """One test's result, with the error that ended it."""

    outcome: Outcome
    seconds: float
    error: ErrorReport | None = None
    usable: bool = True
    """May the child run another test?"""
    doubtful: bool = False
    """To be run again once."""


class Child(Protocol):
    """A process with the program."""

    def test(self, index: int) -> Judged:
        """Run one test."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def run_all(count: int, start: Callable[[], Child]) -> list[Judged]:
    """The results of tests 0 … count − 1. One child lives at a time; each is closed once, whatever is raised."""
    results: list[Judged] = []
    child: Child | None = None
    is_confirmed = alone = False
    with ExitStack() as current:

        def renew() -> Child:
            current.close()
            started = start()
            current.callback(started.close)
            return started

        for index in range(count):
            if sum(result.error is not None and result.error.detail is Detail.TIMEOUT for result in results) >= MAX_TIMEOUTS:
                results.append(Judged(Outcome.RUNTIME_ERROR, 0.0))
                continue
            is_first = child is None or alone or not results[-1].usable
            if child is None or is_first:
                child = renew()
            result = child.test(index)
            if result.doubtful or (result.outcome is not Outcome.PASS and not is_first and not is_confirmed):
                is_confirmed = is_confirmed or not is_first
                child = renew()
                again = child.test(index)
                alone = alone or (again.outcome is Outcome.PASS and not is_first)
                result = again
            results.append(result)
    return results
