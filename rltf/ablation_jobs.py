"""The runs that an ablation consists of: their recipes, their folders, and what a resumed ablation finds of them.

OUTPUT/NAME/
  ablation.yaml, ablation.json, ablation.html    the recipe, the figures, the page
  ablation.lock                                  locked while the ablation or a run of it goes on
  seed0/warm-start/                              what the seed's arms start from: a run folder (docs/runs.md)
  seed0/ARM/                                     a run folder each; `+` in an arm's name is `_` here
  seed0/ARM.yaml, seed0/ARM.log                  its recipe, and what it printed
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import yaml

from contracts.ablation import AblationRecipe
from contracts.config import Recipe
from contracts.errors import UserError
from contracts.files import write_in_one_move
from contracts.recipe import load_recipe
from contracts.sections import Section
from contracts.summary import Summary, read_summary
from rltf.locks import locked
from rltf.runs import CHANGEABLE, check_problems, check_surroundings, differences, imitates

RECIPE_FILE = "ablation.yaml"
LOCK_FILE = "ablation.lock"
BARELY_BEGUN = {LOCK_FILE, f"{RECIPE_FILE}.partial"}
"""What a kill leaves where it comes before the recipe is written."""


@dataclass(frozen=True)
class Job:
    """One run: an arm's, or the warm start that a seed's arms share."""

    arm: str | None
    """None: the warm start."""
    seed: int
    recipe: Recipe = field(hash=False)

    def __str__(self) -> str:
        return f"{self.arm or 'warm start'}, seed {self.seed}"

    @property
    def file(self) -> Path:
        """Its resolved recipe."""
        return self.recipe.folder.with_name(f"{self.recipe.name}.yaml")

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.recipe.folder.with_name(f"{self.recipe.name}.log")

    @property
    def has_begun(self) -> bool:
        """Is there something to resume?"""
        return (self.recipe.folder / "state.json").is_file()

    @property
    def is_done(self) -> bool:
        """Has it ended well?"""
        summary = summary_of(self.recipe.folder)
        return summary is not None and summary.status == "done"


def summary_of(run: Path) -> Summary | None:
    """A run's summary; None where it has none that can be read."""
    try:
        return read_summary(run / "summary.json")
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def plan(ablation: AblationRecipe, arms: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    """The runs in the order in which they should start: a seed's warm start, its arms, the next seed.

    Raises UserError naming the arm and the key where a recipe is not valid.
    """
    jobs = []
    for seed in seeds:
        if start := ablation.warm_start(seed):
            jobs.append(Job(None, seed, start))
        jobs += [Job(arm, seed, ablation.run(arm, seed)) for arm in arms]
    return jobs


@contextmanager
def begin(ablation: AblationRecipe, jobs: Sequence[Job], *, resume: bool) -> Iterator[int]:
    """Make the ablation's folder anew, or go on in it, and write the recipes into it; nobody else can before the block's end.

    Yields the lock's descriptor: while a process that has it lives, the ablation counts as running. An ablation that was there
    before is kept, once, as NAME~previous. Raises UserError, before anything is changed, where the ablation is running, where
    the folder holds something else, where there is nothing to resume, where runs of it had other values, and where one of its
    runs could not begin.
    """
    folder = ablation.folder
    there = (folder / RECIPE_FILE).is_file()
    if resume and not there:
        raise UserError(f"there is no ablation to resume in {folder}", "Leave out --resume to start one")
    if folder.is_dir() and not there and {entry.name for entry in folder.iterdir()} - BARELY_BEGUN:
        raise UserError(f"{folder} is there and holds something else than an ablation", "Choose another name=… or output=…")
    with ExitStack() as locks:
        if there:
            lock = locks.enter_context(_locked(folder))
        if resume:
            _check_unchanged(jobs)
        _check_runs(jobs, resume=resume)
        if not resume:
            if there:
                _set_aside(folder)
            folder.mkdir(parents=True, exist_ok=True)
            lock = locks.enter_context(_locked(folder))  # the file before it, which is held too, has moved away
        _write(ablation, folder / RECIPE_FILE)  # first: what it doesn't name is not the ablation's
        for job in jobs:
            job.file.parent.mkdir(exist_ok=True)
            _write(job.recipe, job.file)
        yield lock


def _locked(folder: Path) -> AbstractContextManager[int]:
    remedy = "Wait until it and its runs have ended, or choose another name=…"
    return locked(folder / LOCK_FILE, f"the ablation in {folder}", remedy)


def _set_aside(folder: Path) -> None:
    previous = folder.with_name(f"{folder.name}~previous")  # no recipe can have this name
    shutil.rmtree(previous, ignore_errors=True)
    os.replace(folder, previous)


def _write(recipe: Section, path: Path) -> None:
    write_in_one_move(path, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).encode())


def _check_unchanged(jobs: Sequence[Job]) -> None:
    """More arms and seeds may come to an ablation; the runs that it has stay what they are."""
    for job in jobs:
        if not job.file.is_file():
            continue
        old = load_recipe(job.file).model_dump(exclude=CHANGEABLE)
        changed = differences(old, job.recipe.model_dump(exclude=CHANGEABLE))
        if changed:
            raise UserError(
                f"{job} was started with other values: {', '.join(changed)}",
                "Resume with the recipe and overrides that the ablation was started with, or choose another name=…",
            )


def _check_runs(jobs: Sequence[Job], *, resume: bool) -> None:
    """What keeps a run from beginning or from going on. Problems are read once for each set that there is."""
    sets = set()
    for job in jobs:
        if resume and job.is_done:
            continue
        try:
            check_surroundings(job.recipe, resume=resume and job.has_begun)
            problems = (job.recipe.problems, imitates(job.recipe))
            if problems not in sets:
                check_problems(job.recipe)
                sets.add(problems)
        except UserError as err:
            raise UserError(f"{job}: {err.message}", err.remedy) from err


def arms_of(folder: Path) -> dict[str, list[int]]:
    """The arms of an ablation's folder, each with the seeds that it has been planned for, as the files there say."""
    recipe = yaml.safe_load((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    seeds = sorted(int(place.name.removeprefix("seed")) for place in folder.glob("seed[0-9]*") if place.is_dir())
    planned = {}
    for arm in recipe["arms"]:
        if those := [seed for seed in seeds if place_of(folder, arm, seed).with_suffix(".yaml").is_file()]:
            planned[arm] = those
    return planned


def place_of(folder: Path, arm: str, seed: int) -> Path:
    """An arm's run folder in an ablation's."""
    return folder / f"seed{seed}" / arm.replace("+", "_")
