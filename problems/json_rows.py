"""The rows of a file: JSON lines, or one JSON list; gzipped or not."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from contracts.errors import UserError
from problems.digits import any_digits

ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
_LIST = (".json", ".json.gz")
REMEDY = "Name an APPS, MBPP or HumanEval file as published, or rows of your own as in docs/problems.md"


def rows_of(path: Path) -> Iterator[tuple[str, Any]]:
    """Each row with its place in words. Raises UserError for a file that cannot be read or that is not JSON."""
    try:
        with _opened(path) as file:
            if path.name.endswith(_LIST):
                yield from _rows_of_list(path, file.read())
            else:
                yield from _rows_of_lines(path, file)
    except UnicodeDecodeError as err:
        raise UserError(f"{path} is not UTF-8: {err}", "Save it as UTF-8") from err
    except (OSError, EOFError, zlib.error) as err:
        raise UserError(f"{path} cannot be read: {err}", REMEDY) from err


def malformed(where: str, what: str) -> NoReturn:
    """Refuse a file or a row of it."""
    raise UserError(f"{where} {what}", REMEDY)


def _rows_of_list(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    rows = _json(str(path), text)
    if not isinstance(rows, list):
        malformed(str(path), "is not a list of problems")
    yield from ((f"{path}, problem {number}", row) for number, row in enumerate(rows, 1))


def _rows_of_lines(path: Path, lines: TextIO) -> Iterator[tuple[str, Any]]:
    """Line by line: published files are larger than what they hold should need."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _json(where, line)


def _opened(path: Path) -> TextIO:
    """Only a newline ends a line."""
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline="\n"))
    return path.open(encoding="utf-8-sig", newline="\n")


@any_digits()
def _json(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        malformed(where, f"is not JSON: {err}")
