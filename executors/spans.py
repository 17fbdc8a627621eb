"""From an error to its category and place: which tokens are to blame (RLTF, section 3.3: U_global, U_line, U_ignore).

A place is a statement and, where it is known, the expression within it. Positions come from the sandbox, in lines and UTF-8
bytes; here they are checked against the text and turned into characters.

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
from typing import Literal, NamedTuple

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
    expression: Place | None = None
    """What the compiler points at."""
    cut_off: bool = False


class ErrorReport(msgspec.Struct, frozen=True):
    """What ended a run."""

    kind: Literal["raised", "entry", "recursion", "memory", "exit", "timeout", "output_limit", "disallowed"]
    type: str | None = None
    message: str = ""
    place: Place | None = None
    """The statement."""
    expression: Place | None = None
    """What of it raised."""

    @property
    def detail(self) -> Detail:
        """The kind of RUNTIME_ERROR."""
        return Detail.EXCEPTION if self.kind in ("raised", "entry", "recursion") else Detail(self.kind)


class Located(NamedTuple):
    """Where an error is: the spans are for category LINE, the expression within the span and narrower."""

    category: Category
    span: Span | None = None
    expression: Span | None = None


def locate_syntax(report: SyntaxReport, text: str, mode: Mode) -> Located:
    """Where a text doesn't compile: whole lines, their line breaks included, and in them what the compiler points at.

    The break belongs to it because what is missing at a line's end (a colon, a bracket) should have stood in its place, and
    because tokenizers merge it with the next line's indentation.
    """
    if report.cut_off or report.place is None:
        return Located(Category.GLOBAL)
    is_layout = report.type == "TabError" or report.message.startswith(_IGNORED_BY_REFERENCE)
    if mode == "reference" and is_layout:
        return Located(Category.IGNORE)
    starts = line_starts(text)
    lines = len(starts) - 1
    first, last = report.place
    if not 1 <= first <= lines:
        return Located(Category.GLOBAL)
    last = min(max(first, last), lines)
    span = Span(first, last, starts[first - 1], starts[last])
    return Located(Category.LINE, span, _within(span, report.expression, text))


def locate_error(report: ErrorReport, text: str, mode: Mode) -> Located:
    """Where a run was ended: for an exception the innermost own statement and the expression in it, to the character."""
    if report.kind not in ("raised", "exit"):
        return Located(Category.GLOBAL)
    span = statement_span(report.place, text) if report.kind == "raised" and report.place is not None else None
    if span is not None:
        return Located(Category.LINE, span, _within(span, report.expression, text))
    return Located(Category.GLOBAL if mode == "strict" else Category.IGNORE)


def statement_span(place: Place, text: str) -> Span | None:
    """A place as a span of the text; None where it is not within it, or empty."""
    span = _span(place, text)
    if span is not None and span.start_char == span.end_char:
        # A place without columns: its whole lines.
        starts = line_starts(text)
        span = Span(span.start_line, span.end_line, starts[span.start_line - 1], starts[span.end_line])
    return span if span is not None and span.start_char < span.end_char else None


def _within(span: Span, place: Place | None, text: str) -> Span | None:
    """A place as a span of the text; None where it is not narrower than the span that it belongs to."""
    inner = _span(place, text) if place is not None else None
    if inner is None or not span.start_char <= inner.start_char < inner.end_char <= span.end_char:
        return None
    is_whole = (inner.start_char, inner.end_char) == (span.start_char, span.end_char)
    return None if is_whole else inner


def _span(place: Place, text: str) -> Span | None:
    """A place in characters; None where it is not within the text."""
    (start_line, start_column), (end_line, end_column) = place
    starts = line_starts(text)
    if not 1 <= start_line <= end_line < len(starts):
        return None
    start = _character(text, starts, start_line, start_column)
    end = _character(text, starts, end_line, end_column)
    if start is None or end is None or start > end:
        return None
    return Span(start_line, end_line, start, end)


def line_starts(text: str) -> list[int]:
    """First character of each line, and at last the text's length; lines end as Python's do (\\n, \\r\\n, \\r)."""
    starts = [0, *(found.end() for found in _BREAK.finditer(text))]
    return starts if starts[-1] == len(text) and text else [*starts, len(text)]


def _character(text: str, starts: list[int], line: int, column: int) -> int | None:
    """The character at a column of UTF-8 bytes; None if it is not on the line. Python doesn't count a byte order mark, and takes
    any line break for one byte."""
    start = starts[line - 1]
    if start == 0 and text.startswith("\ufeff"):
        start = 1
    content = text[start : starts[line]].encode("utf-8", "surrogatepass")
    if not 0 <= column <= len(content):
        return None
    character = start + len(content[:column].decode("utf-8", "ignore"))
    return character + 1 if text[character - 1 : character + 1] == "\r\n" else character
