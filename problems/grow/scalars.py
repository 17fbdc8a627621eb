"""Other numbers, words and orders, near those that a problem's inputs have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

from problems.grow.facts import Number

Item = TypeVar("Item")


def other_number(rng: Random, old: Number, low: Number, high: Number) -> Number | None:
    """Another number from low to high: a neighbour, an end, 0, 1, the opposite, a digit repeated, any; None where none is."""
    near = [old + 1, old - 1, low, high, 0, 1, -old, (low + high) // 2]
    if isinstance(old, int) and isinstance(low, int) and isinstance(high, int):
        drawn: list[Number] = [rng.randint(low, high), rng.randint(low, high), int(f"{abs(old)}{abs(old) % 10}")]
    else:
        places = max(map(_places, (old, low, high)))
        near = [round(float(number), places) for number in near]
        drawn = [round(rng.uniform(low, high), places) for _ in range(3)]
    fitting = [number for number in (*near, *drawn, *drawn) if low <= number <= high and number != old]
    return rng.choice(fitting) if fitting else None


def other_word(rng: Random, old: str, alphabet: Sequence[str], low: int, high: int) -> str:
    """A word of these letters, of low to high of them: a few letters changed, or all."""
    letters = list(old)
    match rng.choice(
        ("replace", "replace", "swap", "reverse", "sort", "repeat", "shorten", "lengthen", "lengthen", "all", "one")
    ):
        case "replace" if letters:
            letters[rng.randrange(len(letters))] = rng.choice(alphabet)
        case "swap" if len(letters) > 1:
            one, another = rng.sample(range(len(letters)), 2)
            letters[one], letters[another] = letters[another], letters[one]
        case "reverse":
            letters.reverse()
        case "sort":
            letters.sort()
        case "repeat" if letters:
            at = rng.randrange(len(letters))
            letters[at : at + 2] = [letters[at]] * len(letters[at : at + 2])
        case "shorten" if len(letters) > low:
            del letters[rng.randrange(len(letters))]
        case "lengthen" if len(letters) < high:
            letters.insert(rng.randint(0, len(letters)), rng.choice(alphabet))
        case "all":
            letters = rng.choices(alphabet, k=rng.randint(low, high))
        case "one":
            letters = [rng.choice(alphabet)] * len(letters)
    return "".join(letters)


def reordered(rng: Random, items: Sequence[Item]) -> list[Item]:
    """The same items in another order: sorted, backwards, shuffled, or two changed over."""
    changed = list(items)
    match rng.choice(("sort", "reverse", "shuffle", "swap")):
        case "sort":
            changed.sort(key=_rank)
        case "reverse":
            changed.reverse()
        case "shuffle":
            rng.shuffle(changed)
        case "swap" if len(changed) > 1:
            one, another = rng.sample(range(len(changed)), 2)
            changed[one], changed[another] = changed[another], changed[one]
    return changed


def levelled(rng: Random, items: Sequence[Item]) -> list[Item]:
    """All items alike, or two."""
    changed = list(items)
    if len(changed) > 1 and rng.random() < 0.5:
        one, another = rng.sample(range(len(changed)), 2)
        changed[one] = changed[another]
        return changed
    return [rng.choice(changed)] * len(changed) if changed else changed


def _rank(item: Any) -> tuple[float, str]:
    """Numbers by value, all else by text."""
    text = str(item)
    try:
        number = float(item)
    except (TypeError, ValueError, OverflowError):
        return math.inf, text
    return number, text


def _places(number: Number) -> int:
    """Decimals that a number is written with."""
    return len(repr(number).partition(".")[2]) if isinstance(number, float) and "e" not in repr(number) else 0
