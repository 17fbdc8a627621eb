"""A run on disk: its folder, and the state from which `--resume` goes on."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from buffer.redis_buffer import RedisBuffer
from buffer.server import url_of
from contracts.config import Recipe
from contracts.errors import UserError
from contracts.files import write_in_one_move
from contracts.recipe import load_recipe, write_recipe
from executors import tiers
from problems.sets import check_problem_set
from rltf.board import Board
from rltf.copies import check_url
from rltf.endpoint import Endpoint, check_targets
from rltf.host import address_of, driver_host
from rltf.job import check_lasting, in_a_job
from rltf.locks import check_alone
from rltf.tensorboard import require_tensorboard
from rltf.totals import Totals

LEAST_FREE_MB = 200
CHANGEABLE = {"monitor", "ray", "upload", "hardware"}
"""What a resumed run may have otherwise than before."""


class State(msgspec.Struct, kw_only=True):
    """state.json: how far a run has come."""

    run: str
    """Its name and a word of its own, so that no two runs meet: in Redis, in Prometheus, in a log."""
    done: list[str] = []
    """Stages that are finished."""
    stage: str = ""
    """The supervised stage that last wrote a checkpoint, and the optimizer steps that it holds."""
    stage_step: int = 0
    step: int = 0
    """Optimizer steps of the newest online checkpoint."""
    position: int = 0
    """Next batch of the problem order at that checkpoint."""
    pending: list[int] = []
    """Batches that were in flight then."""
    sequence: int = 0
    """Number of the buffer's newest group then."""
    drawn: int = 0
    """Samples that had been drawn from the buffer then."""
    totals: Totals = msgspec.field(default_factory=Totals)


class _Earlier(msgspec.Struct):
    """As much of a state as says which run it is, and whether it has come to a checkpoint or to the end of a stage."""

    run: str
    done: list[str] = []
    stage: str = ""
    step: int = 0


class RunFolder:
    """runs/NAME: config.yaml, metrics.jsonl, summary.json, report.html, evaluations/, checkpoints/, redis/, state.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.evaluations = path / "evaluations"
        self.redis = path / "redis"
        self._state = path / "state.json"

    def begin(self, recipe: Recipe, *, resume: bool, tell: Callable[[str], None] = lambda _: None) -> State:
        """Make the folder anew, or go on in it; returns how far it has come. Raises UserError as `check` does.

        A run that was there before is kept, once, as NAME~previous: a forgotten --resume costs nobody their run, and a start that
        fails does not take its place. `tell` hears where it is now. Prometheus need not look for it any more, if it was killed.
        """
        self.check(recipe, resume=resume)
        if resume:
            return self.state()
        came_far = True
        if self._state.is_file():
            given_up = msgspec.json.decode(self._state.read_bytes(), type=_Earlier)
            came_far = bool(given_up.done or given_up.stage or given_up.step)
            (recipe.monitor.targets_beside(self.path) / f"{given_up.run}.json").unlink(missing_ok=True)
        if moved := make_anew(self.path, displaces=came_far):
            tell(moved)
        write_recipe(anchored(recipe), self.path / "config.yaml")
        state = State(run=f"{recipe.name}-{secrets.token_hex(4)}")
        self.save(state)
        return state

    def check(self, recipe: Recipe, *, resume: bool) -> None:
        """See whether `begin` may go ahead; changes nothing.

        Raises UserError where a run is to be resumed that isn't there or was made by another recipe, where the folder holds
        something else than a run, where it cannot be made, and where the disk is full.
        """
        if resume:
            self._check_resumable(recipe)
        else:
            check_replaceable(self.path, self._state.name, "a run", "Choose another name=… or output=…")
            check_kept(self.path, sources_of(recipe), "Choose another name=… or output=…")
        check_space(self.path)

    def state(self) -> State:
        """What was saved last."""
        return msgspec.json.decode(self._state.read_bytes(), type=State)

    def save(self, state: State) -> None:
        """Save in one move."""
        write_in_one_move(self._state, msgspec.json.encode(state))

    def _check_resumable(self, recipe: Recipe) -> None:
        if not self._state.is_file():
            raise UserError(f"there is no run to resume in {self.path}", "Leave out --resume to start one")
        check_same_recipe(self.path, recipe, "or choose another name=…")


def make_anew(folder: Path, *, displaces: bool = True) -> str:
    """An empty folder; what was there before is kept, once, as NAME~previous, if need be in the place of what is there.

    Returns that in words, empty where nothing was moved.
    """
    previous, moved = _previous(folder), ""
    if folder.exists() and previous.exists() and not displaces:
        shutil.rmtree(folder)
    elif folder.exists():
        gone = ", and what was in that is gone" if previous.exists() else ""
        shutil.rmtree(previous, ignore_errors=True)
        os.replace(folder, previous)
        moved = f"what was in {folder} is now in {previous}{gone}"
    folder.mkdir(parents=True)
    return moved


def _previous(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}~previous")  # no recipe can have this name


def check_kept(folder: Path, sources: Iterable[Path], remedy: str) -> None:
    """Raises UserError where `make_anew` would take a source away."""
    for place in (folder.resolve(), _previous(folder.resolve())):
        for source in sources:
            if source.resolve().is_relative_to(place):
                raise UserError(f"{source} is to be read, and {place} makes way for what is to be written", remedy)


def sources_of(recipe: Recipe) -> list[Path]:
    """What the recipe reads from this machine: its model, its problems and what was found out about them, its critic."""
    problems, model = recipe.problems, recipe.model.path
    named = (model and Path(model), problems.path, problems.heldout_path, problems.checked, recipe.objective.reference.critic)
    return [path for path in named if path and path.exists()]


def anchored(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths to the folders of models that actors read, where these are on this machine.

    An actor's working folder is another one than the driver's, and so is that of who resumes the run. In a job's copy of the
    tree nothing changes: its actors work in a copy too, and the job that resumes it in a new one.
    """
    if in_a_job():
        return recipe
    model, objective = recipe.model, recipe.objective
    if model.path and Path(model.path).is_dir():
        model = model.model_copy(update={"path": str(Path(model.path).absolute())})
    if (critic := objective.reference.critic) and critic.is_dir():
        reference = objective.reference.model_copy(update={"critic": critic.absolute()})
        objective = objective.model_copy(update={"reference": reference})
    return recipe.model_copy(update={"model": model, "objective": objective})


def check_same_recipe(folder: Path, recipe: Recipe, otherwise: str) -> None:
    """Raises UserError where what is in the folder was started with another recipe; `otherwise` ends the remedy."""
    old = load_recipe(folder / "config.yaml").model_dump(exclude=CHANGEABLE)
    changed = differences(old, anchored(recipe).model_dump(exclude=CHANGEABLE))
    if changed:
        raise UserError(
            f"what is in {folder} was started with other values: {', '.join(changed)}",
            f"Resume with the recipe and overrides that it was started with, {otherwise}",
        )


def check_replaceable(folder: Path, marker: str, what: str, remedy: str) -> None:
    """Raises UserError where a folder cannot be made, and where it holds something else than `what`: that has a file `marker`."""
    if folder.is_dir() and not folder.is_symlink():
        names = {entry.name for entry in folder.iterdir()}
        if names - {"config.yaml"} and marker not in names:
            raise UserError(f"{folder} is there and holds something else than {what}", remedy)
        return
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if nearest == folder or not nearest.is_dir():
        raise UserError(f"{folder} cannot be made: {nearest} is no folder", remedy)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{folder} cannot be made: {nearest} cannot be written to", remedy)


def check_run(recipe: Recipe, *, resume: bool) -> None:
    """See, before anything heavy is loaded and anything of the run is written or deleted, whether it can begin.

    Raises UserError as `check_surroundings` and `check_problems` do.
    """
    check_surroundings(recipe, resume=resume)
    check_problems(recipe)


def check_problems(recipe: Recipe) -> None:
    """Raises UserError where the problems that the recipe names cannot be read, or hold nothing to imitate and it imitates."""
    named = check_problem_set(recipe.problems, recipe.seed)
    if named and imitates(recipe) and not any(problem.corpus for problem in named.train):
        raise UserError(
            "the training problems have no solutions to imitate",
            "Add solutions.json or corpus.json, or set learner.sl_samples=0, warmup.steps=0 and control=false",
        )


def imitates(recipe: Recipe) -> bool:
    """Has it any supervised steps?"""
    return bool(recipe.learner.sl_samples or recipe.warmup.steps or recipe.control)


def check_surroundings(recipe: Recipe, *, resume: bool) -> None:
    """Raises UserError where a run's folder, who is at work in it, this machine's isolation, its critic, its Prometheus endpoint
    or the place of its target's file, a missing TensorBoard or its Redis stand in the way of it."""
    if in_a_job():
        check_lasting(recipe)
    if address := address_of(recipe):
        from rltf.joining import check_cluster  # takes most of a second

        check_cluster(address)
    check_alone(recipe.folder, "the run")
    RunFolder(recipe.folder.absolute()).check(recipe, resume=resume)
    if not address_of(recipe) or recipe.problems.corpus == "verified":  # elsewhere, the executors' own machines decide
        tiers.require(recipe.executors)
    critic = recipe.objective.reference.critic
    if critic is not None and not (critic / "config.json").is_file():
        raise UserError(
            f"objective.reference.critic={critic} is no model folder", "Name a token classifier's folder, or leave it out"
        )
    monitor = recipe.monitor
    if monitor.prometheus_port or (monitor.prometheus_host and monitor.prometheus_port is None):
        Endpoint(Board(recipe.name), monitor, driver_host(recipe)).close()
    if monitor.prometheus_port != 0:
        check_targets(monitor.targets_beside(recipe.folder))
    if monitor.tensorboard:
        require_tensorboard()
    if url := url_of(recipe.buffer):
        RedisBuffer(url, recipe.name, recipe.buffer).close()
    if recipe.upload:
        check_url(recipe.upload, recipe.folder.absolute(), resume=resume)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """`key.path=new value (was old value)` for each leaf of two trees that differs; parts with other keys are leaves."""
    found = []
    for key, value in new.items():
        if isinstance(value, dict) and value.keys() == old[key].keys():
            found += differences(old[key], value, f"{prefix}{key}.")
        elif value != old[key]:
            found.append(f"{prefix}{key}={value} (was {old[key]})")
    return found


def check_space(path: Path) -> None:
    """Raises UserError where the disk below `path` has too little room for a run."""
    existing = next(parent for parent in (path, *path.resolve().parents) if parent.exists())
    free = shutil.disk_usage(existing).free // 2**20
    if free < LEAST_FREE_MB:
        raise UserError(f"only {free} MB are free on the disk of {existing}", f"Free {LEAST_FREE_MB} MB or set output=FOLDER")
