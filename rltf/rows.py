"""Programs in a file of JSON lines, gzipped or not: each row's problem and code. Bad rows are reported, not fatal."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO, cast

from contracts.errors import UserError
from contracts.records import Problem
from problems.digits import any_digits

_CHUNK = 1 << 20
_REPORTED = 20

Find = Callable[[Mapping[str, Any]], tuple[str | None, Problem]]
"""A row's id and problem. Raises ValueError, saying what is wrong with the row."""


class Row(NamedTuple):
    """A row that can be used."""

    number: int
    """Its line, from 1."""
    id: str | None
    problem: Problem
    code: str


class Rows:
    """A file's good rows; the first bad ones are reported with their line number, all of them counted."""

    def __init__(self, lines: Iterable[bytes], find: Find, errors: TextIO | None) -> None:
        """`errors` None: what stderr is when a row is reported."""
        self._lines = lines
        self._find = find
        self._errors = errors
        self.bad = 0
        self.read = 0

    def __iter__(self) -> Iterator[Row]:
        for number, line in enumerate(self._lines, 1):
            self.read = number
            if not line.strip():
                continue
            try:
                row = Row(number, *self._read(line))
            except ValueError as err:
                self.bad += 1
                if self.bad <= _REPORTED:
                    self._report(f"line {number}: {' '.join(str(err).split())}")
                continue
            yield row
        if self.bad > _REPORTED:
            self._report(f"… and {self.bad - _REPORTED} more")

    def _read(self, line: bytes) -> tuple[str | None, Problem, str]:
        try:
            with any_digits():
                row = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError as err:
            raise ValueError(f"it is not UTF-8: {err}. Save the file as UTF-8") from err
        except (ValueError, RecursionError) as err:
            raise ValueError(f"it is not JSON: {err}") from err
        if not isinstance(row, dict):
            raise ValueError("it is not an object")
        if not isinstance(row.get("code"), str):
            raise ValueError('it has no "code" text')
        return *self._find(row), row["code"]

    def _report(self, text: str) -> None:
        print(text, file=self._errors or sys.stderr)


def errors_stream() -> TextIO | None:
    """Where bad rows are reported. A live panel takes a terminal's stderr over and shows it above itself: then None; where stderr
    goes elsewhere it must still get there."""
    return None if sys.stderr.isatty() else sys.stderr


def reading(programs: Path) -> BinaryIO:
    """The file, open."""
    return cast(BinaryIO, gzip.open(programs)) if programs.suffix == ".gz" else programs.open("rb")


def count_lines(programs: Path) -> int:
    """The last line counts whether it ends or not. Raises UserError for what is no file and for one that cannot be read."""
    if not programs.is_file():
        raise UserError(f"no file at {programs}", "Name a file of JSON lines, one program each")
    count, last = 0, b"\n"
    try:
        with reading(programs) as file:
            while chunk := file.read(_CHUNK):
                count += chunk.count(b"\n")
                last = chunk
    except (OSError, EOFError, zlib.error) as err:
        raise UserError(f"{programs} cannot be read: {err}", "Name a file of JSON lines, gzipped if it ends in .gz") from err
    return count + (not last.endswith(b"\n"))


def nothing_to_judge(programs: Path) -> UserError:
    """That no row can be used."""
    return UserError(f"{programs} holds no program that can be judged", 'Write rows of {"problem_id": …, "code": …}')
