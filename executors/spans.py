"""From an error to its category and place: which tokens are to blame (RLTF, section 3.3: U_global, U_line, U_ignore).

Positions come from the sandbox, in lines and UTF-8 bytes; here they are checked against the text and turned into characters.

| what happened                                               | strict | reference |
|--------------------------------------------------------------|--------|-----------|
| text cut off at its end; no position; NUL                    | GLOBAL | GLOBAL    |
| tabs and spaces, dedent, duplicate argument, inner import *  | LINE   | IGNORE    |
| any other syntax error                                       | LINE   | LINE      |
| exception with a frame in the program                        | LINE   | LINE      |
| recursion, time-out, memory, output limit, disallowed        | GLOBAL | GLOBAL    |
| no entry point, or one that cannot be called so              | GLOBAL | GLOBAL    |
| exit, signal, no frame in the program, place dropped         | GLOBAL | IGNORE    |
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from contracts.records import Category, Detail, Span

Mode = Literal["strict", "reference"]
Place = tuple[tuple[int, int], tuple[int, int]]
"""(line from 1, column in UTF-8 bytes from 0), twice: start and end."""

_BREAK = re.compile(r"\r\n|\r|\n")
_IGNORED_BY_REFERENCE = ("unindent does not match", "duplicate argument", "import * only allowed")


class SyntaxReport(msgspec.Struct, frozen=True):
    """Why a text doesn't compile."""

    type: str
    message: str
    place: tuple[int, int] | None = None
    """First and last line."""
    cut_off: bool = False


class ErrorReport(msgspec.Struct, frozen=True):
    """What ended a run."""

    kind: Literal["raised", "entry", "recursion", "memory", "exit", "timeout", "output_limit", "disallowed"]
    type: str | None = None
    message: str = ""
    place: Place | None = None

    @property
    def detail(self) -> Detail:
        """The kind of RUNTIME_ERROR."""
        return Detail.EXCEPTION if self.kind in ("raised", "entry", "recursion") else Detail(self.kind)


def locate_syntax(report: SyntaxReport, text: str, mode: Mode) -> tuple[Category, Span | None]:
    """Category and span of a text that doesn't compile: whole lines, their line breaks included.

    The break belongs to it because what is missing at a line's end (a colon, a bracket) should have stood in its place, and
    because tokenizers merge it with the next line's indentation.
    """
    if report.cut_off or report.place is None:
        return Category.GLOBAL, None
    is_layout = report.type == "TabError" or report.message.startswith(_IGNORED_BY_REFERENCE)
    if mode == "reference" and is_layout:
        return Category.IGNORE, None
    starts = line_starts(text)
    lines = len(starts) - 1
    first, last = report.place
    if not 1 <= first <= lines:
        return Category.GLOBAL, None
    last = min(max(first, last), lines)
    return Category.LINE, Span(first, last, starts[first - 1], starts[last])


def locate_error(report: ErrorReport, text: str, mode: Mode) -> tuple[Category, Span | None]:
    """Category and span of what ended a run: for an exception the innermost own statement, to the character."""
    if report.kind not in ("raised", "exit"):
        return Category.GLOBAL, None
    span = statement_span(report.place, text) if report.kind == "raised" and report.place is not None else None
    if span is not None:
        return Category.LINE, span
    return (Category.GLOBAL if mode == "strict" else Category.IGNORE), None


def statement_span(place: Place, text: str) -> Span | None:
    """A place as a span of the text; None where it is not within it, or empty."""
    (start_line, start_column), (end_line, end_column) = place
    starts = line_starts(text)
    if not 1 <= start_line <= end_line < len(starts):
        return None
    start = _character(text, starts, start_line, start_column)
    end = _character(text, starts, end_line, end_column)
    if start is None or end is None or start > end:
        return None
    if start == end:
        # A place without columns: its whole lines.
        start, end = starts[start_line - 1], starts[end_line]
    return Span(start_line, end_line, start, end) if start < end else None


def line_starts(text: str) -> list[int]:
    """First character of each line, and at last the text's length; lines end as Python's do (\\n, \\r\\n, \\r)."""
    starts = [0, *(found.end() for found in _BREAK.finditer(text))]
    return starts if starts[-1] == len(text) and text else [*starts, len(text)]


def _character(text: str, starts: list[int], line: int, column: int) -> int | None:
    """The character at a column of UTF-8 bytes; Python doesn't count a byte order mark. None if it is not on the line."""
    start = starts[line - 1]
    if start == 0 and text.startswith("\ufeff"):
        start = 1
    content = text[start : starts[line]].encode("utf-8", "surrogatepass")
    if not 0 <= column <= len(content):
        return None
    return start + len(content[:column].decode("utf-8", "ignore"))
