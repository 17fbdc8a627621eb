"""`rltf problems check`: which problems their own reference solutions solve, and how long that takes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
from rich.console import Console

from contracts.records import Detail, Outcome, Problem, Verdict
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.pool import Job, Pool
from problems.checked import Check, CheckedProblem, FailingSolution, write_check
from problems.read import read_problems
from rltf.judging import output_place
from rltf.progress import Progress

_SHOWN = 20
_KINDS = 3
_LONGEST = 100


def check_problems(path: Path, output: Path | None, config: ExecutorsConfig, console: Console) -> Check:
    """Run every reference solution on all tests, hidden ones too; print a table, and write the findings where a file is named.

    Raises UserError for a bad problem set, and for a file that cannot be written or that is part of the set.
    """
    place = None if output is None else output_place(output, [path])
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
    if place is not None:
        write_check(place, check)
        progress.note(f"findings: {output}, for a recipe's problems.checked")
    elif not all(problem.kept for problem in check.problems.values()):
        progress.note("--output FILE writes the findings, and a recipe's problems.checked=FILE leaves such problems out")
    return check


def found(verdicts: list[Verdict]) -> CheckedProblem:
    """What the verdicts on a problem's solutions say about it."""
    passing = [verdict for verdict in verdicts if verdict.outcome is Outcome.PASS]
    slowest = max((test.seconds for verdict in passing for test in verdict.tests), default=None)
    return CheckedProblem(
        kept=bool(passing),
        reason=None if passing else _reason(verdicts),
        solutions=len(verdicts),
        passing=len(passing),
        reference_seconds=None if slowest is None else round(slowest, 6),
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
    kinds = Counter(map(_kind, verdicts)).most_common()
    examples = {_kind(verdict): _example(verdict) for verdict in reversed(verdicts)}
    named = [f"{count} x {kind}{examples[kind]}" for kind, count in kinds[:_KINDS]]
    rest = sum(count for _, count in kinds[_KINDS:])
    return f"no reference solution passes: {', '.join(named + [f'{rest} others'] * bool(rest))}"


def _kind(verdict: Verdict) -> str:
    """The exception in its own words where there is one, or which test's answer is wrong."""
    if verdict.outcome is Outcome.FAILURE:
        return f"wrong answer to {verdict.message.partition(': ')[0]}"
    if verdict.error_type is None or verdict.detail not in (None, Detail.EXCEPTION):
        return str(verdict.detail or verdict.outcome)
    return _cut(" ".join(f"{verdict.error_type}: {verdict.message}".split()).removesuffix(":"))


def _example(verdict: Verdict) -> str:
    """What was wrong with an answer."""
    return f" ({_cut(verdict.message.partition(': ')[2])})" if verdict.outcome is Outcome.FAILURE else ""


def _cut(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


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
        progress.table("to be dropped", ["problem", "passing", "reason"], listed[:_SHOWN] + more, names=3)
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
