"""The actors of a run: learner ranks, samplers and executors on a Ray cluster, local or joined."""

from __future__ import annotations

import logging
import math
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import ray
import ray.exceptions
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.actor import SamplerActor
from contracts.config import Recipe
from contracts.errors import RunError, UserError
from contracts.records import Problem, encode
from contracts.training import OptimizerConfig
from executors.actor import ExecutorActor
from learner.rank import LearnerRank
from weights.select import choose_transport

OBJECT_STORE_BYTES = 256 * 2**20


# Without it, Ray leaves a node's GPUs visible to actors that asked for none, and libraries take them.
HIDE_GPUS = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}


def address_of(recipe: Recipe) -> str | None:
    """The cluster to join, None where a local one is started."""
    return recipe.ray_address or os.environ.get("RAY_ADDRESS")


@contextmanager
def connected(recipe: Recipe) -> Iterator[None]:
    """Join the cluster that the recipe or RAY_ADDRESS names, else start a local one that ends with this block.

    Raises UserError where the recipe's actors do not fit, or Ray's sockets their folder, and RunError where an actor dies.
    """
    address = address_of(recipe)
    on_terminate = signal.getsignal(signal.SIGTERM)
    if address:
        ray.init(address, runtime_env={"env_vars": HIDE_GPUS}, logging_level=logging.WARNING)
    else:
        _start_local(recipe)
    signal.signal(signal.SIGTERM, on_terminate)  # Ray sets a handler of its own, which would end the run as failed
    try:
        _check_resources(recipe)
        yield
    except ray.exceptions.RayActorError as err:
        first_line = str(err).strip().splitlines()[0]
        raise RunError(
            f"an actor died: {first_line}", "See its log in Ray's folder of this session; go on with --resume"
        ) from err
    finally:
        ray.shutdown()


def _start_local(recipe: Recipe) -> None:
    os.environ.update(HIDE_GPUS)
    try:
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, wanted(recipe)["CPU"]),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
        )
    except OSError as err:
        if "AF_UNIX" not in str(err):
            raise
        raise UserError(
            "Ray's folder for temporary files has too long a path: its sockets would not fit", "Set RAY_TMPDIR=/tmp"
        ) from err


def wanted(recipe: Recipe) -> dict[str, int]:
    """CPUs and GPUs of all actors together."""
    learner, actors, executors = recipe.learner, recipe.actors, recipe.executors
    return {
        "CPU": learner.ranks * learner.threads + actors.count * actors.threads + executors.count * executors.cores,
        "GPU": math.ceil(learner.ranks * learner.num_gpus + actors.count * actors.num_gpus),
    }


def _check_resources(recipe: Recipe) -> None:
    """Raises UserError where the cluster is too small: Ray would wait without a word."""
    there = ray.cluster_resources()
    for kind, count in wanted(recipe).items():
        if count > there.get(kind, 0):
            raise UserError(
                f"the recipe's actors need {count} {kind}s, the cluster has {there.get(kind, 0):.0f}",
                "Lower learner.ranks, actors.count, executors.count, their threads, cores or num_gpus, or join a larger cluster",
            )


class Cluster:
    """Handles to all actors of a run."""

    def __init__(self, recipe: Recipe, model_path: str, train: Sequence[Problem], heldout: Sequence[Problem]) -> None:
        """Start all actors at once: they load the model's tokenizer, and the samplers the model."""
        self.recipe = recipe
        statements = [msgspec.structs.replace(p, tests=(), hidden_tests=(), solutions=(), corpus=()) for p in (*train, *heldout)]
        tests = [msgspec.structs.replace(p, solutions=(), corpus=()) for p in (*train, *heldout)]
        corpus = [msgspec.structs.replace(p, tests=(), hidden_tests=(), solutions=()) for p in train]
        self.executors = self._make_executors()
        self.samplers = self._make_samplers()
        self.ranks = self._make_ranks()
        for_executors, for_samplers, for_ranks = (ray.put(encode(part)) for part in (tests, statements, corpus))
        starts = [executor.start.remote(recipe, for_executors) for executor in self.executors]
        starts += [sampler.start.remote(recipe, model_path, for_samplers) for sampler in self.samplers]
        starts += [rank.prepare.remote(recipe, i, model_path, for_ranks) for i, rank in enumerate(self.ranks)]
        ray.get(starts)
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

    def _make_executors(self) -> list[Any]:
        remote = ray.remote(num_cpus=self.recipe.executors.cores, scheduling_strategy="SPREAD")(ExecutorActor)
        return [remote.remote() for _ in range(self.recipe.executors.count)]

    def _make_samplers(self) -> list[Any]:
        actors = self.recipe.actors
        remote = ray.remote(num_cpus=actors.threads, num_gpus=actors.num_gpus, concurrency_groups={"weights": 1})(SamplerActor)
        return [remote.remote() for _ in range(actors.count)]

    def _make_ranks(self) -> list[Any]:
        learner = self.recipe.learner
        bundle = {"CPU": learner.threads} | ({"GPU": learner.num_gpus} if learner.num_gpus else {})
        group = placement_group([bundle] * learner.ranks, strategy="PACK")
        remote = ray.remote(num_cpus=learner.threads, num_gpus=learner.num_gpus)(LearnerRank)
        places = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=i) for i in range(learner.ranks)]
        return [remote.options(scheduling_strategy=place).remote() for place in places]

    def _join_weights(self, layout: bytes) -> None:
        """Build the group that weights travel in: learner rank 0 and all samplers, by the transport that their places allow."""
        learner = ray.get(self.ranks[0].place.remote())
        places = ray.get([sampler.place.remote() for sampler in self.samplers])
        transport = choose_transport(self.recipe.weights.transport, learner, places)
        address = ray.get(self.ranks[0].free_address.remote())
        count = len(self.samplers)
        joins = [s.join.remote(transport, address, i, count, layout) for i, s in enumerate(self.samplers)]
        ray.get([self.ranks[0].open_source.remote(transport, address), *joins])
