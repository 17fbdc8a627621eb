"""Other arguments for a function: arguments seen, changed in one place each, within what all of them have in common.

A place is a path: `0` is the first argument, `0[]` an item of that list, `1{}` a key and `1{}=` a value of that dict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from problems.grow.profile import Profile
from problems.grow.scalars import levelled, other_number, other_word, reordered

Change = Callable[[Any], Any]
_TRIES = 8
"""For a change that all constraints allow."""
_CONTAINERS = (list, tuple, set, frozenset)
_RULES = ("value", "mix", "order", "level", "longer", "shorter")


class ValuesMutator:
    """Makes lists of arguments like those seen. Raises ValueError for values other than plain data."""

    def __init__(self, seen: Sequence[Sequence[Any]]) -> None:
        self._seen = [list(arguments) for arguments in seen]
        self._profile = Profile([_vectors(arguments) for arguments in self._seen])
        self._values: dict[str, list[Any]] = {}
        """Path → all values seen there."""
        for arguments in self._seen:
            for path, value in _places(arguments):
                self._values.setdefault(path, []).append(value)
        self.rules = [f"{rule} {path}" for path, values in self._values.items() for rule in _RULES if _applies(rule, values)]

    def make(self, rule: str, rng: Random) -> list[Any] | None:
        """Arguments changed by this rule; None where it came to nothing."""
        kind, path = rule.split(" ")
        for _ in range(_TRIES):
            arguments = rng.choice(self._seen)
            count = sum(name == path for name, _ in _places(arguments))
            if count:
                changed = _Changing(path, rng.randrange(count), lambda value: self._changed(kind, path, value, rng)).run(
                    arguments
                )
                if self._profile.allows(_vectors(changed)):
                    return changed
        return None

    def _changed(self, kind: str, path: str, value: Any, rng: Random) -> Any:
        if kind == "value":
            return self._other(path, value, rng)
        if kind == "mix":
            return rng.choice([other for other in self._values[path] if type(other) is type(value)])
        items = _items(value)
        match kind:
            case "order":
                items = reordered(rng, items)
            case "level":
                items = levelled(rng, items)
            case "shorter" if items:
                del items[rng.randrange(len(items)) :][: rng.choice((1, 1, len(items)))]
            case "longer":
                pool = [item for one in self._values[path] if type(one) is type(value) for item in _items(one)]
                items[(at := rng.randint(0, len(items))) : at] = rng.sample(pool, min(1, len(pool)))
        return type(value)(items)

    def _other(self, path: str, value: Any, rng: Random) -> Any:
        if isinstance(value, (dict, *_CONTAINERS)):
            return value
        if isinstance(value, bool) or value is None:
            return rng.choice(self._values[path])
        if _is_number(value):
            low, high = self._profile.ranges[f"{path}:number"]
            as_float = isinstance(value, float)
            other = other_number(rng, value, float(low) if as_float else low, float(high) if as_float else high)
            return value if other is None or type(other) is not type(value) else other
        name = f"{path}:word"
        if name in self._profile.vocabularies:
            return rng.choice(sorted(self._profile.vocabularies[name]))
        low, high = self._profile.ranges[f"{name} length"]
        alphabet = sorted(self._profile.alphabets[name])
        return other_word(rng, value, alphabet, int(low), int(high)) if alphabet else value


class _Changing:
    """Rebuilds arguments with the one value at a path, counted among those of that path, changed."""

    def __init__(self, path: str, number: int, change: Change) -> None:
        self._path = path
        self._left = number
        self._change = change

    def run(self, arguments: Sequence[Any]) -> list[Any]:
        """The same arguments, in objects of their own, but for that value."""
        return [self._rebuilt(value, str(at)) for at, value in enumerate(arguments)]

    def _rebuilt(self, value: Any, path: str) -> Any:
        if path == self._path:
            self._left -= 1
            if self._left == -1:
                return self._change(value)
        if isinstance(value, dict):
            return {self._rebuilt(key, f"{path}{{}}"): self._rebuilt(item, f"{path}{{}}=") for key, item in value.items()}
        if isinstance(value, _CONTAINERS):
            return type(value)(self._rebuilt(item, f"{path}[]") for item in _items(value))
        return value


def _places(arguments: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Every value with its path, in the order in which _Changing comes to them."""
    waiting = [(str(at), value) for at, value in enumerate(arguments)][::-1]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, dict):
            inner = [pair for key, item in value.items() for pair in ((f"{path}{{}}", key), (f"{path}{{}}=", item))]
        else:
            inner = [(f"{path}[]", item) for item in _items(value)] if isinstance(value, _CONTAINERS) else []
        waiting += inner[::-1]


def _vectors(arguments: Sequence[Any]) -> dict[str, list[Any]]:
    """The numbers, words and lengths at each path. Raises ValueError for values other than plain data."""
    found: dict[str, list[Any]] = {}
    for path, value in _places(arguments):
        kind, entry = _entry(value)
        found.setdefault(f"{path}:{kind}", []).append(entry)
    return found


def _entry(value: Any) -> tuple[str, Any]:
    """What stands for a value: its kind, and a number or a word."""
    if isinstance(value, bool) or value is None:
        return "constant", str(value)
    if isinstance(value, str):
        return "word", value
    if _is_number(value) and math.isfinite(value):
        return "number", value
    if isinstance(value, (dict, *_CONTAINERS)):
        return f"{type(value).__name__} length", len(value)
    raise ValueError(f"{value!r:.40} is no plain data that can be changed")


def _applies(rule: str, values: Sequence[Any]) -> bool:
    """Can the rule change anything at a path with these values?"""
    if rule == "mix":
        return True
    if rule == "value":
        return any(not isinstance(value, (dict, *_CONTAINERS)) for value in values)
    kinds = (list, tuple) if rule in ("order", "level") else (dict, *_CONTAINERS)
    return all(isinstance(value, kinds) for value in values)


def _items(value: Any) -> list[Any]:
    """A container's items, of a dict pairs; those of a set in an order that is the same in every process."""
    if isinstance(value, dict):
        return list(value.items())
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
