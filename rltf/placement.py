"""Which node gets which actor, or what a cluster lacks for them, role by role: plain data in, plain data out.

Sums over a cluster say too little: an actor needs all of its resources on one node, and a share of a GPU on one GPU. So actors
are placed one by one, as Ray would, each share of a GPU on the fullest GPU that has room for it. Where one order of roles does
not work out, the others are tried, and then all numbers of actors that nodes can have (rltf/packing.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from rltf.packing import packed
from rltf.rooms import Node, Role, Room, wording

MOST_NODES_NAMED = 3


@dataclass(frozen=True)
class Shortfall:
    """What a cluster lacks for one role."""

    role: Role
    fit: int
    """Actors that there is room for, beside the other roles'."""
    nodes: Sequence[str]
    """What each node lacks for one more."""

    def __str__(self) -> str:
        named = list(self.nodes[:MOST_NODES_NAMED])
        if more := len(self.nodes) - len(named):
            named.append(f"and {more} more nodes")
        together = " on one node" if self.role.one_node else ""
        why = ", ".join(named) or "there are no nodes"
        return f"{self.role.name}: {self.role.count} × ({wording(self.role.bundle)}) wanted{together}, {self.fit} fit: {why}"


@dataclass(frozen=True)
class Plan:
    """Where a run's actors go."""

    places: Mapping[str, Sequence[str]]
    """Role → the node ids of its actors."""
    short: Sequence[Shortfall]
    """What is lacking; then nothing should be started."""


def plan(nodes: Sequence[Node], roles: Sequence[Role], *, emptied: bool = False) -> Plan:
    """A place for every actor; GPUs are given to roles in their order. `emptied`: as if nobody else held anything."""
    rooms = [Room(node, node.total if emptied else node.free) for node in nodes]
    first = _Planner(rooms).plan(roles)
    if not first.short:
        return first
    for order in permutations(roles):
        found = _Planner(rooms).plan(order)
        if not found.short:
            return found
    places = packed(rooms, roles)
    return Plan(places, ()) if places else first


class _Planner:
    """Places one role after another on what is left."""

    def __init__(self, rooms: Iterable[Room]) -> None:
        self._rooms = [room.copy() for room in rooms]
        self._used: Counter[str] = Counter()

    def plan(self, roles: Iterable[Role]) -> Plan:
        places: dict[str, list[str]] = {}
        short = []
        for role in roles:
            rooms = [room for room in self._rooms if room.fits(role)]
            places[role.name] = self._spread(role, rooms) if role.spread else self._pack(role, rooms)
            if (fit := len(places[role.name])) < role.count:
                short.append(Shortfall(role, fit, [room.says(role) for room in self._rooms]))
            self._used.update(places[role.name])
        return Plan(places, short)

    def _pack(self, role: Role, rooms: Sequence[Room]) -> list[str]:
        """Nodes in use first, then those with room for most; what is asked for on one node goes where all of it fits."""
        room_for = {room.node.id: room.most(role.bundle, role.count) for room in rooms}
        order = sorted(rooms, key=lambda room: (-bool(self._used[room.node.id]), -room_for[room.node.id]))
        if role.one_node:
            order = sorted(order, key=lambda room: room_for[room.node.id] < role.count)[:1]
        chosen: list[str] = []
        for room in order:
            for _ in range(min(room_for[room.node.id], role.count - len(chosen))):
                room.take(role.bundle)
                chosen.append(room.node.id)
        return chosen

    def _spread(self, role: Role, rooms: Sequence[Room]) -> list[str]:
        """One by one, each on the node that has the fewest of them, and of these where most CPUs are left."""
        chosen: list[str] = []
        here: Counter[str] = Counter()
        while len(chosen) < role.count and (fitting := [room for room in rooms if room.lacks(role.bundle) is None]):
            best = min(fitting, key=lambda room: (here[room.node.id], -room.left.get("CPU", 0)))
            best.take(role.bundle)
            here[best.node.id] += 1
            chosen.append(best.node.id)
        return chosen
