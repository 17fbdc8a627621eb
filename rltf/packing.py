"""Places for all actors of a few roles, found wherever there are some: a knapsack over the nodes.

Node by node, it keeps which numbers of actors of all roles but one can be placed so far, and the most of that one beside them.
That is slow for large clusters, and there it is not needed: they have room to go by simpler rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from operator import add
from typing import NamedTuple

from rltf.rooms import Role, Room

MOST_STEPS = 300_000
"""Less than a second's work."""
Numbers = tuple[int, ...]
"""Of each role but the last."""


class _Way(NamedTuple):
    """One to have placed some."""

    last: int
    """Actors of the last role, at most."""
    before: _Way | None = None
    room: Room | None = None
    numbers: Numbers = ()
    """On this node."""
    more: int = 0
    """Of the last role on this node."""


def packed(rooms: Sequence[Room], roles: Sequence[Role]) -> Mapping[str, Sequence[str]] | None:
    """Role → the node ids of its actors; None where they do not fit, and where it would take long to know."""
    *others, last = sorted(roles, key=lambda role: (not role.one_node, role.count))
    room_for = {role.name: [_most(room, role) for room in rooms] for role in roles}
    if any(sum(room_for[role.name]) < role.count for role in roles):
        return None
    on_each = [prod(room_for[role.name][n] + 1 for role in others) for n in range(len(rooms))]
    if sum(on_each) * prod(role.count + 1 for role in others) > MOST_STEPS:
        return None
    whole = tuple(role.count for role in others)
    reached = {tuple(0 for _ in others): _Way(0)}
    for room in rooms:
        found: dict[Numbers, _Way] = {}
        for numbers, more in _choices(room, others, last):
            for before, way in reached.items():
                both = tuple(map(add, before, numbers))
                if any(map(int.__gt__, both, whole)) or (both in found and found[both].last >= way.last + more):
                    continue
                found[both] = _Way(way.last + more, way, room, numbers, more)
        reached = found
    best = reached.get(whole)
    return _places(best, others, last) if best and best.last >= last.count else None


def _most(room: Room, role: Role) -> int:
    most = room.most(role.bundle, role.count) if room.fits(role) else 0
    return most if most == role.count or not role.one_node else 0


def _choices(room: Room, others: Sequence[Role], last: Role) -> list[tuple[Numbers, int]]:
    """Numbers of actors that fit on a node together, and the most of the last role beside them."""
    found = []
    ranges = [(0, role.count) if role.one_node else range(role.count + 1) for role in others]
    for numbers in product(*([n for n in some if n <= _most(room, role)] for some, role in zip(ranges, others, strict=True))):
        left = room.copy()
        wanted = sorted(zip(others, numbers, strict=True), key=lambda one: -one[0].bundle.get("GPU", 0))
        if all(left.take_most(role.bundle, number) == number for role, number in wanted):
            found.append((numbers, _most(left, last)))
    return found


def _places(way: _Way, others: Sequence[Role], last: Role) -> dict[str, list[str]]:
    places: dict[str, list[str]] = {role.name: [] for role in (*others, last)}
    room_for: list[tuple[str, int]] = []
    step: _Way | None = way
    while step and step.room:
        for role, number in zip(others, step.numbers, strict=True):
            places[role.name] += [step.room.node.id] * number
        room_for.append((step.room.node.id, step.more))
        step = step.before
    turns = sorted((turn if last.spread else 0, n, key) for n, (key, more) in enumerate(room_for) for turn in range(more))
    places[last.name] = [key for *_, key in turns[: last.count]]
    return places
