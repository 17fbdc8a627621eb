"""A program in a child, its answers compared: raw reports become results.

A report is the program's own word. It is decoded into plain data, never evaluated, and one that makes no sense is DISALLOWED.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, NamedTuple, TypeVar

import msgspec

from contracts.records import Outcome, Test, TestKind
from contracts.sections import ExecutorsConfig
from executors import plain, telling
from executors.compare import same_output, same_value
from executors.exchange import framed
from executors.schedule import Judged
from executors.spans import ErrorReport, SyntaxReport
from executors.watch import Bounds, Child, Ended, Ran, coarse
from executors.worker import Worker

_SLACK, _SLACK_FACTOR = 65536, 16
"""An answer may be so many bytes, and so many times as long as the right one, before it is wrong unread."""
_SHOWN = 1000
"""Values that a wrong answer may have, however few the right one has, to be told."""

R = TypeVar("R", bound=msgspec.Struct)


class Report(msgspec.Struct, frozen=True):
    """A child's report: its first line."""

    syntax: SyntaxReport | None = None
    """The program does not compile."""
    error: ErrorReport | None = None
    thread_error: ErrorReport | None = None
    """Of a thread that nobody waited for; it counts where the answer is wrong."""
    failed: str | None = None
    """What an assertion said, in a test that shares the program's process."""
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    out: int = 0
    """How far stdout has grown."""


class _Unsent(msgspec.Struct, frozen=True):
    """What stands for a value that is no plain data."""

    foreign: str


class Unprepared(Exception):
    """The program never came to its first test: it doesn't compile, or compiling went too far."""

    def __init__(self, cause: SyntaxReport | ErrorReport, seconds: float) -> None:
        self.cause = cause
        self.seconds = seconds


class Task(NamedTuple):
    """A program with the tests that it is judged by."""

    text: str
    name: str
    """What people call such a test."""
    kind: TestKind
    fn_name: str | None
    tests: tuple[Test, ...]
    inputs: tuple[bytes, ...]
    """The tests' inputs as a child gets them."""
    sizes: tuple[int, ...]
    """Bytes of the right answers."""
    bounds: Bounds
    config: ExecutorsConfig

    def job(self, kind: str, inputs: Sequence[bytes] = ()) -> bytes:
        """What a child reads from its feed."""
        sizes = [len(given) for given in inputs]
        head = {"kind": kind, "text": self.text, "entry": self.fn_name, "sizes": sizes}
        return framed({**head, "longest": coarse(self.bounds.output)}, b"".join(inputs))


Judge = Callable[[Report, bytes, bytes, Task, str, int], Judged]
"""(report, returned value, what was printed, task, kind, number of the test) → its result."""


def run_batch(
    worker: Worker, task: Task, kind: str, order: Sequence[int], only_first: bool, judged: Judge | None = None
) -> list[Judged]:
    """Run tests in one new child and compare: results of those that it came to, the one that ended it included.

    `judged` makes a reported test's result, in place of the comparison. Raises Unprepared for a program that doesn't get to its
    tests, ZygoteDied where the machine fails.
    """
    child = Child(worker, task.bounds, task.job(kind, [task.inputs[index] for index in order]), 1 + len(order))
    try:
        ran = child.wait(2 if only_first else None)
    finally:
        child.close()
    prepared, *rest = ran.reports or [b""]
    check_prepared(prepared, ran)
    judged = judged or _judged
    wanted = order[:1] if only_first else order
    results: list[Judged] = []
    printed = 0
    for index, payload in zip(wanted, rest, strict=False):
        report, value = read(payload, Report)
        if report is not None and report.out >= task.bounds.output:  # whether the judge looked in time or not
            return [*results, Judged(Outcome.RUNTIME_ERROR, report.seconds, FLOOD)]
        if report is None or not printed <= report.out <= len(ran.out):
            return [*results, Judged(Outcome.RUNTIME_ERROR, ran.seconds, DISALLOWED)]
        results.append(judged(report, value, ran.out[printed : report.out], task, kind, index))
        printed = report.out
    if ran.ended is not Ended.REPORTED and len(results) < len(wanted):
        results.append(_ended(ran, ran.out[printed:], task, kind, order[len(results)], judged))
    return results or [Judged(Outcome.RUNTIME_ERROR, ran.seconds, DISALLOWED)]


def check_prepared(payload: bytes, ran: Ran) -> None:
    """Raises Unprepared unless the child's first report says that the program compiles."""
    if not payload:
        raise Unprepared(ending(ran), ran.seconds)
    report, _ = read(payload, Report)
    if report is None:
        raise Unprepared(DISALLOWED, ran.seconds)
    if report.syntax is not None:
        raise Unprepared(report.syntax, ran.seconds)


def _judged(report: Report, value: bytes, out: bytes, task: Task, kind: str, index: int) -> Judged:
    """One reported test's result. What is much longer than the right answer is wrong; reading it would be the judge's time."""
    if report.seconds > task.bounds.cpu_seconds:
        return Judged(Outcome.RUNTIME_ERROR, report.seconds, TIMEOUT)
    if report.error is not None:
        return Judged(Outcome.RUNTIME_ERROR, report.seconds, report.error)
    fault = _fault(report, out if kind == "stdin" else value, task, kind, index)
    if fault is not None and report.thread_error is not None:
        return Judged(Outcome.RUNTIME_ERROR, report.seconds, report.thread_error)
    if fault is not None:
        return Judged(Outcome.FAILURE, report.seconds, told=fault)
    return Judged(Outcome.PASS, report.seconds)


def _fault(report: Report, answer: bytes, task: Task, kind: str, index: int) -> str | None:
    """What is wrong with an answer, None for a right one."""
    test, strict = task.tests[index], task.config.compare == "strict"
    if kind not in ("stdin", "call"):
        return None if report.failed is None else telling.failed_assertion(test.input, report.failed)
    if len(answer) > _SLACK + _SLACK_FACTOR * task.sizes[index]:
        return telling.much_longer(answer, test.expected)
    if kind == "stdin":
        output, same_line = answer.decode("utf-8", "surrogateescape"), partial(same_output, mode=task.config.compare)
        if same_line(output, test.expected):
            return None
        return telling.wrong_output(output, test.expected, test.input, same_line if strict else None)
    call, same = partial(telling.call_of, task.fn_name or "", test.input), partial(same_value, mode=task.config.compare)
    try:
        value = plain.decode_answer(answer, max(plain.size(test.expected), _SHOWN))  # what has more is wrong in any case
        return None if same(value, test.expected) else telling.wrong_value(value, test.expected, call(), same if strict else None)
    except plain.NotPlain:
        unsent, _ = read(answer, _Unsent)
        return telling.no_answer(unsent.foreign if unsent else None, test.expected, call())


def _ended(ran: Ran, out: bytes, task: Task, kind: str, index: int, judged: Judge) -> Judged:
    """The result of the test that ended its child: the output of one that exits with 0 still counts."""
    if ran.ended is Ended.DIED and ran.status == 0 and kind == "stdin":
        return judged(Report(seconds=ran.seconds), b"", out, task, kind, index)
    return Judged(Outcome.RUNTIME_ERROR, ran.seconds, ending(ran), doubtful=ran.doubtful)


DISALLOWED = ErrorReport("disallowed", message="the program broke into its own reports")
TIMEOUT = ErrorReport("timeout", message="time limit exceeded")
FLOOD = ErrorReport("output_limit", message="output limit exceeded")


def read(payload: bytes, kind: type[R]) -> tuple[R | None, bytes]:
    """A report of this kind and what is behind it; None for bytes that are no such report."""
    head, _, value = payload.partition(b"\n")
    try:
        return msgspec.json.decode(head, type=kind), value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, b""


def ending(ran: Ran) -> ErrorReport:
    """The error of a child that ended without a report, or said that it was done without one."""
    match ran.ended:
        case Ended.TIMEOUT:
            return TIMEOUT
        case Ended.MEMORY:
            return ErrorReport("memory", message="memory limit exceeded")
        case Ended.OUTPUT_LIMIT:
            return FLOOD
        case Ended.REPORTED | Ended.DISALLOWED:
            return DISALLOWED
    if os.WIFSIGNALED(ran.status):
        name = signal.strsignal(os.WTERMSIG(ran.status))
        if os.WTERMSIG(ran.status) == signal.SIGSYS:
            return ErrorReport("disallowed", message="a system call of another architecture")
        return ErrorReport("exit", message=f"killed: {name}")
    return ErrorReport("exit", message=f"exit code {os.WEXITSTATUS(ran.status)}")
