"""What the inputs of one problem have in common, and whether another input keeps to it.

An input comes as named vectors: the numbers and words that stand in one place of it, such as a column or an argument's items.
What holds in every input seen is taken for a constraint of the problem, as invariants are in Ernst et al. 2007 (Daikon): where
little is seen some of it holds by chance, which costs variety, never a wrong test.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from problems.grow.facts import Number, Vectors, facts_of, numeric


class Profile:
    """What the inputs seen have in common."""

    def __init__(self, seen: Sequence[Vectors]) -> None:
        self.ranges: dict[str, tuple[Number, Number]] = {}
        """The least and the greatest number of a place, also of lengths."""
        self.alphabets: dict[str, frozenset[str]] = {}
        self.vocabularies: dict[str, frozenset[str]] = {}
        """Words of places where they repeat: commands, answers, names of kinds."""
        self.pools: dict[str, list[Any]] = {}
        """All that was seen at a place, in order."""
        self._skeletons: dict[str, frozenset[str]] = {}
        for vectors in seen:
            for name, values in vectors.items():
                self.pools.setdefault(name, []).extend(values)
            for name, numbers in numeric(vectors).items():
                low, high = self.ranges.get(name, (numbers[0], numbers[0]))
                self.ranges[name] = min(low, *numbers), max(high, *numbers)
        for name, words in self.pools.items():
            if words and isinstance(words[0], str):
                self._learn_words(name, words)
        held = [dict(facts_of(vectors, self.alphabets)) for vectors in seen]
        self._facts = {key for facts in held for key in facts} - {
            key for facts in held for key, holds in facts.items() if not holds
        }

    def allows(self, vectors: Vectors) -> bool:
        """Does an input keep to all that holds in those seen?"""
        for name, values in vectors.items():
            if name not in self.pools or not all(self._has_words(name, value) for value in values if isinstance(value, str)):
                return False
        for name, numbers in numeric(vectors).items():
            low, high = self.ranges.get(name, (1, 0))
            if not (low <= min(numbers) and max(numbers) <= high):
                return False
        return all(holds or key not in self._facts for key, holds in facts_of(vectors, self.alphabets))

    def _learn_words(self, name: str, words: Sequence[str]) -> None:
        self.alphabets[name] = frozenset("".join(words))
        self._skeletons[name] = frozenset(map(skeleton, words))
        distinct = frozenset(words)
        if 2 * len(distinct) <= len(words) and max(map(len, words)) > 1:
            self.vocabularies[name] = distinct

    def _has_words(self, name: str, word: str) -> bool:
        if name in self.vocabularies:
            return word in self.vocabularies[name]
        alphabet = self.alphabets.get(name, frozenset())
        structured = any(map(str.isalnum, alphabet)) and not all(char.isalnum() or char == " " for char in alphabet)
        return alphabet.issuperset(word) and (not structured or skeleton(word) in self._skeletons[name])


def skeleton(word: str) -> str:
    """A word's structure: runs of digits and of letters as one character each, all else as it is."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", word))
