"""Other inputs for a program that reads stdin: inputs seen, changed in one way each, within what all of them have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any

from problems.grow.facts import Number
from problems.grow.inference import learn
from problems.grow.layout import Block, Count, Line
from problems.grow.profile import Profile
from problems.grow.scalars import levelled, other_number, other_word, reordered

_MOST_CASES = 6
"""Blocks of a made input, and never more than one that was seen has."""
_MOST_ADDED = 40
"""Rows or items that are added or taken away at most."""
_TRIES = 8
"""For a change that all constraints allow."""

Change = Callable[[Random, Block], bool]
"""Changes a block in its place; False where it cannot."""


class TextMutator:
    """Makes inputs like those seen. Raises ValueError where no layout fits them."""

    def __init__(self, texts: Sequence[str]) -> None:
        layout = learn(texts)
        if layout is None:
            raise ValueError("no layout was recognised")
        self.layout = layout
        inputs = [layout.parse(text) or [] for text in texts]
        self._most_cases = min(_MOST_CASES, max(map(len, inputs)))
        self._blocks = [block for blocks in inputs for block in blocks]
        self._profile = Profile([layout.vectors(block) for block in self._blocks])
        self.rules: dict[str, Change] = dict(self._rules())

    def make(self, rule: str, rng: Random) -> str | None:
        """An input changed by this rule; None where it came to nothing."""
        blocks = []
        for _ in range(rng.randint(1, self._most_cases)):
            for _ in range(_TRIES):
                block = copy.deepcopy(rng.choice(self._blocks))
                if self.rules[rule](rng, block) and self.layout.fits(block) and self._profile.allows(self.layout.vectors(block)):
                    blocks.append(block)
                    break
        return self.layout.text(blocks) if blocks else None

    def _rules(self) -> Iterator[tuple[str, Change]]:
        layout = self.layout
        if layout.cases:
            yield "recombine", lambda rng, block: True  # noqa: ARG005
        for role in self._profile.pools:
            if not layout.is_count(role):
                yield f"value {role}", partial(self._change_value, role)
                yield f"mix {role}", partial(self._take_value, role)
                yield f"order {role}", partial(self._reorder, role)
                yield f"level {role}", partial(self._level, role)
        for segment, rows in enumerate(layout.rows):
            if rows is not None:
                yield f"rows {segment}", partial(self._reorder_rows, segment)
        for count in dict.fromkeys(Count(count.segment, count.column) for count in layout.counts()[None]):
            yield f"size {count.segment}.{count.column}", partial(self._resize, count)
        for segment, width in enumerate(layout.widths):
            if width is None or (isinstance(width, Count) and width.segment == segment):
                yield f"width {segment}", partial(self._resize_line, segment)

    def _places(self, block: Block, role: str) -> list[tuple[Line, int]]:
        return [(line, column) for name, line, column in self.layout.tokens(block) if name == role]

    def _change_value(self, role: str, rng: Random, block: Block) -> bool:
        """One token, or a few, become others."""
        places = self._places(block, role)
        for line, column in rng.sample(places, min(len(places), rng.choice((1, 1, 2, 5)))):
            line[column] = self._other(rng, role, line[column])
        return bool(places)

    def _take_value(self, role: str, rng: Random, block: Block) -> bool:
        """One token, or all, become ones seen elsewhere."""
        places, pool = self._places(block, role), self._profile.pools[role]
        for line, column in places if rng.random() < 0.5 else rng.sample(places, min(1, len(places))):
            line[column] = str(rng.choice(pool))
        return bool(places)

    def _reorder(self, role: str, rng: Random, block: Block) -> bool:
        return self._replace(block, role, lambda tokens: reordered(rng, tokens))

    def _level(self, role: str, rng: Random, block: Block) -> bool:
        return self._replace(block, role, lambda tokens: levelled(rng, tokens))

    def _replace(self, block: Block, role: str, change: Callable[[list[str]], list[str]]) -> bool:
        """Change all tokens of a role together; a single one has no order."""
        places = self._places(block, role)
        for (line, column), token in zip(places, change([line[column] for line, column in places]), strict=True):
            line[column] = token
        return len(places) > 1

    def _reorder_rows(self, segment: int, rng: Random, block: Block) -> bool:
        block[segment] = reordered(rng, block[segment])
        return len(block[segment]) > 1

    def _resize(self, count: Count, rng: Random, block: Block) -> bool:
        """Another number at a place that counts, and as much of all that it counts."""
        line = block[count.segment][0]
        size = int(line[count.column])
        other = other_number(rng, size, *self._range(f"{count.segment}.{count.column}"))
        if other is None or abs(other - size) > _MOST_ADDED:
            return False
        added, where = int(other) - size, rng.random()
        for role, counting in self.layout.lengths.items():
            if counting[:2] == count[:2]:
                for row, column in self._places(block, role):
                    letters = self._profile.alphabets[role]
                    row[column] = "".join(_sized(rng, list(row[column]), sorted(letters), added * counting.factor, where))
        for segment, width in enumerate(self.layout.widths):
            if isinstance(width, Count) and width[:2] == count[:2]:
                pool = self._profile.pools.get(f"{segment}.*", [])
                block[segment] = [_sized(rng, row, pool, added * width.factor, where) for row in block[segment]]
        for segment, rows in enumerate(self.layout.rows):
            if rows is not None and rows[:2] == count[:2]:
                block[segment] = _sized(rng, block[segment], block[segment], added, where)
        line[count.column] = str(other)
        return True

    def _resize_line(self, segment: int, rng: Random, block: Block) -> bool:
        """A line that counts itself, or that nothing counts, becomes longer or shorter."""
        width = self.layout.widths[segment]
        if not block[segment]:
            return False
        at = rng.randrange(len(block[segment]))
        line = block[segment][at]
        head, items = (line[:1], line[1:]) if width else ([], line)
        factor = width.factor if isinstance(width, Count) else 1
        pool = self._profile.pools.get(f"{segment}.*", [])
        items = _sized(rng, items, pool, rng.choice((-2, -1, 1, 2)) * factor, rng.random())
        block[segment][at] = [str(len(items) // factor) for _ in head] + items
        return True

    def _other(self, rng: Random, role: str, token: str) -> str:
        if role in self.layout.numbers:
            low, high = self._range(role)
            old = float(token) if isinstance(low, float) else int(token)
            other = other_number(rng, old, low, high)
            return token if other is None else str(other)
        if role in self._profile.vocabularies:
            return rng.choice(sorted(self._profile.vocabularies[role]))
        low, high = self._range(f"{role} length")
        alphabet = sorted(self._profile.alphabets[role])
        if role in self.layout.lengths:
            low = high = len(token)
        return other_word(rng, token, alphabet, int(low), int(high)) if alphabet else token

    def _range(self, name: str) -> tuple[Number, Number]:
        """In float where any number of the place is one."""
        low, high = self._profile.ranges[name]
        pool = self._profile.pools.get(name, ())
        return (float(low), float(high)) if any(isinstance(value, float) for value in pool) else (low, high)


def _sized(rng: Random, items: list[Any], pool: Sequence[Any], added: int, where: float) -> list[Any]:
    """So many more items, of what the pool has, or fewer; as they are where the pool has none."""
    at = round(where * len(items))
    if added < 0:
        at = max(0, min(at, len(items) + added))
        return items[:at] + items[at - added :]
    new = [copy.copy(item) if isinstance(item, list) else str(item) for item in rng.choices(pool, k=added)] if pool else []
    return items[:at] + new + items[at:]
