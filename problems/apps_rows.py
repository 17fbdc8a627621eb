"""APPS as the Hugging Face hub has it: a file of rows for each split, such as codeparrot/apps/train.jsonl.

A row is a problem's folder in one object: question, solutions and input_output (both as JSON text, empty where the folder lacks
the file), difficulty, url, starter_code, and its number as id or problem_id.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from contracts.records import Problem
from problems.digits import any_digits
from problems.io_tests import function_name, io_tests


class _Row(msgspec.Struct):
    """What is used of a row; `id` and `problem_id` are two names of one thing."""

    question: str
    input_output: str | dict[str, Any]
    id: int | str | None = None
    problem_id: int | str | None = None
    solutions: str | list[str] = ""
    difficulty: str = "unknown"
    url: str = ""
    starter_code: str = ""


def apps_problem(data: dict[str, Any], split: str) -> Problem:
    """A row's problem; a number becomes the name that its folder has in the published set: 7 is 0007.

    Raises ValueError, saying what is wrong with it, for a malformed row.
    """
    row = msgspec.convert(data, _Row)
    number = row.id if row.problem_id is None else row.problem_id
    if number is None:
        raise ValueError("it has no id")
    visible = _decoded("input_output", row.input_output, dict[str, Any])
    solutions = _decoded("solutions", row.solutions, list[str])
    fn_name = function_name(visible)
    return Problem(
        id=f"{number:04d}" if isinstance(number, int) else number,
        question=row.question,
        starter_code=row.starter_code,
        fn_name=fn_name,
        tests=io_tests(visible, fn_name),
        solutions=tuple(solutions),
        corpus=tuple(solutions),
        difficulty=row.difficulty,
        split=split,
        source=row.url,
    )


@any_digits()
def _decoded(key: str, value: Any, kind: Any) -> Any:
    """The object or list itself, also where it is there as JSON text; an empty one for no text."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return kind()
    try:
        return msgspec.convert(json.loads(value), kind)
    except (ValueError, RecursionError) as err:
        raise ValueError(f"its {key} cannot be used: {err}") from err
