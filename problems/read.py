"""A problem set from wherever it is: an APPS folder, an MBPP or a HumanEval file."""

from __future__ import annotations

from pathlib import Path

from contracts.errors import UserError
from contracts.records import Problem
from problems.apps import read_folder
from problems.datasets import ENDINGS, read_file


def read_problems(path: Path) -> tuple[list[Problem], int]:
    """The problems there, and how many were dropped because they have no tests.

    Raises UserError where nothing is, where what is there is none of the three, and for a malformed file.
    """
    if not path.exists():
        raise UserError(f"no such file or folder: {path}", "Name a folder in the APPS layout, an MBPP or a HumanEval file")
    if not path.is_file():
        return read_folder(path)
    if not path.name.endswith(ENDINGS):
        raise UserError(f"{path} is no problem set", f"Name a folder in the APPS layout, or a file of {', '.join(ENDINGS)}")
    return read_file(path)
