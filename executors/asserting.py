"""Assert tests: the program in one child, the tests in another, and the judge between them.

The tests' child asks for calls, the program's child makes them; what goes between is bytes that neither side evaluates, and that
the judge only passes on. Tests that need the program's own objects run in its process: their verdict is of low trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from contracts.records import Outcome
from executors.exchange import framed
from executors.running import DISALLOWED, TIMEOUT, Report, Task, check_prepared, ending, read, run_batch
from executors.schedule import Judged
from executors.spans import ErrorReport
from executors.watch import Child, Ended, Mark, Ran
from executors.worker import Worker


class _Step(msgspec.Struct, frozen=True):
    """A report of the tests' child."""

    call: bool = False
    ended: str | None = None
    message: str = ""


class Asserting:
    """Runs a problem's assert tests on a program, in children of two workers."""

    def __init__(self, worker: Worker, testing: Worker, task: Task, setup: str) -> None:
        self._worker = worker
        self._testing = testing
        self._task = task
        self._setup = setup
        self.shared = False
        """Has a test run in the program's own process?"""

    def run(self, order: Sequence[int], only_first: bool) -> list[Judged]:
        """Run tests as executors/schedule.py asks; the program sees calls, never how many tests. Raises as run_batch does."""
        if self.shared:
            return self._run_shared(order, only_first)
        results: list[Judged] = []
        with ExitStack() as children:
            program = Child(self._worker, self._task.bounds, self._task.job("serving"))
            children.callback(program.close)
            ran = program.wait()
            check_prepared(ran.reports[0] if ran.reports else b"", ran)
            job = {"kind": "tests", "text": self._setup, "entry": self._task.fn_name}
            tests = Child(self._testing, self._task.bounds, framed(job))
            children.callback(tests.close)
            tests.wait()
            for index in order[:1] if only_first else order:
                result, goes_on = _Test(program, tests, self._task).run(self._task.inputs[index])
                if result is None:
                    self.shared = True
                    break
                results.append(result)
                if not goes_on:
                    break
        return results or self._run_shared(order, only_first)

    def _run_shared(self, order: Sequence[int], only_first: bool) -> list[Judged]:
        inputs = tuple(f"{self._setup}\n".encode("utf-8", "surrogatepass") + source for source in self._task.inputs)
        return run_batch(self._worker, self._task._replace(inputs=inputs), "shared", order, only_first)


class _Test:
    """One assert test, from the program's beginning to the test's end."""

    def __init__(self, program: Child, tests: Child, task: Task) -> None:
        self._program = program
        self._tests = tests
        self._limit = task.bounds.cpu_seconds
        self._seconds = 0.0
        self._began: Mark | None = None
        self._error: ErrorReport | None = None

    def run(self, source: bytes) -> tuple[Judged | None, bool]:
        """The result, None where the test needs the program's own objects; and whether both children can go on."""
        began = self._ask_program(framed({"begin": True}))
        if isinstance(began, Judged):
            return began, self._error is not None
        testing: Mark | None = None
        request = framed({"run": True}, source)
        while True:
            ran = self._tests.ask(request, testing)
            testing = ran.mark
            step, payload = _read(ran)
            if step is None:
                return self._judged(Outcome.RUNTIME_ERROR, ending(ran)), False
            if not step.call:
                return self._ended(step)
            answer = self._ask_program(framed({"call": True}, payload))
            if isinstance(answer, Judged) and self._error is None:
                return answer, False
            request = answer if isinstance(answer, bytes) else framed({"error": _named(self._error)})

    def _ended(self, step: _Step) -> tuple[Judged | None, bool]:
        match step.ended:
            case "passed":
                return self._judged(Outcome.PASS), True
            case "raised" if self._error is not None:
                return self._judged(Outcome.RUNTIME_ERROR, self._error), True
            case "shared":
                return None, True
        return self._judged(Outcome.FAILURE, told=step.message), True

    def _ask_program(self, request: bytes) -> bytes | Judged:
        """The answer as a request to the tests' child, or the result that ends this test (`_error` says if only this one)."""
        self._error = None
        ran = self._program.ask(request, self._began)
        self._began, self._seconds = ran.mark, ran.seconds
        if ran.ended is not Ended.REPORTED or len(ran.reports) != 1:
            return self._judged(Outcome.RUNTIME_ERROR, ending(ran))
        report, value = read(ran.reports[0], Report)
        if report is None:
            return self._judged(Outcome.RUNTIME_ERROR, DISALLOWED)
        if self._seconds > self._limit:
            return self._judged(Outcome.RUNTIME_ERROR, TIMEOUT)
        if report.error is not None:
            self._error = report.error
            return self._judged(Outcome.RUNTIME_ERROR, report.error)
        return framed({}, value)

    def _judged(self, outcome: Outcome, error: ErrorReport | None = None, told: str = "") -> Judged:
        return Judged(outcome, self._seconds, error, told=told)


def _named(error: ErrorReport | None) -> dict[str, str]:
    return {"type": error.type or "Exception", "message": error.message} if error else {}


def _read(ran: Ran) -> tuple[_Step | None, bytes]:
    if ran.ended is not Ended.REPORTED or len(ran.reports) != 1:
        return None, b""
    return read(ran.reports[0], _Step)
