"""What is wrong with an answer, in a few words for people to read.

The tests' child uses it too, so it imports nothing but the standard library. Answers are of any size and from one who is not
trusted: whatever the size, few of their values are looked at, and the same answer gives the same words in each process.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable
from itertools import islice, zip_longest
from reprlib import Repr
from typing import Any

from executors.compare import lines_of
from executors.plain import Unhashed

_LONGEST = 60
_ADDRESS = re.compile(" at 0x[0-9a-f]+")
_DIGITS_OF = 1 << 2000
"""Numbers from here on are told by their size: the texts of long ones take long to make."""
_BEFORE, _WINDOW = 8, 40
_LEVELS = 4
_LINES = 1000
_SMALL = {"float", "bool", "NoneType", "complex", "date", "time", "datetime", "timedelta"}
"""Types whose reprs are short."""


class _Short(Repr):
    """repr, shortened: of containers a few items, a few levels deep; of other objects than plain data the type, at least."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxlong = self.maxother = _LONGEST

    def repr_str(self, x: str, level: int) -> str:
        ends = x if len(x) <= 4 * _LONGEST else x[: 2 * _LONGEST] + x[-2 * _LONGEST :]  # what is between is left out anyway
        return super().repr_str(_ADDRESS.sub(" at 0x…", ends), level)

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if -_DIGITS_OF < x < _DIGITS_OF else f"an int of {x.bit_length()} bits"

    def repr_set(self, x: Collection[Any], level: int, name: str = "set") -> str:
        if level <= 0 or len(x) > self.maxset:  # which of them come first is for no hash to decide
            return f"a {name} of {len(x)}"
        items = ", ".join(sorted(self.repr1(item, level - 1) for item in x))
        return f"{{{items}}}" if name == "set" and items else f"{name}({f'{{{items}}}' if items else ''})"

    def repr_frozenset(self, x: Collection[Any], level: int) -> str:
        return self.repr_set(x, level, "frozenset")

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        return self._pairs(x.items(), level)

    def repr_Unhashed(self, x: Unhashed, level: int) -> str:
        return self._pairs(x.items, level) if x.kind is dict else self.repr_set(x.items, level, x.kind.__name__)

    def repr_instance(self, x: object, level: int) -> str:
        kind = type(x).__name__
        if isinstance(x, bytes | bytearray):
            return super().repr_instance(x[: self.maxother // 2], level)
        return super().repr_instance(x, level) if kind in _SMALL else f"<{kind}>"

    def repr_Foreign(self, x: object, level: int) -> str:  # noqa: ARG002
        return f"{repr(x)[:_LONGEST]}, which tests cannot look into"

    def _pairs(self, pairs: Collection[tuple[Any, Any]], level: int) -> str:
        if level <= 0 and pairs:
            return "{...}"
        told = [f"{self.repr1(key, level - 1)}: {self.repr1(item, level - 1)}" for key, item in islice(pairs, self.maxdict)]
        return f"{{{', '.join(told + ['...'] * (len(told) < len(pairs)))}}}"


_SHORT = _Short()


def short(value: Any) -> str:
    """A value's repr, of at most 80 characters."""
    return _cut(_SHORT.repr(value))


def wrong_output(output: str, expected: str, given: str, same: Callable[[str, str], bool] | None) -> str:
    """What differs in what a program printed: the first such line. `same` compares lines, None where their order is free."""
    lines, wanted = lines_of(output, expected)
    at = _first_line(lines, wanted, same) if same else None
    if at is None:
        told = _pair("\n".join(lines), "\n".join(wanted), "")
    elif at < len(lines) and at < len(wanted):
        told = _pair(lines[at], wanted[at], f" in line {at + 1}" if len(lines) + len(wanted) > 2 else "")
    else:
        missing = f"expected {short(wanted[at])} in line {at + 1}, got no such line" if at < len(wanted) else ""
        told = missing or f"expected no line {at + 1}, got {short(lines[at])}"
    return f"{told}; the input is {short(given)}"


def wrong_value(value: Any, expected: Any, call: str, same: Callable[[Any, Any], bool] | None) -> str:
    """What differs in what a function returned: the first such item of lists of one length, or of a dict.

    `same` compares items, None where an item may answer for the whole.
    """
    place = ""
    for _ in range(_LEVELS):
        further = _further(value, expected, same) if same else None
        if further is None:
            break
        at, value, expected = further
        place += at
    return f"{_pair(value, expected, f' at {place}' if place else '')}; the call is {call}"


def much_longer(answer: bytes, expected: Any) -> str:
    """For an answer that is not read."""
    begins = answer[:_WINDOW].decode("utf-8", "backslashreplace")
    return f"expected {short(expected)}, got {len(answer)} bytes that begin with {short(begins)}"


def no_answer(kind: str | None, expected: Any, call: str) -> str:
    """For what a function returned of a type that has no plain data, or holds such; None: it was too large."""
    got = f"<{kind}>, which is or holds something else than plain data" if kind else "something too large"
    return f"expected {short(expected)}, got {got}; the call is {call}"


def call_of(function: str, arguments: Iterable[Any]) -> str:
    """A call as the program could have written it."""
    return _cut(f"{function}({', '.join(map(short, arguments))})")


def failed_assertion(source: str, said: str) -> str:
    """The assertion, with what its exception said."""
    words = " ".join(source.split())
    return f"{words if len(words) <= 2 * _LONGEST else words[: 2 * _LONGEST - 1] + '…'}{': ' if said else ''}{said}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST + 20 else f"{text[: _LONGEST + 19]}…"


def _first_line(lines: list[str], wanted: list[str], same: Callable[[str, str], bool]) -> int | None:
    """None where it is not among the first thousand that are not equal to the letter."""
    unequal = ((at, line, other) for at, (line, other) in enumerate(zip_longest(lines, wanted)) if line != other)
    some = islice(unequal, _LINES)
    return next((at for at, line, other in some if line is None or other is None or not same(line, other)), None)


def _further(value: Any, expected: Any, same: Callable[[Any, Any], bool]) -> tuple[str, Any, Any] | None:
    """The first place at which items differ, with both; None where it is not one item that differs."""
    places: Iterable[tuple[Any, Any, Any]] = ()
    if _are_lists(value, expected) and len(value) == len(expected):
        places = zip(range(len(value)), value, expected, strict=True)
    elif isinstance(value, Unhashed) and value.kind is dict and isinstance(expected, dict):
        named = {key: item for key, item in value.items if isinstance(key, str)}  # an answer's numbers are never hashed
        places = ((key, named[key], item) for key, item in expected.items() if isinstance(key, str) and key in named)
    return next(((f"[{short(at)}]", item, other) for at, item, other in places if not same(item, other)), None)


def _pair(value: Any, expected: Any, place: str) -> str:
    """Both, so that they can be told apart: long texts from where they part, containers with their sizes."""
    if isinstance(value, str) and isinstance(expected, str) and max(len(value), len(expected)) > _LONGEST:
        part = bisect_left(range(min(len(value), len(expected))), True, key=lambda at: value[: at + 1] != expected[: at + 1])
        start = max(0, part - _BEFORE)
        right, wrong = (short(text[start : start + _WINDOW]) for text in (expected, value))
        return f"expected {right}{place} from character {start + 1}, got {wrong}"
    right, wrong = short(expected), short(value)
    if right == wrong and _size(value) != _size(expected):
        right, wrong = f"{right} ({_size(expected)} items)", f"{wrong} ({_size(value)} items)"
    return f"expected {right}{place}, got {wrong}{', which is another' if right == wrong else ''}"


def _size(value: Any) -> int:
    if isinstance(value, Unhashed):
        return len(value.items)
    return len(value) if isinstance(value, list | tuple | set | frozenset | dict) else 0


def _are_lists(value: Any, expected: Any) -> bool:
    return isinstance(value, list | tuple) and isinstance(expected, list | tuple)
