"""The trusted judge: runs a program on a problem's tests in sandboxed children and compares what comes back.

Expected answers stay here. What a child sends is plain data: it is decoded and compared, never evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

import msgspec

from contracts import metrics as m
from contracts.counts import Counts, count
from contracts.errors import UserError
from contracts.records import Outcome, Problem, Test, TestKind, TestResult, Trust, Verdict
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors import plain, tiers
from executors.analyser import Analyser
from executors.asserting import Asserting
from executors.confine import Limits, Tier
from executors.running import Task, Unprepared, run_batch
from executors.schedule import UNRUN, Judged, run_all
from executors.spans import ErrorReport, locate_error, locate_syntax
from executors.watch import Bounds
from executors.worker import Worker, ZygoteDied

_SPARE_CPU_SECONDS = 10
_CANARY_EVERY = 500
"""Programs between two checks of an executor by programs whose verdicts are known."""
_MESSAGE = 300
_USES_NUMPY = re.compile(r"\b(numpy|np)\b")
_CANARY = Problem(id="canary", question="", tests=(Test("1 2", "3"),))
_CANARIES = {"print(sum(map(int, input().split())))": Outcome.PASS, "print(4)": Outcome.FAILURE}


class Executor:
    """Programs → verdicts, one at a time, by warm zygotes of its own.

    Raises UserError where this machine cannot isolate programs, unless the recipe allows that in so many words, and where
    analysis is asked for and pyflakes is missing. `tier` is the strongest that the machine has, where none is given.
    """

    def __init__(self, config: ExecutorsConfig, rewards: RewardsConfig, tier: Tier | None = None, *, hash_seed: int = 0) -> None:
        self.config = config
        self._hash_seed = hash_seed
        self.rewards = rewards
        self.tier = tiers.require(config) if tier is None else tier
        self._workers: dict[tuple[str, bool, bool], Worker] = {}
        self._inputs: dict[bool, _Inputs] = {}
        self._since_canary = 0
        self._counts: Counts = {}
        self._restarts_told = 0
        self._limits = Limits(address_space=(4 * config.memory_mb << 20) + (4 << 30))
        self._analyser = Analyser(config, self.tier, self._limits) if config.analyse else None
        self._worker(config.prelude)

    def judge(self, problem: Problem, text: str, *, hidden: bool = False) -> Verdict:
        """The verdict on a program by the problem's tests, or by its hidden tests where it has some and `hidden` is set.

        Raises UserError for a problem without tests, or with ones that cannot be sent to a program, and nothing else, whatever
        the program does. A zygote that dies is
        replaced and the program judged once more; the program is to blame for a second death, if each time the new zygote
        judges a known program right.
        """
        tests = (problem.hidden_tests if hidden else ()) or problem.tests
        tests = tests[: self.config.max_tests]
        if not tests:
            raise UserError(f"problem {problem.id} has no tests", "Leave it out: without tests nothing can be judged")
        task = self._task(problem, tests, text, hidden)
        self._since_canary += 1
        if self._since_canary > _CANARY_EVERY and not self.is_healthy() and not self._recovers():
            return _broken(len(tests))
        for _ in range(2):
            try:
                return self._verdict(problem, task)
            except (ZygoteDied, OSError):
                if not self._recovers():
                    return _broken(len(tests))
        error = ErrorReport("disallowed", message="the program ended the process that it was forked from")
        return self._ran([Judged(Outcome.RUNTIME_ERROR, 0.0, error), *[UNRUN] * (len(tests) - 1)], task)

    @property
    def restarts(self) -> int:
        """How often a zygote had to be replaced."""
        return sum(worker.restarts for worker in self._all_workers())

    def collect(self) -> Counts:
        """What was counted since this was last asked: canaries, and zygotes that had to be replaced."""
        counts, self._counts = self._counts, {}
        if new := self.restarts - self._restarts_told:
            count(counts, m.REPLACED, by=new)
            self._restarts_told += new
        return counts

    @property
    def zygotes(self) -> list[int]:
        """Process ids of the zygotes, as far as they were needed."""
        return [worker.pid for worker in self._all_workers()]

    def is_healthy(self) -> bool:
        """Does it judge a right and a wrong program right?"""
        self._since_canary = 0
        return all(self._is_right(text, outcome) for text, outcome in _CANARIES.items())

    def _is_right(self, canary: str, outcome: Outcome) -> bool:
        task = self._task(_CANARY, _CANARY.tests, canary, hidden=False)
        try:
            right = self._verdict(_CANARY, task).outcome is outcome
        except (ZygoteDied, OSError):
            return False  # it is to be replaced, and has judged nothing wrong
        count(self._counts, m.CANARIES, "right" if right else "wrong")
        return right

    def _recovers(self) -> bool:
        """Replace the zygotes: do the new ones judge known programs right?"""
        try:
            for worker in self._workers.values():
                worker.restart()
        except (ZygoteDied, OSError):
            return False
        return self.is_healthy()

    def close(self) -> None:
        """End the zygotes."""
        for worker in self._all_workers():
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _worker(self, prelude: str, *, numpy: bool = False, tests: bool = False) -> Worker:
        """The worker whose programs, or tests, may use these names without importing them; started when it is first needed."""
        key = prelude, numpy, tests
        if key not in self._workers:
            self._workers[key] = Worker(self.tier, self._limits, prelude, numpy=numpy, hash_seed=self._hash_seed)
        return self._workers[key]

    def _all_workers(self) -> list[Worker]:
        return [*self._workers.values(), *(self._analyser.workers.values() if self._analyser else ())]

    def _task(self, problem: Problem, tests: tuple[Test, ...], text: str, hidden: bool) -> Task:
        inputs = self._inputs.get(hidden)
        if inputs is None or inputs.problem is not problem:
            inputs = self._inputs[hidden] = _Inputs(problem, tests)
        cpu_seconds = max(self.config.cpu_seconds, self.config.reference_factor * (problem.reference_seconds or 0.0))
        bounds = Bounds(
            cpu_seconds=cpu_seconds,
            memory=self.config.memory_mb << 20,
            output=(self.config.output_mb << 20) + inputs.expected_size,
            all_cpu_seconds=math.ceil(cpu_seconds * (len(tests) + 1)) + _SPARE_CPU_SECONDS,
        )
        name = "hidden test" if hidden and problem.hidden_tests else "test"
        return Task(text, name, problem.kind, problem.fn_name, tests, inputs.encoded, inputs.sizes, bounds, self.config)

    def _verdict(self, problem: Problem, task: Task) -> Verdict:
        worker = self._worker_of(problem, task.text)
        trust = Trust.FULL
        try:
            if problem.test_setup is None:
                results = run_all(len(task.tests), partial(run_batch, worker, task, task.kind.value))
            else:
                asserting = Asserting(worker, self._worker("asserts", tests=True), task, problem.test_setup)
                results = run_all(len(task.tests), asserting.run)
                trust = Trust.LOW if asserting.shared else Trust.FULL
        except Unprepared as err:
            return self._unprepared(err, task)
        return self._analysed(self._ran(results, task, trust), problem, task.text)

    def _worker_of(self, problem: Problem, text: str) -> Worker:
        return self._worker(self._prelude(problem), numpy=bool(_USES_NUMPY.search(text)))

    def _prelude(self, problem: Problem) -> str:
        return "asserts" if problem.test_setup is not None and self.config.prelude == "apps" else self.config.prelude

    def _analysed(self, verdict: Verdict, problem: Problem, text: str) -> Verdict:
        """The verdict with what analysis finds in the program, which compiles."""
        if self._analyser is None:
            return verdict
        findings = self._analyser.findings(text, self._prelude(problem), problem.test_setup or "")
        return msgspec.structs.replace(verdict, findings=findings)

    def _unprepared(self, err: Unprepared, task: Task) -> Verdict:
        total = len(task.tests)
        if isinstance(err.cause, ErrorReport):
            return self._ran([Judged(Outcome.RUNTIME_ERROR, err.seconds, err.cause), *[UNRUN] * (total - 1)], task)
        located = locate_syntax(err.cause, task.text, self.rewards.categories)
        return Verdict(
            outcome=Outcome.SYNTAX_ERROR,
            error_type=err.cause.type,
            message=_printable(err.cause.message),
            total=total,
            category=located.category,
            span=located.span,
            expression=located.expression,
            seconds=err.seconds,
        )

    def _ran(self, results: list[Judged], task: Task, trust: Trust = Trust.FULL) -> Verdict:
        error = next((result.error for result in results if result.error), None)
        outcomes = [result.outcome for result in results]
        outcome, located, message = Outcome.PASS, None, ""
        if error is not None:
            message = error.message
            outcome = Outcome.RUNTIME_ERROR
            located = locate_error(error, task.text, self.rewards.categories)
        elif Outcome.FAILURE in outcomes:
            outcome, first = Outcome.FAILURE, outcomes.index(Outcome.FAILURE)
            message = f"{task.name} {first + 1}: {results[first].told}"
        return Verdict(
            outcome=outcome,
            detail=error.detail if error else None,
            error_type=error.type[:_MESSAGE] if error and error.type else None,
            message=_printable(message),
            passed=outcomes.count(Outcome.PASS),
            total=len(results),
            tests=tuple(TestResult(result.outcome, result.seconds) for result in results),
            category=located.category if located else None,
            span=located.span if located else None,
            expression=located.expression if located else None,
            seconds=sum(result.seconds for result in results),
            trust=trust,
        )


def _printable(message: str) -> str:
    """Shortened, and without what would act on a terminal or could not be encoded."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in message[:_MESSAGE])


def _broken(total: int) -> Verdict:
    return Verdict(outcome=Outcome.SANDBOX_ERROR, message="no zygote judges any program", total=total)


class _Inputs:
    """A problem's tests as children get them: made once for all its programs."""

    def __init__(self, problem: Problem, tests: tuple[Test, ...]) -> None:
        self.problem = problem
        try:
            self.encoded = tuple(map(_encoder(problem.kind), tests))
            self.sizes = tuple(_size(problem.kind, test) for test in tests)
        except plain.NotPlain as err:
            raise UserError(
                f"a test of problem {problem.id} cannot be sent to a program: {err}", "Leave the problem out"
            ) from err
        self.expected_size = sum(self.sizes)


def _encoder(kind: TestKind) -> Callable[[Test], bytes]:
    if kind is TestKind.CALL:
        return lambda test: plain.encode(test.input)
    return lambda test: test.input.encode("utf-8", "surrogatepass")


def _size(kind: TestKind, test: Test) -> int:
    """Bytes of the right answer."""
    if kind is TestKind.CALL:
        return len(plain.encode(test.expected))
    return len(test.expected.encode("utf-8", "surrogatepass")) if kind is TestKind.STDIN else 0
