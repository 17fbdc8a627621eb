"""How a problem's stdin inputs are laid out: blocks of lines, of tokens, and what counts what.

An input is one block, or the number of its blocks and then the blocks (`cases`). A block is a row of segments: one line each, or
as many lines as a number says that stands earlier in the block. A line's width is fixed, or counted likewise, or free.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from problems.grow.facts import Vectors

Line = list[str]
Block = list[list[Line]]
"""Segments, each a list of lines."""

NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")
_INT = re.compile(r"-?(?:0|[1-9]\d*)")


class Count(NamedTuple):
    """factor · number + delta, of the number at a column of a segment of one line, or of each line of the segment itself."""

    segment: int
    column: int
    factor: int = 1
    delta: int = 0

    def of(self, block: Block, line: Line, segment: int) -> int:
        """The count for this line of a segment. Raises ValueError or IndexError where there is no such number."""
        source = line if self.segment == segment else block[self.segment][0]
        return int(source[self.column]) * self.factor + self.delta


@dataclass(frozen=True)
class Layout:
    """One problem's."""

    cases: bool
    rows: tuple[Count | None, ...]
    """Per segment what counts its lines; None: it is one line."""
    widths: tuple[int | Count | None, ...] = ()
    lengths: dict[str, Count] = field(default_factory=dict)
    """Role → what counts its words' letters."""
    numbers: frozenset[str] = frozenset()
    """Roles whose tokens are numbers; all others' are words."""

    def role(self, segment: int, column: int) -> str:
        """The name of a token's place: its segment and column, or * for the items of a list."""
        width = self.widths[segment]
        in_column = isinstance(width, int) or (isinstance(width, Count) and width.segment == segment and column == width.column)
        return f"{segment}.{column}" if in_column else f"{segment}.*"

    def tokens(self, block: Block) -> Iterator[tuple[str, Line, int]]:
        """Each token: its role, its line, its column."""
        for segment, lines in enumerate(block):
            for line in lines:
                for column in range(len(line)):
                    yield self.role(segment, column), line, column

    def vectors(self, block: Block) -> Vectors:
        """The tokens of each role, numbers as such."""
        found: dict[str, list[Any]] = {}
        for role, line, column in self.tokens(block):
            found.setdefault(role, []).append(as_number(line[column]) if role in self.numbers else line[column])
        return found

    def counts(self) -> dict[int | None, list[Count]]:
        """All that count something: the segment of those whose lines count themselves, else None → the counts."""
        found: dict[int | None, list[Count]] = {None: []}
        for segment, width in enumerate(self.widths):
            if isinstance(width, Count):
                found.setdefault(segment if width.segment == segment else None, []).append(width)
        found[None] += [count for count in (*self.rows, *self.lengths.values()) if count is not None]
        return found

    def is_count(self, role: str) -> bool:
        """Does this role count something?"""
        return any(role == f"{count.segment}.{count.column}" for counts in self.counts().values() for count in counts)

    def is_sound(self) -> bool:
        """Are all rows counted by a number in a column, and no list's item?"""
        return all(
            isinstance(self.widths[rows.segment], int) and f"{rows.segment}.{rows.column}" in self.numbers
            for rows in self.rows
            if rows
        )

    def fits(self, block: Block) -> bool:
        """Is every count right, and every number a number?"""
        try:
            for segment, (lines, rows, width) in enumerate(zip(block, self.rows, self.widths, strict=True)):
                if len(lines) != (1 if rows is None else rows.of(block, [], segment)):
                    return False
                for line in lines:
                    if width is not None and len(line) != (width if isinstance(width, int) else width.of(block, line, segment)):
                        return False
            for role, line, column in self.tokens(block):
                if role in self.numbers and not NUMBER.fullmatch(line[column]):
                    return False
                if role in self.lengths and len(line[column]) != self.lengths[role].of(block, line, -1):
                    return False
        except (ValueError, IndexError):
            return False
        return True

    def parse(self, text: str) -> list[Block] | None:
        """The blocks of an input; None where it is laid out otherwise."""
        lines = lines_of(text)
        blocks = None if lines is None else self.blocks(lines)
        return blocks if blocks is not None and all(map(self.fits, blocks)) else None

    def text(self, blocks: Sequence[Block]) -> str:
        """The input of these blocks."""
        lines = [[str(len(blocks))]] if self.cases else []
        lines += [line for block in blocks for segment in block for line in segment]
        return "".join(f"{' '.join(line)}\n" for line in lines)

    def blocks(self, lines: Sequence[Line]) -> list[Block] | None:
        """By the numbers of lines alone."""
        at, count = 0, 1
        if self.cases:
            if not lines or len(lines[0]) != 1 or not _INT.fullmatch(lines[0][0]) or not 0 < int(lines[0][0]) < len(lines):
                return None
            at, count = 1, int(lines[0][0])
        blocks: list[Block] = []
        for _ in range(count):
            block: Block = []
            for rows in self.rows:
                size = self._size(rows, block)
                if not 0 <= size <= len(lines) - at:
                    return None
                block.append([list(line) for line in lines[at : at + size]])
                at += size
            blocks.append(block)
        return blocks if at == len(lines) else None

    def _size(self, rows: Count | None, block: Block) -> int:
        """Lines of a segment; below 0 where nothing says."""
        try:
            return 1 if rows is None else rows.of(block, [], -1)
        except (ValueError, IndexError):
            return -1


def as_number(token: str) -> int | float:
    """The token's value."""
    return int(token) if _INT.fullmatch(token) else float(token)


def lines_of(text: str) -> list[Line] | None:
    """The tokens of each line; None where blanks mean something."""
    lines = [line.rstrip() for line in text.rstrip().split("\n")]
    tokens = [line.split() for line in lines]
    return tokens if all(" ".join(line) == text for line, text in zip(tokens, lines, strict=True)) else None
