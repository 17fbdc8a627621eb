"""More tests for one problem: inputs are made, independent references answer them, and only what all agree on is kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import msgspec

from contracts.records import Outcome, Problem, Test, Verdict
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.answers import Answer, Answers
from executors.judge import Executor
from problems.digits import any_digits
from problems.grow import Proposal, distinct, propose
from rltf.grow_tests import agree, made

_TRIED = 3
"""Inputs that are tried for each test wanted."""
_SHARE_OF_LIMIT = 0.25
"""Of a test's time limit: a grown test may take a reference so long."""
_BATCH = 10
"""Inputs that a reference is asked at a time."""
_FAILED = ("error", "slow", "unrun")
_FEWEST = 5
"""Where a problem has had no hidden tests, fewer than these would judge it less strictly than its visible ones do."""
_OTHER_SEED = 1
"""Of hashes and random numbers in the first run; in the second, as in every verdict, it is 0."""


class GrowSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `rltf problems grow` is asked for."""

    per_problem: int = 20
    """Tests that a problem gets at most."""
    seed: int = 0
    visible: bool = False
    """Put the tests among those that training sees."""
    references: int = 5
    """Solutions that are asked for each answer, at most."""
    trust_one: bool = False
    """Grow problems with a single reference too."""


class Grown(msgspec.Struct, kw_only=True):
    """What became of one problem."""

    references: int = 0
    """Independent solutions that pass all its tests and were asked."""
    proposed: int = 0
    """Inputs made and tried."""
    grown: int = 0
    """Tests added."""
    dropped: dict[str, int] = {}
    """Reason → inputs: a key of `REASONS`."""
    reason: str | None = None
    """Why it has no grown tests."""
    single_reference: bool = False
    """No second solution has confirmed its answers."""


class Grower:
    """Grows problems one after another, by zygotes of its own. Raises what Executor raises where it cannot start."""

    def __init__(self, config: ExecutorsConfig, settings: GrowSettings) -> None:
        self._config = config
        self._settings = settings
        shorter = {key: getattr(config, key) * _SHARE_OF_LIMIT for key in ("cpu_seconds", "reference_factor")}
        with ExitStack() as started:
            self._judge = started.enter_context(Executor(config, RewardsConfig()))
            answers = Answers(config.model_copy(update=shorter), RewardsConfig(), hash_seed=_OTHER_SEED)
            self._answers = started.enter_context(answers)
            self._started = started.pop_all()

    def grow(self, problem: Problem) -> tuple[Problem, Grown]:
        """The problem with its grown tests, as it is where there are none, and what became of it."""
        least = 1 if self._settings.trust_one else 2
        references = self._references(problem)
        report = Grown(references=len(references), single_reference=len(references) == 1)
        if len(references) < least:
            report.reason = "too few independent references that pass its tests"
            return problem, report
        try:
            with any_digits():
                proposed = propose(problem, self._settings.seed, _TRIED * self._settings.per_problem)
        except (ValueError, OverflowError) as err:
            report.reason = "its tests hold numbers beyond a float's range" if isinstance(err, OverflowError) else str(err)
            return problem, report
        report.proposed = len(proposed.inputs)
        dropped: Counter[str] = Counter(duplicate=proposed.duplicates)
        tests = self._confirmed(problem, self._agreed(problem, proposed.inputs, references, dropped), references, dropped)
        chosen = tests[: self._settings.per_problem]
        dropped["surplus"] = len(tests) - len(chosen)
        report.dropped = {reason: count for reason, count in dropped.items() if count}
        hidden_before = problem.hidden_tests or self._settings.visible
        if not chosen or (len(chosen) < min(_FEWEST, self._settings.per_problem) and not hidden_before):
            report.reason = "references disagree" if dropped["disagree"] else f"too few tests: {len(chosen)}"
            return problem, report
        report.grown = len(chosen)
        place = "tests" if self._settings.visible else "hidden_tests"
        return msgspec.structs.replace(problem, **{place: getattr(problem, place) + tuple(chosen)}), report

    def close(self) -> None:
        """End the zygotes."""
        self._started.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _references(self, problem: Problem) -> list[str]:
        """The first independent solutions that pass all tests, hidden ones too."""
        whole = msgspec.structs.replace(problem, tests=problem.tests + problem.hidden_tests)
        found: list[str] = []
        for solution in distinct(problem.solutions):
            if len(found) == self._settings.references:
                break
            if self._judge.judge(whole, solution).outcome is Outcome.PASS:
                found.append(solution)
        return found

    def _agreed(
        self, problem: Problem, inputs: Sequence[Proposal], references: Sequence[str], dropped: Counter[str]
    ) -> list[Test]:
        """Tests that all references agree on; none where they disagree anywhere, and none of a rule that makes one fail.

        One disagreement shows that a reference is wrong, that several answers are right, or that inputs leave constraints which
        the tests don't show: other inputs may be answered alike by chance. An error, or a reference that does not end, speaks
        against the rule that made the input, and against all where most inputs come to that.
        """
        given = [proposal.input for proposal in inputs]
        columns = [self._asked(problem, given, reference) for reference in references]
        kept: list[tuple[str, Test]] = []
        bad: set[str] = set()
        for proposal, answers in zip(inputs, zip(*columns, strict=True), strict=True):
            reason, test = self._test(problem, proposal.input, answers)
            if test is not None:
                kept.append((proposal.rule, test))
                continue
            dropped[reason] += 1
            if reason in ("error", "slow"):
                bad.add(proposal.rule)
        if dropped["disagree"] or 2 * sum(dropped[reason] for reason in _FAILED) > len(inputs):
            dropped["disputed"] = len(kept)
            return []
        dropped["rule"] = sum(rule in bad for rule, _ in kept)
        return [test for rule, test in kept if rule not in bad]

    def _asked(self, problem: Problem, inputs: Sequence[Any], reference: str) -> list[Answer]:
        """A reference's answers, a few at a time: after two slow ones the rest of a batch is not run."""
        batches = [inputs[at : at + _BATCH] for at in range(0, len(inputs), _BATCH)]
        return [answer for batch in batches for answer in self._answers.answers(problem, batch, reference)]

    def _test(self, problem: Problem, given: Any, answers: Sequence[Answer]) -> tuple[str, Test | None]:
        """The test that these answers make, or why they make none."""
        problems = {answer.problem for answer in answers}
        for reason in ("error", "slow", "unrun", "unusable"):
            if reason in problems:
                return reason, None
        first = answers[0].value
        if not all(agree(problem, answer.value, first, self._config.compare) for answer in answers[1:]):
            return "disagree", None
        test = made(problem, given, first)
        return ("", test) if test is not None else ("unusable", None)

    def _confirmed(self, problem: Problem, tests: Sequence[Test], references: Sequence[str], dropped: Counter[str]) -> list[Test]:
        """Those that every reference passes in time when it is judged by them as any program is, under other hashes."""
        if not tests:
            return []
        grown = msgspec.structs.replace(problem, tests=tuple(tests), hidden_tests=())
        verdicts = [self._judge.judge(grown, reference) for reference in references]
        limit = self._config.cpu_seconds * _SHARE_OF_LIMIT
        kept = []
        for at, test in enumerate(tests):
            if not all(_passes(verdict, at, math.inf) for verdict in verdicts):
                dropped["flaky"] += 1
            elif not all(_passes(verdict, at, limit) for verdict in verdicts):
                dropped["slow"] += 1
            else:
                kept.append(test)
        return kept


def _passes(verdict: Verdict, at: int, limit: float) -> bool:
    return at < len(verdict.tests) and verdict.tests[at].outcome is Outcome.PASS and verdict.tests[at].seconds <= limit
