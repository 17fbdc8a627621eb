"""Supervised stages (warm start, control), with checkpoints from which an interrupted one goes on as if nothing had happened."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from contracts.training import OptimizerConfig
from learner.checkpoint import remove_old, step_folder, written_whole
from learner.step_metrics import StepMetrics
from rltf.cluster import Cluster
from rltf.runs import RunFolder, State

STEPS_PER_CALL = 10
"""At most."""
SECONDS_PER_CALL = 60.0
"""About so long it takes at most, where a step does not take longer: only between calls does anybody see the stage get on."""
STAGES = ("warm start", "control")


class Stage(NamedTuple):
    """A supervised stage."""

    name: str
    model: str
    """The folder of the weights that it begins with."""
    optimizer: OptimizerConfig
    steps: int
    batch: int
    """Corpus programs per step."""


def run_stage(
    stage: Stage,
    cluster: Cluster,
    folder: RunFolder,
    state: State,
    every: int,
    tell: Callable[[int, Sequence[StepMetrics]], None],
    on_checkpoint: Callable[[Path], None],
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """The stage's steps after its newest checkpoint; a checkpoint each `every` steps (0: none), the newest is kept.

    `tell` hears the number of steps made before some, and their metrics; `on_checkpoint` where one has been written. What a step
    draws depends on its number alone.
    """
    checkpoints = _checkpoints(folder, stage.name)
    cluster.start_learner(stage.model, stage.optimizer, stage.steps)
    step = steps_kept(state, stage.name)
    if step:
        cluster.on_ranks("load", step_folder(checkpoints, step))
    at_once = 1
    while step < stage.steps:
        count = min(at_once, stage.steps - step, every - step % every if every else at_once)
        begun = clock()
        rows = cluster.on_ranks("supervised_steps", stage.name, step, count, stage.batch)[0]
        at_once = min(STEPS_PER_CALL, max(1, int(SECONDS_PER_CALL * count / (clock() - begun))))
        tell(step, rows)
        step += count
        if every and step % every == 0 and step < stage.steps:
            checkpoint = step_folder(checkpoints, step)
            with written_whole(checkpoint) as partial:
                cluster.on_ranks("save", partial)
            state.stage, state.stage_step = stage.name, step
            folder.save(state)
            on_checkpoint(checkpoint)
            remove_old(checkpoints, 1)


def finish_stage(stage: str, folder: RunFolder, state: State) -> None:
    """Remember that a stage is done, and remove its checkpoint."""
    state.done.append(stage)
    folder.save(state)
    remove_finished(folder, state)


def remove_finished(folder: RunFolder, state: State) -> None:
    """Remove the checkpoints of stages that are done: one killed just then leaves its own to the resumed run."""
    for stage in state.done:
        shutil.rmtree(_checkpoints(folder, stage), ignore_errors=True)


def steps_kept(state: State, stage: str) -> int:
    """Steps of a stage that its newest checkpoint holds."""
    return state.stage_step if state.stage == stage else 0


def newest_checkpoint(folder: RunFolder, state: State) -> Path | None:
    """Of a run that is resumed."""
    if state.step:
        return step_folder(folder.checkpoints, state.step)
    unfinished = state.stage and state.stage not in state.done
    return step_folder(_checkpoints(folder, state.stage), state.stage_step) if unfinished else None


def unfinished(state: State) -> dict[str, int]:
    """Supervised stage that is not done → its steps that need not be made again."""
    return {stage: steps_kept(state, stage) for stage in STAGES if stage not in state.done}


def _checkpoints(folder: RunFolder, stage: str) -> Path:
    return folder.checkpoints / f"{stage.replace(' ', '-')}-state"
