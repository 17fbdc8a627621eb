"""Reserves all that a run's actors need, where they will be, in one go: nobody holds a part and waits for the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ray.autoscaler.sdk import request_resources
from ray.util.placement_group import NODE_ID_LABEL_KEY, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from contracts.errors import RunError, UserError
from contracts.sections import RayConfig
from rltf.nodes import Nodes
from rltf.placement import Plan, plan
from rltf.rooms import Node, Role

LOOK_SECONDS = 2.0
RESERVE_SECONDS = 10.0
LEAST_RESERVE_SECONDS = 2.0
REMEDY = "Lower learner.ranks, actors.count, executors.count, their threads, cores or num_gpus, or join a larger cluster"
SHARE = "Set output and model.path to places that the nodes share, or keep learner and samplers on the driver's node"


class Place(NamedTuple):
    """An actor's reservation."""

    node: str
    """Its node's address."""
    strategy: PlacementGroupSchedulingStrategy


Places = Mapping[str, Sequence[Place]]
"""Role → the places of its actors."""


def reserve(
    config: RayConfig,
    roles: Sequence[Role],
    files: Sequence[Path],
    tell: Callable[[str], None],
    waiting: Callable[[], None] = lambda: None,
) -> Places:
    """Wait until all roles fit and reserve what they take; `tell` hears who lacks what meanwhile, `waiting` of each look in vain.

    Raises UserError where the cluster is too small even when nobody else uses it, and RunError where it has been too busy for
    `ray.wait_seconds`; a cluster that was large enough, and has lost a node, is waited for.
    """
    if not config.autoscales:
        return _wait(config, roles, Nodes(files), tell, waiting)
    request_resources(bundles=[dict(role.bundle) for role in roles for _ in range(role.count)])
    try:
        return _wait(config, roles, Nodes(files), tell, waiting)
    finally:
        request_resources(bundles=[])


def _wait(
    config: RayConfig, roles: Sequence[Role], nodes: Nodes, tell: Callable[[str], None], waiting: Callable[[], None]
) -> Places:
    left_out: set[str] = set()
    names: dict[str, str] = {}
    fitted, said = False, ""
    seen = nodes.look()
    deadline = time.monotonic() + config.wait_seconds  # nodes that are slow to answer at first take nothing from it
    while True:
        for gone in names.keys() - {node.id for node in seen}:
            tell(f"node {names.pop(gone)} has gone")
        names |= {node.id: node.name for node in seen}
        for node in seen:
            if node.unfit and node.id not in left_out:
                left_out.add(node.id)
                tell(f"node {node.name} is left out: it {node.unfit}")
        now = plan(seen, roles)
        left = max(deadline - time.monotonic(), LEAST_RESERVE_SECONDS)
        if not now.short and (places := _reserved(seen, roles, now, min(left, RESERVE_SECONDS))):
            if len(seen) > 1:
                tell("; ".join(f"{role} on {_where(those)}" for role, those in places.items()))
            return places
        ever = plan(seen, roles, emptied=True) if now.short else now
        if ever.short and not (fitted or config.autoscales or _may_fit(seen, roles)):
            remedy = SHARE if any(node.blind for node in seen) else REMEDY
            raise UserError(f"the recipe's actors do not fit the cluster: {_lacking(ever)}", remedy)
        fitted = fitted or not ever.short
        lacking = _lacking(now) if now.short else _refused(roles)
        if time.monotonic() >= deadline:
            raise RunError(f"the cluster has been too busy for {config.wait_seconds} s: {lacking}", "Raise ray.wait_seconds")
        if lacking != said:
            said = lacking
            tell(f"waiting for room: {lacking}")
        waiting()
        time.sleep(LOOK_SECONDS)
        seen = nodes.look()


def _may_fit(seen: Sequence[Node], roles: Sequence[Role]) -> bool:
    """Would there be room if the nodes that have not answered were as good as any?"""
    hoped = [replace(node, unfit="") if node.unsure else node for node in seen]
    return not plan(hoped, roles, emptied=True).short


def _lacking(plan: Plan) -> str:
    return "; ".join(map(str, plan.short))


def _refused(roles: Sequence[Role]) -> str:
    """Why Ray may not have given what looked free."""
    faster = "Ray did not give what looked free: others were faster"
    shares = any("GPU" in role.bundle for role in roles)
    return f"{faster}, or what is left of a node's GPUs is of several" if shares else faster


def _where(places: Sequence[Place]) -> str:
    counts = Counter(place.node for place in places)
    return ", ".join(f"{node} ({count})" for node, count in counts.items())


def _reserved(nodes: Sequence[Node], roles: Sequence[Role], found: Plan, seconds: float) -> Places | None:
    """What the plan says, of Ray; None where it does not give it within so many seconds."""
    names = {node.id: node.name for node in nodes}
    largest_first = sorted(roles, key=lambda role: -role.bundle.get("GPU", 0))  # small shares fill what large ones leave of GPUs
    wanted = [(role, key) for role in largest_first for key in found.places[role.name]]
    group = placement_group(
        [dict(role.bundle) for role, _ in wanted],
        strategy="PACK",
        bundle_label_selector=[{NODE_ID_LABEL_KEY: key} for _, key in wanted],
    )
    if not group.wait(seconds):
        remove_placement_group(group)
        return None
    places: dict[str, list[Place]] = {role.name: [] for role in roles}
    for index, (role, key) in enumerate(wanted):
        strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index)
        places[role.name].append(Place(names[key], strategy))
    return places
