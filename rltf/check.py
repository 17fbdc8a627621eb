"""`rltf problems check`: which problems their own reference solutions solve, and how long that takes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
from rich.console import Console

from contracts.errors import UserError
from contracts.records import Outcome, Problem, Verdict
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.pool import Job, Pool
from problems.checked import Check, CheckedProblem, FailingSolution, write_check
from problems.read import read_problems
from rltf.progress import Progress

_SHOWN = 20


def check_problems(path: Path, output: Path | None, config: ExecutorsConfig, console: Console) -> Check:
    """Run every reference solution on all tests, hidden ones too; print a table, and write the findings where a file is named.

    Raises UserError for a bad problem set, and for a file that cannot be written.
    """
    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        raise UserError(f"{output} cannot be written", "Name a file in a folder that exists")
    problems, without_tests = read_problems(path)
    with Progress(console) as progress:
        progress.stage("check", sum(len(problem.solutions) for problem in problems), "solution")
        verdicts = _run(problems, config, progress)
    check = Check(
        problem_set=str(path),
        compare=config.compare,
        cpu_seconds=config.cpu_seconds,
        without_tests=without_tests,
        problems={problem.id: found(verdicts[problem.id]) for problem in problems},
    )
    _show(check, progress)
    if output is not None:
        write_check(output, check)
    return check


def found(verdicts: list[Verdict]) -> CheckedProblem:
    """What the verdicts on a problem's solutions say about it."""
    passing = [verdict for verdict in verdicts if verdict.outcome is Outcome.PASS]
    return CheckedProblem(
        kept=bool(passing),
        reason=None if passing else _reason(verdicts),
        solutions=len(verdicts),
        passing=len(passing),
        reference_seconds=max((test.seconds for verdict in passing for test in verdict.tests), default=None),
        failing=[_failing(at, verdict) for at, verdict in enumerate(verdicts) if verdict.outcome is not Outcome.PASS],
    )


def _run(problems: list[Problem], config: ExecutorsConfig, progress: Progress) -> dict[str, list[Verdict]]:
    whole = [msgspec.structs.replace(problem, tests=problem.tests + problem.hidden_tests) for problem in problems]
    places = [problem.id for problem in problems for _ in problem.solutions]
    jobs = (Job(problem, solution) for problem in whole for solution in problem.solutions)
    verdicts: dict[str, list[Verdict]] = {problem.id: [] for problem in problems}
    with Pool(config, RewardsConfig()) as pool:
        for number, (id_, verdict) in enumerate(zip(places, pool.judge_all(jobs), strict=True), 1):
            verdicts[id_].append(verdict)
            progress.update(number)
    return verdicts


def _reason(verdicts: list[Verdict]) -> str:
    if not verdicts:
        return "it has no reference solution"
    kinds = Counter(str(verdict.detail or verdict.outcome) for verdict in verdicts)
    return f"no reference solution passes: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}"


def _failing(at: int, verdict: Verdict) -> FailingSolution:
    return FailingSolution(
        solution=at,
        outcome=verdict.outcome,
        detail=verdict.detail,
        error_type=verdict.error_type,
        message=verdict.message,
        passed=verdict.passed,
        total=verdict.total,
    )


def _show(check: Check, progress: Progress) -> None:
    dropped = {id_: problem for id_, problem in check.problems.items() if not problem.kept}
    if dropped:
        listed = [[id_, f"{problem.passing}/{problem.solutions}", problem.reason or ""] for id_, problem in dropped.items()]
        more = [[f"and {len(listed) - _SHOWN} more", "", ""]] if len(listed) > _SHOWN else []
        progress.table("to be dropped", ["problem", "passing", "reason"], listed[:_SHOWN] + more)
    problems = check.problems.values()
    slowest = max((problem.reference_seconds or 0.0 for problem in problems), default=0.0)
    rows = [
        ["problems", str(len(problems))],
        ["kept", str(len(problems) - len(dropped))],
        ["dropped", str(len(dropped))],
        ["without tests", str(check.without_tests)],
        ["solutions", str(sum(problem.solutions for problem in problems))],
        ["solutions that pass", str(sum(problem.passing for problem in problems))],
        ["slowest test, CPU seconds", f"{slowest:.3f}"],
    ]
    progress.table("problem set", [check.compare, ""], rows)
