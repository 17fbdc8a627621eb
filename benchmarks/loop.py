"""What distribution costs and what it gains: `make bench`, or `python -m benchmarks.loop [--steps 40] [--model FOLDER]`.

Three arms do the same online RLTF of recipes/local.yaml on one machine, from the same warm-started model, with one thread
for each of sampler and learner:

    one process      rltf/serial.py: no Ray, no Redis, no DeepSpeed, one thing after the other
    actors in turn   the run's actors, Redis and DeepSpeed, but one batch at a time: sample, execute, learn
    actors at once   the run's actors as `make local` has them, everything overlapped

Start-up and the first steps are not counted. CPU time is that of the whole process tree: driver, Ray's own processes, actors,
executed programs, Redis.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psutil
import ray
import torch
from rich.console import Console
from rich.table import Table

from buffer.redis_buffer import RedisBuffer
from buffer.server import EmbeddedRedis
from contracts.config import Recipe
from contracts.recipe import load_recipe
from contracts.records import Problem
from problems.order import ProblemOrder
from problems.sets import ProblemSet, load_problem_set
from rltf.board import Values
from rltf.cluster import Cluster
from rltf.joining import connected
from rltf.loop import OnlineLoop
from rltf.progress import Progress
from rltf.pulse import Pulse
from rltf.reserving import reserve
from rltf.roles import roles_of
from rltf.runs import State
from rltf.serial import serial_loop
from rltf.train import Run

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "local.yaml"
SKIPPED = 5
TRL_STEP_SECONDS = 2.1


class Arm(NamedTuple):
    """One arm's figures over the counted steps."""

    cpu_seconds: float
    wall_seconds: float
    median_step: float
    samples: int


class Meter:
    """Marks each step's wall and CPU time."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, float]] = []

    def mark(self) -> None:
        """A step has ended."""
        self._marks.append((time.perf_counter(), tree_cpu_seconds()))

    def arm(self, samples_per_step: int) -> Arm:
        """The figures of all steps but the first few."""
        counted = self._marks[SKIPPED - 1 :]
        walls = [later[0] - earlier[0] for earlier, later in pairwise(counted)]
        cpu = counted[-1][1] - counted[0][1]
        return Arm(cpu, sum(walls), statistics.median(walls), samples_per_step * len(walls))


def tree_cpu_seconds() -> float:
    """CPU time of this process and all below it, the ended ones included."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # it ended since the listing; its parent's figures hold its time
    return total


def run_actors(recipe: Recipe, model: str, problems: Sequence[Problem]) -> Arm:
    """The online loop on real actors."""
    meter = Meter()

    def on_step(step: int, metrics: Values, example: bytes | None) -> None:  # noqa: ARG001 - the loop's signature
        meter.mark()

    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server, connected(recipe):
        places = reserve(recipe.ray, roles_of(recipe), [], print)
        cluster = Cluster(recipe, model, ProblemSet(list(problems), [], 0), places, run=recipe.name)
        cluster.open_buffer(server.url, recipe.name)
        cluster.start_learner(model, recipe.learner.optimizer, recipe.steps)
        ray.get(cluster.publish(0))
        buffer = RedisBuffer(server.url, recipe.name, recipe.buffer)
        order = ProblemOrder([problem.id for problem in problems], recipe.seed, recipe.sampling.problems_per_batch)
        pulse = Pulse(lambda _: None, Path(folder))
        OnlineLoop(cluster, buffer, order, State(run=recipe.name), on_step, lambda state: buffer.commit(state.step), pulse).run()
    return meter.arm(recipe.samples_per_step)


def run_serial(recipe: Recipe, model: str, problems: Sequence[Problem]) -> Arm:
    """The same work in this process."""
    torch.set_num_threads(1)
    meter = Meter()
    for _ in serial_loop(recipe, problems, model):
        meter.mark()
    return meter.arm(recipe.samples_per_step)


def main() -> None:
    """Run the arms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="optimizer steps that are counted in each arm")
    parser.add_argument("--model", help="warm-started model folder; unset: one is made here in about a minute")
    arguments = parser.parse_args()
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as scratch:
        settings = (f"steps={arguments.steps + SKIPPED}", f"output={scratch}", "checkpoint.every=0", "warmup.steps=400")
        recipe = load_recipe(RECIPE, settings)
        if arguments.model is None:
            with Progress(console) as progress:
                Run(recipe, progress, warmup_only=True).execute()
        model = arguments.model or str(recipe.folder / "checkpoints" / "start")
        problems = load_problem_set(recipe.problems, recipe.folder, recipe.seed).train
        in_turn = load_recipe(RECIPE, (*settings, "deterministic=true", "actors.in_flight=1"))
        arms: dict[str, Callable[[], Arm]] = {
            "one process": lambda: run_serial(recipe, model, problems),
            "actors in turn": lambda: run_actors(in_turn, model, problems),
            "actors at once": lambda: run_actors(recipe, model, problems),
        }
        results = {}
        for name, run in arms.items():
            console.print(f"{name}: {recipe.steps} steps …")
            results[name] = run()
    _print(console, results, recipe.samples_per_step)


def _print(console: Console, results: dict[str, Arm], samples_per_step: int) -> None:
    table = Table("arm", "CPU s / 1,000 trained samples", "wall s / step (mean)", "wall s / step (median)")
    for name, arm in results.items():
        steps = arm.samples / samples_per_step
        table.add_row(
            name, f"{1000 * arm.cpu_seconds / arm.samples:.2f}", f"{arm.wall_seconds / steps:.2f}", f"{arm.median_step:.2f}"
        )
    console.print(table)
    alone, turn, once = results["one process"], results["actors in turn"], results["actors at once"]
    cost = (once.cpu_seconds / once.samples) / (alone.cpu_seconds / alone.samples)
    gain = (turn.wall_seconds / turn.samples) / (once.wall_seconds / once.samples)
    console.print(f"CPU per trained sample, actors at once against one process: {cost:.2f} x (wanted: at most 1.3)")
    console.print(f"wall time, actors in turn against actors at once: {gain:.2f} x (wanted: at least 1.2)")
    console.print(f"seconds per {samples_per_step}-sample step: {once.median_step:.2f}")
    console.print(f"(TRL 1.16's GRPOTrainer, in process, two threads, 128 samples a step: {TRL_STEP_SECONDS})")


if __name__ == "__main__":
    main()
