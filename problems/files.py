"""A file of problems, of whichever kind its rows are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from contracts.errors import UserError
from contracts.records import Problem
from problems.apps import split_of
from problems.apps_rows import apps_problem
from problems.datasets import humaneval_problem, mbpp_problem
from problems.json_rows import REMEDY, malformed, rows_of
from problems.own_rows import own_problem


def read_file(path: Path) -> tuple[list[Problem], int]:
    """The problems of a file, in its order, and how many were dropped because they have no tests.

    Raises UserError, naming the row, for a file that is malformed.
    """
    split = split_of(path.name.split(".")[0])
    everything = [_problem(where, row, split) for where, row in rows_of(path)]
    problems = [problem for problem in everything if problem.tests]
    if not problems:
        raise UserError(f"{path} holds no problems with tests", REMEDY)
    repeated = [id_ for id_, count in Counter(problem.id for problem in problems).items() if count > 1]
    if repeated:
        raise UserError(f"{path} has {repeated[0]} twice", "Remove one of them")
    return problems, len(everything) - len(problems)


def _problem(where: str, row: Any, split: str) -> Problem:
    """`split` is for rows of APPS, which its file's name tells."""
    if not isinstance(row, dict):
        malformed(where, "is not an object")
    try:
        if "test_list" in row:
            return mbpp_problem(row)
        if "canonical_solution" in row:
            return humaneval_problem(row)
        if "input_output" in row:
            return apps_problem(row, split)
        return own_problem(row)
    except ValueError as err:  # msgspec's too
        malformed(where, f"is malformed: {err}")
