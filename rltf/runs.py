"""A run on disk: its folder, and the state from which `--resume` goes on."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import msgspec

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import load_recipe, write_recipe

LEAST_FREE_MB = 200


class Totals(msgspec.Struct, kw_only=True):
    """Running totals of the online stage, in sampled programs unless it says otherwise."""

    outcomes: dict[str, int] = {}
    errors: dict[str, int] = {}
    dropped: dict[str, int] = {}
    """By executors, before the buffer."""
    evicted: dict[str, int] = {}
    """By reason: from the buffer, and before it."""
    trained: int = 0
    lag_sum: float = 0.0
    lag_max: int = 0
    published: int = 0
    prompt_cut: int = 0
    """Characters."""
    judged: int = 0
    """Programs run, greedy ones too."""
    sandbox_errors: int = 0
    phases: dict[str, float] = {}
    """Part of the system → busy seconds."""


class State(msgspec.Struct, kw_only=True):
    """state.json: how far a run has come."""

    done: list[str] = []
    """Stages that are finished."""
    step: int = 0
    """Optimizer steps of the newest online checkpoint."""
    position: int = 0
    """Next batch of the problem order at that checkpoint."""
    pending: list[int] = []
    """Batches that were in flight then."""
    totals: Totals = msgspec.field(default_factory=Totals)


class RunFolder:
    """runs/NAME: config.yaml, metrics.jsonl, summary.json, report.html, checkpoints/, redis/, state.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.redis = path / "redis"
        self._state = path / "state.json"

    def begin(self, recipe: Recipe, *, resume: bool) -> State:
        """Make the folder anew, or go on in it; returns how far it has come.

        Raises UserError where a run is to be resumed that isn't there or was made by another recipe, and where the disk is full.
        """
        if resume:
            self._check_resumable(recipe)
            return self.state()
        check_space(self.path)
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        write_recipe(recipe, self.path / "config.yaml")
        self.save(State())
        return State()

    def state(self) -> State:
        """What was saved last."""
        return msgspec.json.decode(self._state.read_bytes(), type=State)

    def save(self, state: State) -> None:
        """Save in one move."""
        partial = self._state.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(state))
        os.replace(partial, self._state)

    def _check_resumable(self, recipe: Recipe) -> None:
        if not self._state.is_file():
            raise UserError(f"there is no run to resume in {self.path}", "Leave out --resume to start one")
        before = load_recipe(self.path / "config.yaml")
        old, new = before.model_dump(), recipe.model_dump()
        changed = [key for key in new if old[key] != new[key] and key not in ("monitor", "ray_address")]
        if changed:
            raise UserError(
                f"the run in {self.path} was started with other values of {', '.join(changed)}",
                "Resume with the recipe and overrides that it was started with, or choose another name=…",
            )
        check_space(self.path)


def add(totals: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    """Element-wise sum."""
    return dict(Counter(totals) + Counter(more))


def check_space(path: Path) -> None:
    """Raises UserError where the disk below `path` has too little room for a run."""
    existing = next(parent for parent in (path, *path.resolve().parents) if parent.exists())
    free = shutil.disk_usage(existing).free // 2**20
    if free < LEAST_FREE_MB:
        raise UserError(f"only {free} MB are free on the disk of {existing}", f"Free {LEAST_FREE_MB} MB or set output=FOLDER")
