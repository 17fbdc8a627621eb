"""A problem set from wherever it is: a folder in the APPS layout, a file of problems, here or on the hub."""

from __future__ import annotations

from pathlib import Path

from contracts.errors import UserError
from contracts.records import Problem
from problems.apps import read_folder
from problems.files import read_file
from problems.hub import resolved
from problems.json_rows import ENDINGS


def read_problems(path: Path) -> tuple[list[Problem], int]:
    """The problems there, and how many were dropped because they have no tests.

    Raises UserError where nothing is, where what is there is no problem set, and for a malformed file.
    """
    place = resolved(path)
    if not place.exists():
        raise UserError(
            f"no such file or folder: {path}",
            "Name a folder in the APPS layout or a file of problems; docs/problems.md says how to get APPS, MBPP and HumanEval",
        )
    if not place.is_file():
        return read_folder(place)
    if not place.name.endswith(ENDINGS):
        raise UserError(f"{path} is no problem set", f"Name a folder in the APPS layout, or a file of {', '.join(ENDINGS)}")
    return read_file(place)
