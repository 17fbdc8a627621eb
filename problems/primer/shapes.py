"""What a problem's input looks like: how it is read, how a statement speaks of it, and which inputs test it.

Upper-case letters stand for what is filled in: A and B for the arguments' names.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

Numbers = Sequence[int]
Letters = Sequence[str]
Cases = Iterator[list[Any]]
"""Endless lists of arguments, edge cases first; drawn near the constants of a problem, so that a bug is seen."""


@dataclass(frozen=True)
class Shape:
    """One kind of input."""

    names: tuple[tuple[str, ...], ...]
    """Alternative names of the arguments; programs that read stdin use the first."""
    read: str
    """The line that reads it from stdin."""
    intros: tuple[str, str]
    """Two ways for the statement of a stdin problem to say what there is to read."""
    givens: tuple[str, str]
    """Two ways for the statement of a call-based problem to name its arguments."""
    cases: Callable[[Random, Numbers, Letters], Cases]


def _near(numbers: Numbers) -> list[int]:
    """Where a wrong comparison or a constant off by one shows."""
    return sorted({near for k in numbers for near in (k - 1, k, k + 1, 2 * k, 3 * k)}) or [1, 2, 3, 4]


def _int_lists(rng: Random, numbers: Numbers, _letters: Letters) -> Cases:
    near = _near(numbers)
    k = rng.choice(numbers or (4,))
    yield [[]]
    yield [[rng.choice(near)]]
    yield [rng.sample([k - 1, k, k + 1], 3)]
    yield [[rng.choice(near)] * rng.randint(3, 5) + [rng.randint(0, 9)]]
    yield [[-rng.randint(0, 30) for _ in range(rng.randint(2, 5))]]
    yield [[rng.randint(10**4, 10**5), -rng.randint(10**4, 10**5), rng.choice(near)]]
    while True:
        yield [[rng.choice(near) if rng.random() < 0.5 else rng.randint(-12, 40) for _ in range(rng.randint(4, 9))]]


def _some_int_lists(rng: Random, numbers: Numbers, letters: Letters) -> Cases:
    return (case for case in _int_lists(rng, numbers, letters) if case[0])


def _naturals(rng: Random, numbers: Numbers, _letters: Letters) -> Cases:
    near = _near(numbers)
    digits = [value for k in numbers if 0 < k < 10 for value in (11 * k, 101 * k)]
    palindrome = rng.randint(10, 99)
    for n in (0, 1, rng.choice(near), rng.choice(digits or near), int(f"{palindrome}{palindrome % 10}{palindrome // 10}")):
        yield [abs(n)]
    yield [rng.randint(500, 1000)]
    while True:
        yield [abs(rng.choice(near)) if rng.random() < 0.3 else rng.randint(2, 150)]


def _natural_pairs(rng: Random, numbers: Numbers, _letters: Letters) -> Cases:
    k = rng.choice(numbers or (4,))
    tie = rng.randint(2, 30)
    yield [1, 1]
    yield [tie, tie]
    for distance in (k - 1, k, k + 1):
        yield [tie, tie + distance]
    yield [rng.randint(2, 12) * k, rng.randint(1, 6) * k]
    yield [rng.randint(100, 400), rng.randint(1, 9)]
    while True:
        factor = rng.choice((1, 2, 3, 5))
        yield [factor * rng.randint(1, 20), factor * rng.randint(1, 20)]


def _word(rng: Random, sizes: Sequence[int], alphabet: Sequence[str]) -> str:
    return "".join(rng.choices(alphabet, k=rng.choice(sizes)))


def _alphabet(rng: Random, letters: Letters) -> list[str]:
    """A few letters, the problem's own twice as often."""
    return [*letters, *letters, *rng.sample(string.ascii_lowercase, 4)]


def _sizes(numbers: Numbers) -> list[int]:
    return [max(1, near) for k in numbers for near in (k - 1, k, k + 1, k + 3, 2 * k)] or [2, 3, 5, 7, 8]


def _texts(rng: Random, numbers: Numbers, letters: Letters) -> Cases:
    alphabet, sizes = _alphabet(rng, letters), _sizes(numbers)
    own = letters or ["a", "e"]
    half = _word(rng, (3, 4), alphabet)
    yield [rng.choice(own)]
    yield [half + half[::-1]]
    yield [rng.choice(own) * rng.randint(2, 4)]
    yield [own[0] + half]
    yield [half + own[0] + own[-1]]
    yield [_word(rng, (20,), string.ascii_lowercase)]
    while True:
        yield [_word(rng, sizes, alphabet)]


def _text_lists(rng: Random, numbers: Numbers, letters: Letters) -> Cases:
    alphabet, sizes = _alphabet(rng, letters), _sizes(numbers)
    own = letters or ["a", "e"]
    yield [[]]
    yield [[_word(rng, sizes, alphabet)]]
    yield [[own[0] + _word(rng, sizes, alphabet), _word(rng, sizes, alphabet) + own[0], own[0]]]
    yield [[_word(rng, sizes, alphabet)] * 3]
    yield [[_word(rng, (size,), alphabet) for size in sizes[:4]]]
    while True:
        yield [[_word(rng, sizes, alphabet) for _ in range(rng.randint(2, 6))]]


INTS = Shape(
    (("a",), ("v",)),
    "A = list(map(int, input().split()))",
    ("Read integers.", "Read integers on one line."),
    ("Given integers A,", "For integers A,"),
    _int_lists,
)
SOME_INTS = replace(INTS, cases=_some_int_lists)
NUMBER = Shape(
    (("n",), ("k",)), "A = int(input())", ("Read A.", "Read an integer A."), ("Given A,", "For an integer A,"), _naturals
)
PAIR = Shape(
    (("x", "y"), ("p", "q")),
    "A, B = map(int, input().split())",
    ("Read A and B.", "Read two integers A and B."),
    ("Given A and B,", "For integers A and B,"),
    _natural_pairs,
)
WORD = Shape((("s",), ("u",)), "A = input()", ("Read A.", "Read a word A."), ("Given A,", "For a word A,"), _texts)
WORDS = Shape(
    (("w",), ("b",)),
    "A = input().split()",
    ("Read words.", "Read words on one line."),
    ("Given words A,", "For words A,"),
    _text_lists,
)
