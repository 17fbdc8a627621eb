"""Held-out programs by both kinds of test: those that training sees, and the hidden ones, which decide."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from contracts.records import Outcome, Problem, Verdict
from executors.labels import Judges
from executors.pool import Job


class Judged(NamedTuple):
    """A held-out program's verdict."""

    verdict: Verdict
    """By the hidden tests, where the problem has some."""
    visible: bool | None
    """Does it pass the visible tests? None where there are no hidden ones beside them, and where the executor failed."""


def judge_both(judges: Judges, programs: Iterable[tuple[Problem, str]]) -> Iterator[Judged]:
    """One result per (problem, code), in order; programs are taken as they are needed.

    Where there are hidden tests the program runs twice, on the visible ones first: which of the two it passes says nothing about
    the other. Raises what `judge_all` raises.
    """
    twice: deque[bool] = deque()

    def jobs() -> Iterator[Job]:
        for problem, code in programs:
            twice.append(bool(problem.hidden_tests))
            if problem.hidden_tests:
                yield Job(problem, code)
            yield Job(problem, code, hidden=True)

    verdicts = judges.judge_all(jobs())
    for first in verdicts:
        if not twice.popleft():
            yield Judged(first, None)
            continue
        yield Judged(next(verdicts), None if first.outcome is Outcome.SANDBOX_ERROR else first.outcome is Outcome.PASS)
