"""Nodes, the roles whose actors are to be on them, and what is left of a node while actors are placed on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

ONE = 10_000
"""Resources are counted in ten-thousandths, as Ray counts them: sums of floats would miss."""


@dataclass(frozen=True)
class Node:
    """A node of the cluster, as far as a run may use it."""

    id: str
    name: str
    """Its address."""
    free: Mapping[str, float]
    """Resource → what nobody holds."""
    total: Mapping[str, float]
    unfit: str = ""
    """Why no actor can be on it, such as "has torch 2.12.0, the driver 2.13.0"; empty: they can."""
    blind: str = ""
    """Why actors that read and write the run's files cannot; empty: they can."""
    unsure: bool = False
    """It has not said so itself, and is asked again: it may turn out to be fit."""


@dataclass(frozen=True)
class Role:
    """Actors of one kind."""

    name: str
    count: int
    bundle: Mapping[str, float]
    """What each of them takes."""
    reads_files: bool = True
    spread: bool = False
    """Over as many nodes as there are; false: on as few as there is room on, first on those that the run uses anyway."""
    one_node: bool = False
    """All on one node or not at all."""


def wording(bundle: Mapping[str, float]) -> str:
    """What an actor takes: "1 CPU, 0.5 GPU"."""
    return ", ".join(f"{amount:g} {kind}" for kind, amount in bundle.items() if amount)


class Room:
    """What is left of a node while actors are placed on it."""

    def __init__(self, node: Node, resources: Mapping[str, float]) -> None:
        self.node = node
        self.left = {kind: round(amount * ONE) for kind, amount in resources.items()}
        whole, share = divmod(self.left.pop("GPU", 0), ONE)
        # How shares are spread over GPUs is not told: they are taken for those of one.
        self.gpus = [ONE] * whole + ([share] if share else [])

    def lacks(self, bundle: Mapping[str, float]) -> str | None:
        """The first resource that there is too little of, None where the bundle fits."""
        for kind, amount in bundle.items():
            units = round(amount * ONE)
            if units and not (self._gpus_for(units) if kind == "GPU" else self.left.get(kind, 0) >= units):
                return kind
        return None

    def take(self, bundle: Mapping[str, float]) -> None:
        for kind, amount in bundle.items():
            units = round(amount * ONE)
            if kind != "GPU":
                self.left[kind] = self.left.get(kind, 0) - units
                continue
            for place in self._gpus_for(units):
                self.gpus[place] -= min(units, ONE)

    def fits(self, role: Role) -> bool:
        """Could any of its actors be here, if there was room?"""
        return not (self.node.unfit or (role.reads_files and self.node.blind))

    def copy(self) -> Self:
        """As it is now."""
        scratch = type(self)(self.node, {})
        scratch.left, scratch.gpus = dict(self.left), list(self.gpus)
        return scratch

    def most(self, bundle: Mapping[str, float], wanted: int) -> int:
        """How many such bundles fit, `wanted` at most."""
        return self.copy().take_most(bundle, wanted)

    def take_most(self, bundle: Mapping[str, float], wanted: int) -> int:
        """Take `wanted` such bundles, or as many as fit."""
        taken = 0
        while taken < wanted and self.lacks(bundle) is None:
            self.take(bundle)
            taken += 1
        return taken

    def says(self, role: Role) -> str:
        """Why there is no room for one more."""
        if reason := self.node.unfit or (self.node.blind if role.reads_files else ""):
            return f"node {self.node.name} {reason}"
        kind = self.lacks(role.bundle)
        if kind is None:
            return f"node {self.node.name} has room for {self.most(role.bundle, role.count)}"
        left = sum(self.gpus) if kind == "GPU" else self.left.get(kind, 0)
        plural = "s" if kind in ("CPU", "GPU") else ""
        said = f"node {self.node.name} has {left / ONE:g} of {self.node.total.get(kind, 0):g} {kind}{plural} left"
        most = max(self.gpus, default=0)
        return f"{said}, no more than {most / ONE:g} of one" if kind == "GPU" and 0 < most < ONE else said

    def _gpus_for(self, units: int) -> list[int]:
        """The GPUs that so much would come from: whole ones, or the fullest one with room for a share. Empty: there are none."""
        if not units:
            return []
        fitting = sorted((left, place) for place, left in enumerate(self.gpus) if left >= min(units, ONE))
        needed = max(1, units // ONE)
        return [place for _, place in fitting[:needed]] if len(fitting) >= needed else []
