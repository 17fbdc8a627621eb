"""In which child each test runs: all in one, unless a crash or leaked state says otherwise. A pure state machine.

Where a child ends early the rest runs in a new one. The first failing test is run again alone, unless it was the first in its
child: an earlier test may have left state behind. If it passes alone, each remaining test gets a child of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from contracts.records import Detail, Outcome
from executors.spans import ErrorReport

MAX_TIMEOUTS = 2
"""Time-outs after which the remaining tests are not run: they count as RUNTIME_ERROR, with 0 seconds."""


class Judged(NamedTuple):
    """One test's result, with the error that ended it."""

    outcome: Outcome
    seconds: float
    error: ErrorReport | None = None
    doubtful: bool = False
    """To be run again once."""
    told: str = ""
    """What is wrong with a wrong answer."""


UNRUN = Judged(Outcome.RUNTIME_ERROR, 0.0)
Run = Callable[[Sequence[int], bool], list[Judged]]
"""Run tests in this order in a new child: results of at least the first of them; only of that where so asked.

Where only one result is wanted the child is given the other tests all the same: a program must not be able to tell that it is
being asked again, or it could answer otherwise.
"""


def run_all(count: int, run: Run) -> list[Judged]:
    """The results of tests 0 … count − 1."""
    results: list[Judged] = []
    is_confirmed = alone = False
    while len(results) < count:
        if sum(result.error is not None and result.error.detail is Detail.TIMEOUT for result in results) >= MAX_TIMEOUTS:
            return results + [UNRUN] * (count - len(results))
        start = len(results)
        order = _from(start, count) if alone else range(start, count)
        for place, result in enumerate(run(order, alone), start):
            confirming = result.outcome is not Outcome.PASS and place > start and not is_confirmed
            is_confirmed = is_confirmed or result.outcome is not Outcome.PASS
            if result.doubtful or confirming:
                result = run(_from(place, count), True)[0]
                alone = alone or (result.outcome is Outcome.PASS and confirming)
            results.append(result)
            if alone:
                break
    return results


def _from(first: int, count: int) -> list[int]:
    """This test, then all others."""
    return [first, *(index for index in range(count) if index != first)]
