"""A problem set to a file or a folder that nothing has yet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from contracts.errors import UserError
from contracts.records import Problem
from problems.apps import check_folder, write_folder
from problems.own_rows import write_rows

_ROWS = (".jsonl", ".jsonl.gz")
_OTHER_FILES = (".json", ".gz")


def check_destination(path: Path, problems: Sequence[Problem]) -> None:
    """Raise UserError where `write_problems` would: the path is taken, nothing can be made there, its form cannot hold them."""
    if os.path.lexists(path):
        raise UserError(f"{path} exists already", "Remove it or write elsewhere")
    above = next(place for place in path.absolute().parents if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be written: {above} is no folder that can be written to", "Write elsewhere")
    if path.name.endswith(_ROWS):
        return
    if path.name.endswith(_OTHER_FILES):
        raise UserError(f"{path} cannot be written", f"Write to a file that ends in {' or '.join(_ROWS)}, or to a folder")
    check_folder(path, problems)


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """JSON lines where the name ends in .jsonl or .jsonl.gz, else an APPS folder; in one move.

    Folders above it are made. Raises as `check_destination` does.
    """
    check_destination(path, problems)
    try:
        if path.name.endswith(_ROWS):
            write_rows(path, problems)
        else:
            write_folder(path, problems)
    except (FileNotFoundError, PermissionError) as err:  # root may write everywhere, but not every file system takes files
        raise UserError(f"{path} cannot be written: {err.strerror}", "Write elsewhere") from err
