"""The trusted judge: runs a program on a problem's tests in sandboxed children and compares what comes back.

Expected answers stay here. What a child sends is plain data: it is decoded and compared, never evaluated.
"""

from __future__ import annotations

import json
import math
import os
from types import TracebackType
from typing import Self

from contracts.errors import UserError
from contracts.records import Outcome, Problem, Test, TestResult, Verdict
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.confine import Limits
from executors.running import Running, Unprepared
from executors.schedule import Judged, run_all
from executors.spans import ErrorReport, locate_error, locate_syntax
from executors.watch import Child
from executors.worker import Worker, ZygoteDied

_SPARE_CPU_SECONDS = 10
_MESSAGE = 300
_CANARY, _CANARY_TESTS = "print(1)", (Test("", "1"),)


class Executor:
    """Programs → verdicts, one at a time, by one warm zygote.

    Raises UserError where this machine cannot isolate programs, unless the recipe allows that in so many words.
    """

    def __init__(self, config: ExecutorsConfig, rewards: RewardsConfig) -> None:
        check_isolation(config)
        self.config = config
        self.rewards = rewards
        self._worker = Worker(
            Limits(
                cpu_seconds=math.ceil(config.cpu_seconds * (config.max_tests + 1)) + _SPARE_CPU_SECONDS,
                address_space=(4 * config.memory_mb << 20) + (4 << 30),
                output=config.output_mb << 20,
            )
        )

    def judge(self, problem: Problem, text: str, *, hidden: bool = False) -> Verdict:
        """The verdict on a program by the problem's tests, or by its hidden tests where it has some and `hidden` is set.

        Raises UserError for a problem without tests, and nothing else, whatever the program does. A zygote that dies is
        replaced and the program judged once more; the program is to blame for a second death, if each time the new zygote
        judges a known program right.
        """
        tests = (problem.hidden_tests if hidden else ()) or problem.tests
        tests = tests[: self.config.max_tests]
        if not tests:
            raise UserError(f"problem {problem.id} has no tests", "Leave it out: without tests nothing can be judged")
        for _ in range(2):
            try:
                return self._verdict(problem.fn_name, text, tests)
            except (ZygoteDied, OSError):
                if not self._recovers():
                    return Verdict(outcome=Outcome.SANDBOX_ERROR, message="no zygote judges any program", total=len(tests))
        error = ErrorReport("disallowed", message="the program ended the process that it was forked from")
        return self._ran([Judged(Outcome.RUNTIME_ERROR, 0.0, error), *_unrun(len(tests) - 1)], text)

    def _recovers(self) -> bool:
        """Replace the zygote: does the new one judge a known program right?"""
        try:
            self._worker.restart()
            return self._verdict(None, _CANARY, _CANARY_TESTS).outcome is Outcome.PASS
        except (ZygoteDied, OSError):
            return False

    def close(self) -> None:
        """End the zygote."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _verdict(self, fn_name: str | None, text: str, tests: tuple[Test, ...]) -> Verdict:
        task = {"text": text, "fn_name": fn_name, "prelude": self.config.prelude, "longest": self.config.output_mb << 20}
        job = json.dumps(task).encode("ascii")

        def start() -> Running:
            return Running(Child(self._worker, self.config, job), fn_name, tests, self.config)

        try:
            results = run_all(len(tests), start)
        except Unprepared as err:
            return self._unprepared(err, text, len(tests))
        return self._ran(results, text)

    def _unprepared(self, err: Unprepared, text: str, total: int) -> Verdict:
        if isinstance(err.cause, ErrorReport):
            return self._ran([Judged(Outcome.RUNTIME_ERROR, err.seconds, err.cause), *_unrun(total - 1)], text)
        category, span = locate_syntax(err.cause, text, self.rewards.categories)
        return Verdict(
            outcome=Outcome.SYNTAX_ERROR,
            error_type=err.cause.type,
            message=err.cause.message,
            total=total,
            category=category,
            span=span,
            seconds=err.seconds,
        )

    def _ran(self, results: list[Judged], text: str) -> Verdict:
        error = next((result.error for result in results if result.error), None)
        outcomes = [result.outcome for result in results]
        outcome, category, span = Outcome.PASS, None, None
        if error is not None:
            outcome = Outcome.RUNTIME_ERROR
            category, span = locate_error(error, text, self.rewards.categories)
        elif Outcome.FAILURE in outcomes:
            outcome = Outcome.FAILURE
        return Verdict(
            outcome=outcome,
            detail=error.detail if error else None,
            error_type=error.type[:_MESSAGE] if error and error.type else None,
            message=error.message[:_MESSAGE] if error else "",
            passed=outcomes.count(Outcome.PASS),
            total=len(results),
            tests=tuple(TestResult(result.outcome, result.seconds) for result in results),
            category=category,
            span=span,
            seconds=sum(result.seconds for result in results),
        )


def check_isolation(config: ExecutorsConfig) -> None:
    """Raises UserError where this machine lacks what isolation needs and the recipe doesn't allow that."""
    missing = missing_baseline()
    if missing and not config.allow_weak_isolation:
        raise UserError(
            f"this machine cannot isolate programs: it lacks {', '.join(missing)}",
            "Run on Linux 5.3 or newer, or set executors.allow_weak_isolation=true if every program is trusted",
        )


def missing_baseline() -> list[str]:
    """What the executors' isolation needs and this machine lacks."""
    missing = [name for name in ("memfd_create", "pidfd_open") if not hasattr(os, name)]
    if missing:
        return missing
    try:
        os.close(os.pidfd_open(os.getpid()))
        os.close(os.memfd_create("probe"))
    except OSError as err:
        return [str(err)]
    return []


def _unrun(count: int) -> list[Judged]:
    return [Judged(Outcome.RUNTIME_ERROR, 0.0)] * count
