"""What a run must keep to as a job of a Ray cluster: its recipe is in the job's copy of the tree, its results are not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from contracts.config import Recipe
from contracts.errors import UserError

_COPIES = "working_dir_files"
"""The folder in which Ray keeps the copies of trees that jobs run in."""


def check_lasting(recipe: Recipe) -> None:
    """Raises UserError where a job's results would go when it has ended."""
    if not recipe.output.is_absolute() and not recipe.upload:
        raise UserError(
            f"output={recipe.output} would be in the job's copy of the tree, which goes when the job has ended",
            "Set output=/A/FOLDER that its nodes share, or upload=URL",
        )


def in_own_copy(recipe: Recipe) -> bool:
    """Is the run folder in a job's copy of the tree? There nobody finds it."""
    return in_a_job() and not recipe.output.is_absolute()


def in_a_job() -> bool:
    """Is this process the driver of a job, in its copy of the tree?"""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and _COPIES in Path.cwd().parts


def train_command(tree: Path, recipe: Path, overrides: Sequence[str], *, resume: bool) -> list[str]:
    """What the job runs in its copy of `tree`. Raises UserError where the recipe would not go along."""
    try:
        path = recipe.resolve().relative_to(tree.resolve())
    except ValueError:
        raise UserError(f"{recipe} is not below {tree}, of which the job gets a copy", "Copy it there, or name --tree") from None
    return ["python", "-m", "rltf", "train", str(path), *overrides, *(["--resume"] if resume else [])]
