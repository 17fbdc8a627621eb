"""The problem set of a run: which problems are trained on and which are held out."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from contracts.errors import UserError
from contracts.records import Problem
from contracts.sections import PrimerConfig, ProblemsConfig
from problems.apps import read_folder, write_folder
from problems.checked import apply_check
from problems.primer import generate
from problems.read import read_problems


@dataclass(frozen=True)
class ProblemSet:
    """What a run trains on and what it is evaluated on; no id is in both."""

    train: list[Problem]
    heldout: list[Problem]
    dropped_without_tests: int
    dropped_by_check: int = 0
    """Left out because `problems.checked` says so."""


def load_problem_set(config: ProblemsConfig, run_folder: Path, seed: int) -> ProblemSet:
    """The problem set that the recipe asks for; primer is generated once, into `run_folder`/problems.

    Raises UserError as `read_problems` and `apply_check` do, for a split that is not there, where nothing would be left to train
    on or to evaluate on, and where the run folder holds a primer of other settings.
    """
    if config.path is None:
        folder = run_folder / "problems"
        _generate_once(folder, config.primer, seed)
        train, dropped = read_folder(folder / "train")
        heldout, more = _read_heldout(config) if config.heldout_path else read_folder(folder / "heldout")
        return ProblemSet(train, _distinct(heldout, train), dropped + more)
    problems, dropped = _read_named("path", config.path)
    there = len(problems)
    if config.checked is not None:
        problems = apply_check(config.checked, problems)
    failed = there - len(problems)
    train = problems if config.split is None else _of_splits(problems, "split", config.split, config.path)
    if config.heldout_path is not None:
        heldout, more = _read_heldout(config)
        return ProblemSet(train, _distinct(heldout, train), dropped + more, failed)
    if config.heldout_split is None:
        return ProblemSet(*_hold_out(train, config.heldout_fraction, seed, config.path), dropped, failed)
    heldout = _of_splits(problems, "heldout_split", config.heldout_split, config.path)
    train = [problem for problem in train if problem.split not in config.heldout_split]
    if not train:
        raise UserError(f"problems.heldout_split holds out every problem of {config.path}", "Leave a split to train on")
    return ProblemSet(train, heldout, dropped, failed)


def check_problem_set(config: ProblemsConfig, seed: int) -> ProblemSet | None:
    """Raise now what `load_problem_set` would raise for what the recipe names; writes nothing.

    Returns the set where the recipe names its training problems.
    """
    if config.path is not None:
        return load_problem_set(config, config.path, seed)
    if config.heldout_path is not None:
        _read_heldout(config)
    return None


def _read_heldout(config: ProblemsConfig) -> tuple[list[Problem], int]:
    assert config.heldout_path
    problems, dropped = _read_named("heldout_path", config.heldout_path)
    if config.heldout_split is None:
        return problems, dropped
    return _of_splits(problems, "heldout_split", config.heldout_split, config.heldout_path), dropped


def _of_splits(problems: list[Problem], key: str, splits: Sequence[str], path: Path) -> list[Problem]:
    there = sorted({problem.split for problem in problems} - {""})
    if missing := [split for split in splits if split not in there]:
        remedy = f"Its splits: {', '.join(there)}" if there else "Its problems name no splits: leave the key unset"
        raise UserError(f"problems.{key}=[{','.join(splits)}]: {path} has no problem of split {', '.join(missing)}", remedy)
    return [problem for problem in problems if problem.split in splits]


def _read_named(key: str, path: Path) -> tuple[list[Problem], int]:
    try:
        return read_problems(path)
    except UserError as err:
        raise UserError(f"problems.{key}={path}: {err.message}", err.remedy) from err


def _generate_once(folder: Path, config: PrimerConfig, seed: int) -> None:
    """Write what is missing of the primer's two folders, beside the settings that they are of."""
    settings = {"seed": seed, **config.model_dump()}
    stamp = folder / "primer.json"
    if not stamp.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        stamp.write_text(json.dumps(settings), encoding="utf-8")
    elif PrimerConfig().model_dump() | json.loads(stamp.read_bytes()) != settings:  # keys that came later have their defaults
        raise UserError(f"{folder} was generated with another seed or other problems.primer settings", "Remove it")
    missing = [name for name in ("train", "heldout") if not (folder / name).is_dir()]
    if missing:
        primer = generate(config, seed)
        for name in missing:
            write_folder(folder / name, getattr(primer, name))


def _hold_out(problems: list[Problem], fraction: float, seed: int, path: Path) -> tuple[list[Problem], list[Problem]]:
    """A seeded choice of at least one problem for evaluation, leaving at least one for training."""
    if len(problems) < 2:
        raise UserError(
            f"problems.path={path} has one problem with tests: none is left to hold out",
            "Add problems or set problems.heldout_path",
        )
    count = min(max(1, round(fraction * len(problems))), len(problems) - 1)
    chosen = set(random.Random(seed).sample(range(len(problems)), count))
    train = [problem for at, problem in enumerate(problems) if at not in chosen]
    return train, [problem for at, problem in enumerate(problems) if at in chosen]


def _distinct(heldout: list[Problem], train: list[Problem]) -> list[Problem]:
    """The held-out problems under ids that no training problem has: all of them get a prefix where any collides."""
    taken = {problem.id for problem in train}
    while any(problem.id in taken for problem in heldout):
        heldout = [msgspec.structs.replace(problem, id=f"heldout-{problem.id}") for problem in heldout]
    return heldout
