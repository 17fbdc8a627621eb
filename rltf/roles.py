"""What a recipe's actors take of a cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping

from contracts.config import Recipe
from rltf.rooms import Role


def roles_of(recipe: Recipe, *, learns: bool = True) -> list[Role]:
    """A run's actors and what they take; who needs GPUs most comes first. `learns`: with a learner."""
    learner, actors, executors = recipe.learner, recipe.actors, recipe.executors
    learners = [
        Role("learner", learner.ranks, _bundle(learner.threads, learner.num_gpus, learner.resources), one_node=learner.one_node)
    ]
    return [
        *(learners if learns else ()),
        Role("samplers", actors.count, _bundle(actors.threads, actors.num_gpus, actors.resources)),
        Role("executors", executors.count, _bundle(executors.cores, 0, executors.resources), reads_files=False, spread=True),
    ]


def wanted(recipe: Recipe) -> dict[str, int]:
    """CPUs and GPUs of all actors together."""
    sums = {kind: sum(role.count * role.bundle.get(kind, 0) for role in roles_of(recipe)) for kind in ("CPU", "GPU")}
    return {kind: math.ceil(amount) for kind, amount in sums.items()}


def _bundle(cpus: int, gpus: float, resources: Mapping[str, float]) -> dict[str, float]:
    return {"CPU": cpus} | ({"GPU": gpus} if gpus else {}) | dict(resources)
