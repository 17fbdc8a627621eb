"""Which layout a problem's stdin inputs have: the simplest of a few kinds that leaves least of them unexplained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from problems.grow.layout import NUMBER, Block, Count, Layout, Line, lines_of

_MOST_DIGITS = 100
"""Longer ones are words."""
_MOST_LINES = 8
"""Segments of a block of single lines."""


def learn(texts: Sequence[str]) -> Layout | None:
    """The layout of these inputs; None where no simple one fits them all."""
    inputs = [lines_of(text) for text in texts]
    best: tuple[int, Layout] | None = None
    for template in _TEMPLATES:
        parsed = [None if lines is None else template.blocks(lines) for lines in inputs]
        blocks = [block for found in parsed for block in found or ()]
        if None in parsed or not blocks:
            continue
        layout, against = _described(template, blocks)
        if (best is None or against < best[0]) and layout.is_sound() and all(map(layout.fits, blocks)):
            best = against, layout
    return best[1] if best else None


def _templates() -> Iterator[Layout]:
    """What is looked for, in the order of preference."""
    one = (None,)
    repeated = [
        (*one * head, Count(segment, column, 1, delta), *one * foot)
        for delta, head, foot in product((0, -1), (1, 2, 3), (0, 1, 2))
        for segment, column in product(reversed(range(head)), range(4))
    ]
    fixed = [one * count for count in range(1, _MOST_LINES + 1)]
    twice = [(None, Count(0, column, 1, delta), None, Count(2, 0)) for column, delta in product(range(2), (0, -1))] + [
        (None, Count(0, 0), Count(0, 1)),
        (None, Count(0, 0), Count(0, 0)),
    ]
    yield from (Layout(False, rows) for rows in repeated)
    yield from (Layout(True, rows) for rows in (*fixed[1:], *repeated, *twice))
    yield from (Layout(False, rows) for rows in (*twice, *fixed))


_TEMPLATES = list(_templates())


def _described(template: Layout, blocks: Sequence[Block]) -> tuple[Layout, int]:
    """The template with widths, lengths and kinds, and what speaks against it: what it leaves unexplained, then its size."""
    layout = template
    for segment in range(len(template.rows)):
        layout = replace(layout, widths=(*layout.widths, _width(layout, blocks, segment)))
    words: dict[str, list[str]] = {}
    for block in blocks:
        for role, line, column in layout.tokens(block):
            words.setdefault(role, []).append(line[column])
    numbers = frozenset(role for role, tokens in words.items() if _are_numbers(tokens))
    mixed = sum(role not in numbers and any(map(NUMBER.fullmatch, tokens)) for role, tokens in words.items())
    layout = replace(layout, numbers=numbers)
    lengths = {role: count for role in words.keys() - numbers if (count := _length(layout, blocks, role))}
    return replace(layout, lengths=lengths), _MOST_LINES * (layout.widths.count(None) + mixed) + len(layout.rows)


def _are_numbers(tokens: Sequence[str]) -> bool:
    """Are they numbers? Those of 0 and 1 alone are words."""
    if not all(len(token) <= _MOST_DIGITS and NUMBER.fullmatch(token) for token in tokens):
        return False
    return not (set("".join(tokens)) <= {"0", "1"} and any(len(token) > 1 for token in tokens))


def _width(layout: Layout, blocks: Sequence[Block], segment: int) -> int | Count | None:
    seen = [(block, line, len(line)) for block in blocks for line in block[segment]]
    sizes = {size for _, _, size in seen}
    if len(sizes) < 2:  # a number that never changes either would explain it by chance
        return sizes.pop() if sizes else 0
    return next((count for count in _candidates(layout, segment) if _explains(count, seen, segment)), None)


def _length(layout: Layout, blocks: Sequence[Block], role: str) -> Count | None:
    seen = [(block, line, len(line[at])) for block in blocks for name, line, at in layout.tokens(block) if name == role]
    sizes = {size for _, _, size in seen}
    if len(sizes) < 2:
        return None
    segment = int(role.split(".")[0])
    found = (count for count in _candidates(layout, segment) if count.segment != segment and _explains(count, seen, -1))
    return next(found, None)


def _candidates(layout: Layout, segment: int) -> Iterator[Count]:
    """What may count a segment's tokens or letters: its own lines' first number, or one of an earlier line."""
    for factor, delta in ((1, 0), (2, 0), (1, -1), (1, 1)):
        for earlier, column in product(range(segment), range(4)):
            if layout.rows[earlier] is None and isinstance(layout.widths[earlier], int):
                yield Count(earlier, column, factor, delta)
    yield Count(segment, 0, 1, 1)
    yield Count(segment, 0, 2, 1)


def _explains(count: Count, seen: Sequence[tuple[Block, Line, int]], segment: int) -> bool:
    try:
        return all(count.of(block, line, segment) == size for block, line, size in seen)
    except (ValueError, IndexError):
        return False
