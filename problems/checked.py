"""What `rltf problems check` found out about a problem set, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from contracts.errors import UserError
from contracts.files import write_in_one_move
from contracts.records import Detail, Outcome, Problem

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
"""CPU seconds of a reference solution: limits are multiples of them, so at most a day, never infinite."""


class FailingSolution(msgspec.Struct, frozen=True, kw_only=True):
    """A reference solution that does not pass."""

    solution: int
    """Its place among the problem's solutions, from 0."""
    outcome: Outcome
    detail: Detail | None = None
    error_type: str | None = None
    message: str = ""
    passed: int
    total: int


class CheckedProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One problem by its reference solutions."""

    kept: bool
    reason: str | None = None
    """Why it is dropped."""
    solutions: int
    passing: int
    reference_seconds: Seconds | None = None
    """CPU seconds that the slowest passing solution spent on one test."""
    failing: list[FailingSolution] = []


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    problem_set: str
    compare: str
    cpu_seconds: float
    """The limit that each test had."""
    without_tests: int
    """Problems that were not run because they have none."""
    problems: dict[str, CheckedProblem]


def write_check(path: Path, check: Check) -> None:
    """Write it in one move, to be read by people too."""
    write_in_one_move(path, msgspec.json.format(msgspec.json.encode(check), indent=2) + b"\n")


def apply_check(path: Path, problems: list[Problem]) -> list[Problem]:
    """The problems that the check keeps, with their reference times; those that it does not name stay as they are.

    Raises UserError for another file, for a check of another set, and where no problem is kept.
    """
    try:
        check = msgspec.json.decode(path.read_bytes(), type=Check)
    except (OSError, ValueError) as err:
        remedy = "Name a file that rltf problems check --output wrote"
        raise UserError(f"problems.checked={path} cannot be read: {err}", remedy) from err
    if not any(problem.id in check.problems for problem in problems):
        raise UserError(f"problems.checked={path} is about other problems, of {check.problem_set}", "Check this problem set")
    kept = [_timed(problem, check.problems.get(problem.id)) for problem in problems if _is_kept(problem, check)]
    if not kept:
        raise UserError(f"problems.checked={path} drops every problem", "See its reasons: rltf problems check prints them")
    return kept


def _is_kept(problem: Problem, check: Check) -> bool:
    found = check.problems.get(problem.id)
    return found is None or found.kept


def _timed(problem: Problem, found: CheckedProblem | None) -> Problem:
    if found is None:
        return problem
    return msgspec.structs.replace(problem, reference_seconds=found.reference_seconds)
