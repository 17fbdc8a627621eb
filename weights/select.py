"""Which transport fits the placement, and its two ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from contracts.errors import UserError
from weights.base import Sink, Source
from weights.group import GroupSink, GroupSource
from weights.ipc import IpcSink, IpcSource


class Place(NamedTuple):
    """Where an actor runs."""

    node: str
    gpus: tuple[str, ...]
    """Ids of the node's GPUs that the actor may use; empty on a CPU."""

    def shares_gpu_with(self, other: Place) -> bool:
        """Do both use one GPU?"""
        return self.node == other.node and bool(set(self.gpus) & set(other.gpus))


def choose_transport(configured: str, learner: Place, samplers: Sequence[Place]) -> str:
    """gloo, nccl or ipc for learner rank 0 and the samplers. Raises UserError where the configured one cannot work."""
    places = (learner, *samplers)
    apart = not any(one.shares_gpu_with(other) for one, other in combinations(places, 2))
    fitting = "gloo"
    if all(learner.shares_gpu_with(sampler) for sampler in samplers):
        fitting = "ipc"
    elif apart and all(place.gpus for place in places):
        fitting = "nccl"
    if configured in ("auto", "gloo"):
        return fitting if configured == "auto" else "gloo"
    if configured != fitting:
        why = {
            "nccl": "NCCL needs a GPU for each of learner and samplers, none shared",
            "ipc": "CUDA IPC needs every sampler on the learner's GPU",
        }[configured]
        raise UserError(f"weights.transport={configured} does not fit where the actors run: {why}", f"Use auto (here: {fitting})")
    return configured


def make_source(transport: str, address: tuple[str, int], sinks: int) -> Source:
    """The learner's end. gloo returns when all samplers have joined; NCCL and IPC meet them at the first publication."""
    if transport == "ipc":
        return IpcSource(address, sinks)
    return GroupSource(transport, address, 0, sinks + 1)


def make_sink(transport: str, address: tuple[str, int], index: int, sinks: int) -> Sink:
    """The end of sampler `index`; the others are met as in `make_source`."""
    if transport == "ipc":
        return IpcSink(address, index)
    return GroupSink(transport, address, index + 1, sinks + 1)
