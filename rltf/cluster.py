"""The actors of a run: learner ranks, samplers and executors on a Ray cluster, local or joined."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.actor import SamplerActor
from contracts.config import Recipe
from contracts.records import Problem, encode
from contracts.sections import OptimizerConfig
from executors.actor import ExecutorActor
from learner.rank import LearnerRank
from weights.select import choose_transport

OBJECT_STORE_BYTES = 256 * 2**20


@contextmanager
def connected(recipe: Recipe) -> Iterator[None]:
    """Join the cluster that the recipe or RAY_ADDRESS names, else start a local one that ends with this block."""
    address = recipe.ray_address or os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address, log_to_driver=True, logging_level=logging.WARNING)
    else:
        wanted = recipe.learner.ranks * recipe.learner.threads + recipe.actors.count * recipe.actors.threads
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, wanted + recipe.executors.count + 1),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
        )
    try:
        yield
    finally:
        ray.shutdown()


class Cluster:
    """Handles to all actors of a run."""

    def __init__(self, recipe: Recipe, model_path: str, train: Sequence[Problem], heldout: Sequence[Problem]) -> None:
        """Start all actors; they load the model's tokenizer, and the samplers the model, at once."""
        self.recipe = recipe
        statements = [msgspec.structs.replace(p, tests=(), hidden_tests=(), solutions=(), corpus=()) for p in (*train, *heldout)]
        tests = [msgspec.structs.replace(p, solutions=(), corpus=()) for p in (*train, *heldout)]
        corpus = [msgspec.structs.replace(p, tests=(), hidden_tests=(), solutions=()) for p in train]
        self.executors = self._start_executors(ray.put(encode(tests)))
        self.samplers = self._start_samplers(model_path, ray.put(encode(statements)))
        self.ranks = self._start_ranks(model_path, ray.put(encode(corpus)))
        self._has_source = False

    def start_learner(self, model_path: str, optimizer: OptimizerConfig, steps: int) -> None:
        """Begin a stage on a model folder's weights, and give them to the samplers."""
        layout = self.on_ranks("start", model_path, optimizer, steps)[0]
        if not self._has_source:
            self._join_weights(layout)
            self._has_source = True

    def publish(self, version: int) -> list[Any]:
        """Start a publication of the learner's weights; the futures are done when all samplers have them."""
        sent = [rank.publish.remote(version) for rank in self.ranks]
        return sent + [sampler.receive.remote() for sampler in self.samplers]

    def open_buffer(self, url: str) -> None:
        """Connect ranks and executors to the online buffer."""
        ray.get([actor.open_buffer.remote(url) for actor in (*self.ranks, *self.executors)])

    def on_ranks(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method on all ranks and wait for all."""
        results = ray.get([getattr(rank, method).remote(*arguments) for rank in self.ranks])
        assert isinstance(results, list)
        return results

    def _start_executors(self, problems: Any) -> list[Any]:
        remote = ray.remote(num_cpus=1)(ExecutorActor)
        return [remote.remote(self.recipe, problems) for _ in range(self.recipe.executors.count)]

    def _start_samplers(self, model_path: str, problems: Any) -> list[Any]:
        actors = self.recipe.actors
        remote = ray.remote(num_cpus=actors.threads, num_gpus=actors.num_gpus, concurrency_groups={"weights": 1})(SamplerActor)
        return [remote.remote(self.recipe, model_path, problems) for _ in range(actors.count)]

    def _start_ranks(self, model_path: str, problems: Any) -> list[Any]:
        learner = self.recipe.learner
        bundle = {"CPU": learner.threads} | ({"GPU": learner.num_gpus} if learner.num_gpus else {})
        group = placement_group([bundle] * learner.ranks, strategy="PACK")
        remote = ray.remote(num_cpus=learner.threads, num_gpus=learner.num_gpus)(LearnerRank)
        ranks = [
            remote.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)).remote(
                self.recipe, rank, model_path, problems
            )
            for rank in range(learner.ranks)
        ]
        address = ray.get(ranks[0].free_address.remote())
        ray.get([rank.join.remote(address) for rank in ranks])
        return ranks

    def _join_weights(self, layout: bytes) -> None:
        """Build the group that weights travel in: learner rank 0 and all samplers, by the transport that their places allow."""
        learner = ray.get(self.ranks[0].place.remote())
        places = ray.get([sampler.place.remote() for sampler in self.samplers])
        transport = choose_transport(self.recipe.weights.transport, learner, places)
        address = ray.get(self.ranks[0].free_address.remote())
        count = len(self.samplers)
        joins = [s.join.remote(transport, address, i, count, layout) for i, s in enumerate(self.samplers)]
        ray.get([self.ranks[0].open_source.remote(transport, address), *joins])
