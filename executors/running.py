"""A program in a child, its answers compared: raw reports become results.

A report is the program's own word. It is decoded into plain data, never evaluated, and one that makes no sense is DISALLOWED.
"""

from __future__ import annotations

import os
import signal

import msgspec

from contracts.records import Outcome, Test
from contracts.sections import ExecutorsConfig
from executors import plain
from executors.compare import same_output, same_value
from executors.schedule import Judged
from executors.spans import ErrorReport, SyntaxReport
from executors.watch import Child, Ended, Ran


class _Report(msgspec.Struct, frozen=True):
    """A child's report: its first line."""

    syntax: SyntaxReport | None = None
    error: ErrorReport | None = None
    thread_error: ErrorReport | None = None
    spent: bool = False


class Unprepared(Exception):
    """The program never came to its first test: it doesn't compile, or compiling went too far."""

    def __init__(self, cause: SyntaxReport | ErrorReport, seconds: float) -> None:
        self.cause = cause
        self.seconds = seconds


class Running:
    """One child with a compiled program, its results compared. Raises Unprepared for a program that doesn't get so far."""

    def __init__(self, child: Child, fn_name: str | None, tests: tuple[Test, ...], config: ExecutorsConfig) -> None:
        self._child = child
        self._fn_name = fn_name
        self._tests = tests
        self._config = config
        try:
            self._prepare()
        except BaseException:
            child.close()
            raise

    def _prepare(self) -> None:
        ran = self._child.prepare()
        if ran.ended is not Ended.REPORTED:
            raise Unprepared(_ending(ran), ran.seconds)
        report, _ = _read(ran.report)
        if report is None:
            raise Unprepared(_DISALLOWED, ran.seconds)
        if report.syntax is not None:
            raise Unprepared(report.syntax, ran.seconds)

    def test(self, index: int) -> Judged:
        """Run and compare one test."""
        test = self._tests[index]
        feed = plain.encode(test.input) if self._fn_name else test.input.encode("utf-8", "surrogatepass")
        ran = self._child.run(feed)
        if ran.ended is not Ended.REPORTED:
            if ran.ended is Ended.DIED and ran.status == 0 and not self._fn_name:
                return self._answered(ran, test, b"", usable=False)
            return Judged(Outcome.RUNTIME_ERROR, ran.seconds, _ending(ran), usable=False, doubtful=ran.doubtful)
        report, value = _read(ran.report)
        error = _DISALLOWED if report is None else report.error
        if report is None or error is not None:
            return Judged(Outcome.RUNTIME_ERROR, ran.seconds, error, usable=False)
        tested = self._answered(ran, test, value, usable=not report.spent)
        if tested.outcome is not Outcome.PASS and report.thread_error is not None:
            return Judged(Outcome.RUNTIME_ERROR, ran.seconds, report.thread_error, usable=False)
        return tested

    def close(self) -> None:
        """End the child."""
        self._child.close()

    def _answered(self, ran: Ran, test: Test, value: bytes, *, usable: bool) -> Judged:
        if self._fn_name:
            try:
                answer = plain.decode_answer(value, plain.size(test.expected))  # a larger one is wrong in any case
                right = same_value(answer, test.expected, self._config.compare)
            except plain.NotPlain:
                right = False
        else:
            right = same_output(ran.out.decode("utf-8", "surrogateescape"), test.expected, self._config.compare)
        return Judged(Outcome.PASS if right else Outcome.FAILURE, ran.seconds, usable=usable)


_DISALLOWED = ErrorReport("disallowed", message="the program broke into its own reports")


def _read(payload: bytes) -> tuple[_Report | None, bytes]:
    """A report and the encoded value behind it; None for bytes that are no report."""
    head, _, value = payload.partition(b"\n")
    try:
        return msgspec.json.decode(head, type=_Report), value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, b""


def _ending(ran: Ran) -> ErrorReport:
    """The error of a child that ended without a report."""
    match ran.ended:
        case Ended.TIMEOUT:
            return ErrorReport("timeout", message="time limit exceeded")
        case Ended.MEMORY:
            return ErrorReport("memory", message="memory limit exceeded")
        case Ended.DISALLOWED:
            return _DISALLOWED
        case Ended.OUTPUT_LIMIT:
            return ErrorReport("output_limit", message="output limit exceeded")
    if os.WIFSIGNALED(ran.status):
        return ErrorReport("exit", message=f"killed: {signal.strsignal(os.WTERMSIG(ran.status))}")
    return ErrorReport("exit", message=f"exit code {os.WEXITSTATUS(ran.status)}")
