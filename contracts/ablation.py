"""An ablation's recipe: arms, which change some values of one base recipe, and the seeds that each arm is run with."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import apply_override, load_recipe, read_tree
from contracts.refusals import key_of, refusal
from contracts.sections import Section
from contracts.values import Count, Name, NonNegative


def _arm_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+-]*", name):
        raise ValueError(f"arm {name!r} has no good name: letters, digits, + and - it may hold, the first a letter or a digit")
    return name


ArmName = Annotated[str, AfterValidator(_arm_name)]
OWN = ("name", "parallel")
"""Keys that an override on the command line sets in the ablation itself, and not in its runs."""
PLACES = ("name", "output", "seed")
START = ("model", "warmup")
JUDGED = ("problems", "prompt", "sampling.max_new_tokens", "executors", "eval")
SHARED = PLACES + START + JUDGED
"""Sections and keys that an arm must leave alone: its runs' places, what a seed's arms start from, how they are judged."""
FREE = ("problems.corpus", "problems.checked", "executors.analyse", "executors.count", "executors.cores")
"""Keys of these sections that an arm may set all the same: no verdict on a held-out problem depends on them."""
WARM_START = "warm-start"
"""Name of the run that a seed's arms start from."""
EVERY = "every"
"""What is said for all arms."""


class Arm(Section):
    """One arm: what it changes, and why."""

    about: str
    """One line for the reader of the page."""
    set: dict[str, Any] = Field(default={})
    """`key.path: value`, over the base recipe and the ablation's own `set`."""


class AblationRecipe(Section):
    """Arms × seeds, all from one base recipe."""

    name: Name
    """Name of the ablation and of its folder, which is where the base recipe's runs would be."""
    base: Path
    """The recipe that all arms start from; a path beside this file."""
    set: dict[str, Any] = Field(default={})
    """`key.path: value` for all arms."""
    seeds: Annotated[tuple[NonNegative, ...], Field(min_length=1)] = (0, 1, 2)
    """Each arm is run with each."""
    parallel: Count = 1
    """Runs at a time."""
    default: tuple[str, ...] = ()
    """The arms that are run when none are asked for; unset: all."""
    arms: Annotated[dict[ArmName, Arm], Field(min_length=1)]
    """The arms by name."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if unknown := [name for name in self.default if name not in self.arms]:
            raise ValueError(f"default names {', '.join(unknown)}, and the arms are {', '.join(self.arms)}")
        if len(frozenset(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} holds one twice")
        if "name" in self.set or "seed" in self.set:
            raise ValueError("set holds name or seed, which each run has of its own: use the ablation's name and seeds")
        for name, arm in self.arms.items():
            if name in (WARM_START, EVERY):
                raise ValueError(f"arm {name} has a name that means something else here: choose another")
            if taken := [key for key in leaves(arm.set) if _is_shared(key)]:
                raise ValueError(f"arm {name} sets {', '.join(taken)}, which all arms of a seed share: set it for all arms")
        return self

    @cached_property
    def folder(self) -> Path:
        """The ablation's folder, absolute."""
        return (self._resolve({}).output / self.name).absolute()

    @cached_property
    def _shared(self) -> dict[str, Any]:
        """What all runs have: they tell Prometheus where to scrape them in the place where runs beside the ablation do."""
        return {"monitor.targets": str(self._resolve({}).monitor.targets_beside(self.folder).absolute())}

    def chosen(self, text: str | None) -> tuple[str, ...]:
        """The arms that a text names, "a,b" or "every"; None: the default ones.

        Raises UserError for an arm that there isn't, and naming the arm and the key where its recipe is not valid.
        """
        arms = tuple(dict.fromkeys(part.strip() for part in text.split(","))) if text else self.default
        if not arms or arms == (EVERY,):
            arms = tuple(self.arms)
        if unknown := [arm for arm in arms if arm not in self.arms]:
            raise UserError(f"there is no arm {', '.join(unknown)}", f"There are: {', '.join(self.arms)}")
        for arm in arms:
            self.run(arm, self.seeds[0])
        return arms

    def warm_start(self, seed: int) -> Recipe | None:
        """The run that makes what a seed's arms start from; None where they start from the base recipe's model as it is.

        Raises UserError naming a bad key of `base` or `set`.
        """
        recipe = self._resolve({**self._shared, "name": WARM_START, "output": self._place(seed), "seed": seed})
        return recipe if recipe.warmup.steps else None

    def run(self, arm: str, seed: int) -> Recipe:
        """The recipe of one arm's run. Raises UserError naming the arm and its bad key."""
        own = {"name": arm.replace("+", "_"), "output": self._place(seed), "seed": seed}
        if start := self.warm_start(seed):
            own |= {"model.path": str(start.folder / "checkpoints" / "start"), "warmup.steps": 0}
        values = leaves(self.arms[arm].set)
        try:
            recipe = self._resolve(self._shared | values | own)
        except UserError as err:
            raise UserError(f"arm {arm}: {err.message}", err.remedy) from err
        if "problems.checked" in values and recipe.problems.heldout_path is None:
            raise UserError(
                f"arm {arm} sets problems.checked, on which it depends which problems are held out",
                "Set it for all arms, or set problems.heldout_path for all",
            )
        return recipe

    def _place(self, seed: int) -> str:
        return str(self.folder / f"seed{seed}")

    def _resolve(self, values: dict[str, Any]) -> Recipe:
        """The base recipe with `set` and, over it, these values. Raises UserError where its runs would want one port at once."""
        recipe = load_recipe(self.base, tuple(f"{key}={_text(value)}" for key, value in (leaves(self.set) | values).items()))
        if recipe.monitor.prometheus_port and self.parallel > 1:
            raise UserError(
                f"monitor.prometheus_port={recipe.monitor.prometheus_port} can serve one run at a time, and "
                f"parallel={self.parallel} are wanted",
                "Set parallel=1, or leave monitor.prometheus_port unset: each run takes a free one",
            )
        return recipe


def chosen_seeds(text: str) -> tuple[int, ...]:
    """The seeds that a text names: "0,1". Raises UserError where one is no number."""
    parts = [part.strip() for part in text.split(",")]
    if bad := [part for part in parts if not part.isdecimal()]:
        raise UserError(f"--seeds {text}: {', '.join(bad)} is no seed", "Write whole numbers, for example --seeds 0,1")
    return tuple(dict.fromkeys(map(int, parts)))


def load_ablation(path: Path, overrides: tuple[str, ...] = ()) -> AblationRecipe:
    """The validated ablation of a YAML file. Overrides add to its `set`, but for `name` and `parallel`.

    Raises UserError for a missing file, bad YAML, an unknown key or a bad value; the arms' own keys are checked by `run`.
    """
    tree = read_tree(path)
    if tree.keys().isdisjoint(("base", "arms")):
        raise UserError(f"{path} is no ablation: it has no base and no arms", "A run's recipe is for `rltf train`")
    values: dict[str, Any] = {}
    for override in overrides:
        apply_override(tree if override.partition("=")[0] in OWN else values, override)
    given = tree.get("set")
    if given is None or isinstance(given, dict):
        tree["set"] = leaves(given or {}) | leaves(values)
    if isinstance(tree.get("base"), str):
        tree["base"] = path.parent / tree["base"]
    try:
        return AblationRecipe.model_validate(tree)
    except ValidationError as err:
        raise _explain(path, err) from err


def leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`key.path` → value for what is no section, whether sections are written as `a.b: 1` or as `a: {b: 1}`."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _is_shared(key: str) -> bool:
    return key not in FREE and any(key == shared or key.startswith(f"{shared}.") for shared in SHARED)


def _text(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1_000_000)


def _explain(path: Path, err: ValidationError) -> UserError:
    first = err.errors()[0]
    key = key_of(first)
    if first["type"] == "extra_forbidden":
        return UserError(f"{path}: unknown key {key}", f"An ablation's keys: {', '.join(AblationRecipe.model_fields)}")
    if first["type"] == "missing":
        return UserError(f"{path}: {key} is missing", "Start from a copy of recipes/ablation-local.yaml")
    if first["type"] == "value_error":
        return UserError(f"{path}: {first['ctx']['error']}", "Mend it in that file")
    refused = refusal(key, first)
    return UserError(f"{path}: {refused.message}", refused.remedy)
