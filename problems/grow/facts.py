"""Statements about an input, by the numbers and words that stand in one place of it, such as a column or an argument's items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, permutations, product
from typing import Any

Number = int | float
Vectors = Mapping[str, Sequence[Any]]
"""Place → its numbers, or its words. A place has one of the two in all inputs of a problem."""

_MOST_SCALARS = 5
"""Single numbers whose sums and products are looked at."""
_FEW_LETTERS = 4
"""Alphabets so small may stand for a structure: brackets, moves, two kinds of things."""
_MOST_COMPARED = 400
"""Items of a vector that are compared with other vectors."""


def numeric(vectors: Vectors) -> dict[str, list[Number]]:
    """The vectors of numbers, the lengths of all, and the lengths of words; none is empty."""
    found: dict[str, list[Number]] = {}
    for name, values in vectors.items():
        found[f"#{name}"] = [len(values)]
        if values and isinstance(values[0], str):
            found[f"{name} length"] = [len(word) for word in values]
        elif values:
            found[name] = list(values)
    return found


def facts_of(vectors: Vectors, alphabets: Mapping[str, frozenset[str]]) -> Iterator[tuple[str, bool]]:
    """Statements about an input, and whether they hold; one that says nothing about it is left out."""
    numbers = numeric(vectors)
    for name, values in vectors.items():
        if values and isinstance(values[0], str):
            yield from _word_facts(name, values, alphabets.get(name, frozenset()))
    for name, values in (*numbers.items(), *((name, values) for name, values in vectors.items() if name not in numbers)):
        yield from _own_facts(name, values)
    for (name, values), (other, others) in permutations(numbers.items(), 2):
        yield from _pair_facts(f"{name} {other}", values, others)
    scalars = [(name, values[0]) for name, values in numbers.items() if len(values) == 1 and name in vectors]
    columns = [(name, values) for name, values in numbers.items() if name in vectors]
    for (name, values), (other, others) in combinations(columns, 2):
        if len(values) == len(others) <= _MOST_COMPARED:
            yield from _edge_facts(f"{name} {other}", list(zip(values, others, strict=True)))
    for (a, x), (b, y), (c, z) in permutations(scalars[:_MOST_SCALARS], 3):
        if b < c:
            yield f"{a} <= {b} * {c}", x <= y * z
            yield f"{a} <= {b} + {c}", x <= y + z
            yield f"{a} >= {b} + {c}", x >= y + z


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
}


def _own_facts(name: str, values: Sequence[Any]) -> Iterator[tuple[str, bool]]:
    """About one vector: order, repetition, parity."""
    if len(values) > 1:
        for sign, holds in _ORDERS.items():
            yield f"{name} each {sign} the next", all(map(holds, values, values[1:]))
        yield f"{name} distinct", len(set(values)) == len(values)
        if isinstance(values[0], int):
            yield f"{name} up to its position", all(value <= at for at, value in enumerate(values, 1))
            yield f"{name} permutation from 1", sorted(values) == list(range(1, len(values) + 1))
            yield f"{name} permutation from 0", sorted(values) == list(range(len(values)))
            yield f"{name} even sum", sum(values) % 2 == 0
    if values and all(isinstance(value, int) for value in values):
        yield f"{name} even", all(value % 2 == 0 for value in values)
        yield f"{name} odd", all(value % 2 for value in values)
        yield f"{name} power of 2", all(value > 0 and value & (value - 1) == 0 for value in values)
        yield f"{name} not 0", all(values)


def _pair_facts(names: str, values: Sequence[Number], others: Sequence[Number]) -> Iterator[tuple[str, bool]]:
    """About two vectors of numbers, or a vector and a single number."""
    if len(values) == len(others) <= _MOST_COMPARED:
        yield f"{names} ==", values == others
        yield f"{names} !=", all(x != y for x, y in zip(values, others, strict=True))
        yield f"{names} <", all(map(_ORDERS["<"], values, others))
        yield f"{names} <=", all(map(_ORDERS["<="], values, others))
        if all(isinstance(value, int) for value in (*values, *others)) and all(others):
            yield f"{names} multiple", all(x % y == 0 for x, y in zip(values, others, strict=True))
            yield f"{names} same parity", all((x - y) % 2 == 0 for x, y in zip(values, others, strict=True))
    elif len(others) == 1:
        for sign, holds in _ORDERS.items():
            yield f"{names} all {sign}", all(holds(value, others[0]) for value in values)
        yield f"{names} in", others[0] in values
        yield f"{names} not in", others[0] not in values
        yield f"{names} sum <=", sum(values) <= others[0]
        yield f"{names} sum >=", sum(values) >= others[0]


def _edge_facts(names: str, edges: Sequence[tuple[Number, Number]]) -> Iterator[tuple[str, bool]]:
    """About two columns, read as the edges of a graph or the ends of intervals."""
    group: dict[Number, Number] = {}

    def root(node: Number) -> Number:
        while group.setdefault(node, node) != node:
            node = group[node]
        return node

    cycles = 0
    for one, other in edges:
        cycles += root(one) == root(other)
        group[root(one)] = root(other)
    if len(edges) > 1:
        yield f"{names} pairs distinct", len(set(edges)) == len(edges)
        yield f"{names} edges distinct", len({(min(edge), max(edge)) for edge in edges}) == len(edges)
        yield f"{names} connected", sum(node == above for node, above in group.items()) == 1
    if edges:
        yield f"{names} no cycle", cycles == 0


def _word_facts(name: str, words: Sequence[str], alphabet: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """About the letters of words."""
    longer = [word for word in words if word]
    for letter in sorted(alphabet) if longer else ():
        yield f"{name} begins with {letter}", all(word[0] == letter for word in longer)
        yield f"{name} ends with {letter}", all(word[-1] == letter for word in longer)
    if any(len(word) > 1 for word in words):
        yield f"{name} letters distinct", all(len(set(word)) == len(word) for word in words)
        yield f"{name} palindromes", all(word == word[::-1] for word in words)
        yield f"{name} letters sorted", all(list(word) == sorted(word) for word in words)
    if len(alphabet) <= _FEW_LETTERS:
        for one, other in combinations(sorted(alphabet), 2):
            yield f"{name} as many {one} as {other}", all(word.count(one) == word.count(other) for word in words)
        for one, other in product(sorted(alphabet), repeat=2):
            if one != other:
                yield f"{name} {one} before {other}", all(_leads(word, one, other) for word in words)


def _leads(word: str, one: str, other: str) -> bool:
    """Has no beginning of the word more of the other letter, as no `)` comes before its `(`?"""
    ahead = 0
    for letter in word:
        ahead += (letter == one) - (letter == other)
        if ahead < 0:
            return False
    return True
