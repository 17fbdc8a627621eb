"""Held-out programs by visible and hidden tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from contracts.records import Outcome, Problem, Verdict
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.both import Judged, judge_both
from executors.pool import Job, Pool

ONE = (UnitTest("1\n", "1\n"),)
OPEN = Problem(id="open", question="", tests=ONE)
BOTH = Problem(id="both", question="", tests=ONE, hidden_tests=(UnitTest("2\n", "2\n"),))
OUTCOMES = {"p": Outcome.PASS, "f": Outcome.FAILURE, "x": Outcome.SANDBOX_ERROR}


class Judges:
    """Programs are two letters: what comes of the visible and of the hidden tests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool]] = []

    def judge_all(self, jobs: Iterable[Job]) -> Iterator[Verdict]:
        waiting = list(jobs)
        self.asked = [(job.problem.id, job.text, job.hidden) for job in waiting]
        for job in waiting:
            yield Verdict(outcome=OUTCOMES[job.text[job.hidden]])


def test_hidden_tests_decide_and_visible_ones_are_kept() -> None:
    judges = Judges()
    programs = [(BOTH, "pf"), (OPEN, "fp"), (BOTH, "fp"), (BOTH, "xp"), (BOTH, "px")]
    found = list(judge_both(judges, programs))
    assert [(judged.verdict.outcome.value, judged.visible) for judged in found] == [
        ("failure", True), ("pass", None), ("pass", False), ("pass", None), ("sandbox_error", True),
    ]  # fmt: skip
    assert judges.asked == [
        ("both", "pf", False), ("both", "pf", True), ("open", "fp", True), ("both", "fp", False), ("both", "fp", True),
        ("both", "xp", False), ("both", "xp", True), ("both", "px", False), ("both", "px", True),
    ]  # fmt: skip


def test_the_real_judges_run_both_kinds() -> None:
    with Pool(ExecutorsConfig(), RewardsConfig()) as pool:
        found = list(judge_both(pool, [(BOTH, "print(input())"), (BOTH, "print(1)"), (BOTH, "print(2)"), (OPEN, "print(1)")]))
    assert [(judged.verdict.outcome.value, judged.visible) for judged in found] == [
        ("pass", True), ("failure", True), ("pass", False), ("pass", None),
    ]  # fmt: skip
    assert isinstance(found[0], Judged)
