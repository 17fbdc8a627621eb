"""What programs answer, where nobody knows yet what is right: the judge's machinery without the comparison.

A program is run as any other: in the sandbox, all inputs in one child, each again alone where an earlier one may have spoilt it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from contracts.records import Detail, Outcome, Problem, Test
from executors import plain
from executors.judge import Executor
from executors.running import Report, Task, Unprepared, run_batch
from executors.schedule import UNRUN, Judged, run_all
from executors.worker import Worker, ZygoteDied

MOST_BYTES = 65536
"""Of an answer's text or encoding."""
_MOST_VALUES = 10_000
"""That an answer's containers hold."""


class Answer(NamedTuple):
    """A program's answer to one input, or why there is none that could be used."""

    value: Any = None
    """Text that was printed, or plain data that was returned, with sets as such."""
    problem: str | None = None
    """None where there is an answer; else `error`, `slow`, `unrun` after slow ones, or `unusable`: too long, not plain."""


def as_judged(value: Any) -> Any:
    """An answer's value in the form in which the judge compares returned ones: sets and dicts are not hashed."""
    if isinstance(value, dict):
        return plain.Unhashed(dict, [(key, as_judged(item)) for key, item in value.items()])
    if isinstance(value, set | frozenset):
        return plain.Unhashed(type(value), list(value))
    if isinstance(value, list | tuple):
        return type(value)(map(as_judged, value))
    return value


class Answers(Executor):
    """An executor that also tells what programs answer. Raises as Executor does."""

    def answers(self, problem: Problem, inputs: Sequence[Any], text: str) -> list[Answer]:
        """The program's answers to these inputs: texts for a stdin problem, lists of arguments for any other.

        Raises UserError for inputs that cannot be sent to a program. Where the machine fails twice all answers are errors.
        """
        tests = tuple(Test(given, "") for given in inputs)
        task = self._task(msgspec.structs.replace(problem, tests=tests, test_setup=None), tests, text, hidden=False)
        for _ in range(2):
            try:
                return self._collected(self._worker_of(problem, text), task)
            except (ZygoteDied, OSError):
                if not self._recovers():
                    break
        return [Answer(problem="error")] * len(inputs)

    def _collected(self, worker: Worker, task: Task) -> list[Answer]:
        kept: dict[int, Answer] = {}

        def judged(report: Report, value: bytes, out: bytes, task: Task, kind: str, index: int) -> Judged:
            if report.error is not None or report.thread_error is not None:
                return Judged(Outcome.RUNTIME_ERROR, report.seconds, report.error or report.thread_error)
            kept[index] = Answer(problem="slow") if report.seconds > task.bounds.cpu_seconds else _answer(kind, value, out)
            return Judged(Outcome.PASS, report.seconds)

        def run(order: Sequence[int], only_first: bool) -> list[Judged]:
            return run_batch(worker, task, task.kind.value, order, only_first, judged)

        try:
            results = run_all(len(task.tests), run)
        except Unprepared:
            return [Answer(problem="error")] * len(task.tests)
        return [kept[at] if result.outcome is Outcome.PASS else _failure(result) for at, result in enumerate(results)]


def _answer(kind: str, value: bytes, out: bytes) -> Answer:
    """What was printed or returned, as far as it is short, plain and can be written down; nothing of it is trusted."""
    try:
        if len(out if kind == "stdin" else value) > MOST_BYTES:
            return Answer(problem="unusable")
        return Answer(out.decode("utf-8") if kind == "stdin" else _made(plain.decode_answer(value, _MOST_VALUES)))
    except (ValueError, TypeError):  # NotPlain, no UTF-8, too many digits; TypeError: what cannot be hashed, in a set
        return Answer(problem="unusable")


def _made(value: Any) -> Any:
    """Sets and dicts as such: an answer is short enough for that, whatever its hashes are."""
    if isinstance(value, plain.Unhashed):
        return value.kind(map(_made, value.items))
    if isinstance(value, list | tuple):
        return type(value)(map(_made, value))
    if isinstance(value, int):
        str(value)  # ValueError for more digits than Python writes down
    return value


def _failure(result: Judged) -> Answer:
    if result is UNRUN:
        return Answer(problem="unrun")
    return Answer(problem="slow" if result.error is not None and result.error.detail is Detail.TIMEOUT else "error")
