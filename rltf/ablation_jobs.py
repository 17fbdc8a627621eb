"""The runs that an ablation consists of: their recipes, their folders, and what a resumed ablation finds of them.

OUTPUT/NAME/
  ablation.yaml, ablation.json, ablation.html    the recipe, the figures, the page
  seed0/warm-start/                              what the seed's arms start from: a run folder (docs/runs.md)
  seed0/ARM/                                     a run folder each; `+` in an arm's name is `_` here
  seed0/ARM.yaml, seed0/ARM.log                  its recipe, and what it printed
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from contracts.ablation import AblationRecipe
from contracts.config import Recipe
from contracts.errors import UserError
from contracts.files import write_in_one_move
from contracts.recipe import load_recipe, write_recipe
from contracts.summary import Summary, read_summary
from rltf.runs import CHANGEABLE, check_run, differences

RECIPE_FILE = "ablation.yaml"


@dataclass(frozen=True)
class Job:
    """One run: an arm's, or the warm start that a seed's arms share."""

    arm: str | None
    """None: the warm start."""
    seed: int
    recipe: Recipe

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


def begin(ablation: AblationRecipe, jobs: Sequence[Job], *, resume: bool) -> None:
    """Make the ablation's folder anew, or go on in it, and write the recipes into it.

    An ablation that was there before is kept, once, as NAME~previous. Raises UserError, before anything is changed, where the
    folder holds something else, where there is nothing to resume, where runs of it had other values, and as `check_run` does.
    """
    folder = ablation.folder
    there = (folder / RECIPE_FILE).is_file()
    if resume:
        if not there:
            raise UserError(f"there is no ablation to resume in {folder}", "Leave out --resume to start one")
        _check_unchanged(jobs)
    elif folder.is_dir() and not there and any(folder.iterdir()):
        raise UserError(f"{folder} is there and holds something else than an ablation", "Choose another name=… or output=…")
    _check_runs(jobs)
    if there and not resume:
        previous = folder.with_name(f"{folder.name}~previous")  # no recipe can have this name
        shutil.rmtree(previous, ignore_errors=True)
        os.replace(folder, previous)
    for job in jobs:
        job.file.parent.mkdir(parents=True, exist_ok=True)
        if not job.file.exists():
            write_recipe(job.recipe, job.file)
    text = yaml.safe_dump(ablation.model_dump(mode="json"), sort_keys=False)
    write_in_one_move(folder / RECIPE_FILE, text.encode())


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


def _check_runs(jobs: Sequence[Job]) -> None:
    """What keeps a run from beginning, once for each problem set that there is."""
    unlike = {job.recipe.problems.model_dump_json(): job for job in jobs if not job.has_begun}
    for job in unlike.values():
        try:
            check_run(job.recipe, resume=False)
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
