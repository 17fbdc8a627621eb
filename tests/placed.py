"""Reserves room on a cluster and says where actors of these places really are: `python -m tests.placed HOST:PORT`."""

from __future__ import annotations

import json
import sys

import ray

from contracts.recipe import parse_recipe
from rltf.joining import connected
from rltf.reserving import reserve
from rltf.roles import roles_of

SHARES = {"learner": 0.5, "samplers": 0.5, "executors": 0.0}


class Actor:
    """Says where it is."""

    def place(self) -> tuple[str, str]:
        """Its node's address and its GPUs."""
        gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", ())
        return ray.util.get_node_ip_address(), ",".join(map(str, gpus))


def main() -> None:
    recipe = parse_recipe(
        {
            "name": "placed",
            "ray": {"address": sys.argv[1]},
            "learner": {"num_gpus": SHARES["learner"]},
            "actors": {"num_gpus": SHARES["samplers"], "count": 2},
            "executors": {"count": 2},
        }
    )
    with connected(recipe):
        found = {}
        for role, places in reserve(recipe.ray, roles_of(recipe), [], print).items():
            remote = ray.remote(num_cpus=1, num_gpus=SHARES[role])(Actor)
            actors = [remote.options(scheduling_strategy=place.strategy).remote() for place in places]
            found[role] = ray.get([actor.place.remote() for actor in actors])
        print(json.dumps(found))


main()
