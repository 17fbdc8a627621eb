"""The actors of a run: learner ranks, samplers and executors on a Ray cluster, local or joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import ray

from actors.actor import SamplerActor
from contracts import logs
from contracts.config import Recipe
from contracts.records import encode
from contracts.training import OptimizerConfig
from executors.actor import ExecutorActor
from learner.rank import LearnerRank
from problems.sets import ProblemSet
from rltf.reserving import Place, Places
from weights.select import choose_transport


class Cluster:
    """Handles to all actors of a run."""

    def __init__(
        self,
        recipe: Recipe,
        model_path: str,
        problems: ProblemSet,
        places: Places,
        *,
        run: str,
    ) -> None:
        """Start all actors at once, each where it is reserved: they load the model's tokenizer, and the samplers the model.

        Without places for a learner there is none, and samplers keep the weights they have loaded. `run` is what logs call it.
        """
        self.recipe = recipe
        every = (*problems.train, *problems.heldout)
        statements = [msgspec.structs.replace(p, tests=(), hidden_tests=(), solutions=(), corpus=()) for p in every]
        tests = [msgspec.structs.replace(p, solutions=(), corpus=()) for p in every]
        corpus = [msgspec.structs.replace(p, tests=(), hidden_tests=(), solutions=()) for p in problems.train]
        learner, actors, executors = recipe.learner, recipe.actors, recipe.executors
        self.executors = _make(ExecutorActor, places["executors"], executors.cores, 0, executors.resources)
        self.samplers = _make(
            SamplerActor, places["samplers"], actors.threads, actors.num_gpus, actors.resources, concurrency_groups={"weights": 1}
        )
        self.ranks = _make(LearnerRank, places.get("learner", ()), learner.threads, learner.num_gpus, learner.resources)
        for_executors, for_samplers, for_ranks = (ray.put(encode(part)) for part in (tests, statements, corpus))
        starts = [executor.start.remote(recipe, run, i, for_executors) for i, executor in enumerate(self.executors)]
        starts += [sampler.start.remote(recipe, run, i, model_path, for_samplers) for i, sampler in enumerate(self.samplers)]
        starts += [rank.prepare.remote(recipe, run, i, model_path, for_ranks) for i, rank in enumerate(self.ranks)]
        for started in ray.get(starts):
            logs.info("actor started", **msgspec.structs.asdict(started))
        if self.ranks:
            self.on_ranks("join", ray.get(self.ranks[0].free_address.remote()))
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

    def open_buffer(self, url: str, run: str) -> None:
        """Connect ranks and executors to the online buffer."""
        ray.get([actor.open_buffer.remote(url, run) for actor in (*self.ranks, *self.executors)])

    def on_ranks(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method on all ranks and wait for all."""
        results = ray.get([getattr(rank, method).remote(*arguments) for rank in self.ranks])
        assert isinstance(results, list)
        return results

    def _join_weights(self, layout: bytes) -> None:
        """Build the group that weights travel in: learner rank 0 and all samplers, by the transport that their places allow."""
        learner = ray.get(self.ranks[0].place.remote())
        places = ray.get([sampler.place.remote() for sampler in self.samplers])
        transport = choose_transport(self.recipe.weights.transport, learner, places)
        address = ray.get(self.ranks[0].free_address.remote())
        count = len(self.samplers)
        joins = [s.join.remote(transport, address, i, count, layout) for i, s in enumerate(self.samplers)]
        ray.get([self.ranks[0].open_source.remote(transport, address), *joins])


def _make(actor: type, places: Sequence[Place], cpus: int, gpus: float, resources: Mapping[str, float], **more: Any) -> list[Any]:
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, resources=dict(resources), **more)(actor)
    return [remote.options(scheduling_strategy=place.strategy).remote() for place in places]
