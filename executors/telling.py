"""What is wrong with an answer, in a few words for people to read.

The tests' child uses it too, so it imports nothing but the standard library. Answers are plain data of any size, from one who is
not trusted: whatever the size, little of them is looked at for a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import zip_longest
from reprlib import Repr
from typing import Any

from executors.plain import Unhashed

_LONGEST = 60
_ASSERTION = 150
_ADDRESS = re.compile(" at 0x[0-9a-f]+")
"""In the repr of a function, say: another one in each process, and words are to be the same for the same program."""
_DIGITS_OF = 1 << 200
"""Numbers from here on are told by their size: the texts of long ones take long to make."""


class _Short(Repr):
    """repr, shortened: of containers a few items, a few levels deep."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxlong = self.maxother = _LONGEST

    def repr_str(self, x: str, level: int) -> str:
        ends = x if len(x) <= 4 * _LONGEST else x[: 2 * _LONGEST] + x[-2 * _LONGEST :]  # what is between is left out anyway
        return super().repr_str(_ADDRESS.sub(" at 0x…", ends), level)

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if -_DIGITS_OF < x < _DIGITS_OF else f"an int of {x.bit_length()} bits"

    def repr_Unhashed(self, x: Unhashed, level: int) -> str:
        if level <= 0:
            return "{...}"
        if x.kind is dict:
            told = [f"{self.repr1(key, level - 1)}: {self.repr1(item, level - 1)}" for key, item in x.items[: self.maxdict]]
        else:  # in an order that no hash decides
            told = sorted(self.repr1(item, level - 1) for item in x.items)[: self.maxset]
        more = ["..."] * (len(told) < len(x.items))
        items = f"{{{', '.join(told + more)}}}" if told or x.kind is dict else ""
        return items if x.kind is dict or (x.kind is set and told) else f"{x.kind.__name__}({items})"


short: Callable[[Any], str] = _Short().repr
"""A value's repr of bounded length; control characters and lone surrogates are escaped."""


def wrong_output(output: str, expected: str, given: str, same: Callable[[str, str], bool]) -> str:
    """The first line that differs, for what a program printed. `same` compares lines."""
    lines, wanted = output.rstrip().split("\n"), expected.rstrip().split("\n")
    pairs = ((at, pair) for at, pair in enumerate(zip_longest(lines, wanted)) if pair[0] != pair[1])
    at = next((at for at, (line, other) in pairs if line is None or other is None or not same(line, other)), None)
    if at is None:
        return f"expected {short(expected)}, got {short(output)}; the input is {short(given)}"
    right, wrong = (short(those[at]) if at < len(those) else "no such line" for those in (wanted, lines))
    place = "" if len(lines) == len(wanted) == 1 else f" in line {at + 1}"
    return f"expected {right}{place}, got {wrong}; the input is {short(given)}"


def wrong_value(value: Any, expected: Any, arguments: list[Any], same: Callable[[Any, Any], bool]) -> str:
    """Where a function's return value differs, to the item in lists of one length. `same` compares items."""
    place = ""
    while isinstance(value, list | tuple) and isinstance(expected, list | tuple) and len(value) == len(expected):
        at = next((at for at, pair in enumerate(zip(value, expected, strict=True)) if not same(*pair)), None)
        if at is None:
            break
        place, value, expected = f"{place}[{at}]", value[at], expected[at]
    told = f"expected {short(expected)}{' at ' if place else ''}{place}, got {short(value)}"
    return f"{told}; the arguments are {', '.join(map(short, arguments))}"


def failed_assertion(source: str, said: str) -> str:
    """The assertion, with what its exception said."""
    words = " ".join(source.split())
    return f"{words if len(words) <= _ASSERTION else words[: _ASSERTION - 1] + '…'}{': ' if said else ''}{said}"
