"""Recipes on disk: read a YAML file, apply `key.path=value` overrides, write the resolved copy."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.refusals import key_of, refusal


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """The validated recipe of a YAML file with `key.path=value` overrides, whose values are YAML too.

    Raises UserError, naming the key, its value and the remedy, for a missing file, bad YAML, an unknown key or a bad value.
    """
    tree = read_tree(path)
    if "arms" in tree:
        raise UserError(f"{path} is a recipe for `rltf ablate`", "Run it with that, or name a run's recipe, such as its base")
    for override in overrides:
        apply_override(tree, override)
    return parse_recipe(tree)


def read_tree(path: Path) -> dict[str, Any]:
    """A recipe file's keys as they stand, named after the file where they hold no name.

    Raises UserError for a missing file, bad YAML, and YAML that holds no keys.
    """
    if not path.is_file():
        raise UserError(f"no recipe at {path}", f"The recipes that come with it: {_known_recipes()}")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as err:
        raise UserError(f"{path} cannot be read: {err.strerror}", "Name a recipe that you may read") from err
    except UnicodeDecodeError as err:
        raise UserError(f"{path} is not UTF-8: {err}", "Save it as UTF-8") from err
    except (yaml.YAMLError, ValueError) as err:  # ValueError: a date that isn't one
        raise UserError(f"{path} is not YAML: {' '.join(str(err).split())}", "Mend that line") from err
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds no keys", "Start from a copy of recipes/local.yaml")
    tree.setdefault("name", path.stem)
    return tree


def parse_recipe(tree: dict[str, Any]) -> Recipe:
    """A recipe from plain data. Raises UserError naming the first bad key."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as err:
        raise _explain(err) from err


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write the resolved recipe, every default spelled out; `load_recipe` reads it back as the same recipe."""
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Set `key.path=value` in a tree. Raises UserError where it is no such thing."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"override {override!r} has no value", "Write key.path=value, for example steps=5")
    node: dict[str, Any] = tree
    *parents, leaf = key.split(".")
    for part in parents:
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise UserError(f"override {override!r}: {part} is a value, not a section", "Leave out what follows it")
        node = child
    try:
        node[leaf] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as err:
        raise UserError(f"override {override!r} is not YAML", "Quote the value") from err


def _explain(err: ValidationError) -> UserError:
    """One line out of pydantic's many: the key, the value, what is wrong, and the nearest key that exists."""
    first = err.errors()[0]
    key = key_of(first)
    if first["type"] == "extra_forbidden":
        return UserError(f"unknown key {key}={first['input']!r}", _hint(first["loc"]))
    if first["type"] == "model_type":
        keys = ", ".join(f"{key}.{name}" for name in _keys_beside((*first["loc"], "")))
        return UserError(f"{key}={first['input']!r}: {key} is a section", f"Its keys: {keys}")
    if first["type"] == "value_error":
        where = f"{key}: " if key else ""
        return UserError(f"{where}{first['ctx']['error']}", "Mend it in the recipe or on the command line")
    return refusal(key, first)


def _hint(location: tuple[int | str, ...]) -> str:
    """The nearest key: of those beside it, or one of that name in another section."""
    names, leaf = _keys_beside(location), str(location[-1])
    if close := difflib.get_close_matches(leaf, names, n=1):
        return f"Did you mean {close[0]}?"
    elsewhere = [path for path in _all_keys(Recipe) if path.split(".")[-1] == leaf]
    return f"Did you mean {' or '.join(elsewhere)}?" if elsewhere else f"There are: {', '.join(names)}"


def _all_keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += _all_keys(inner, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in location[:-1]:
        child = section.model_fields[str(part)].annotation
        assert isinstance(child, type)
        assert issubclass(child, BaseModel)
        section = child
    return list(section.model_fields)


def _known_recipes() -> str:
    folder = Path(__file__).resolve().parent.parent / "recipes"
    return ", ".join(f"recipes/{file.name}" for file in sorted(folder.glob("*.yaml")) if not file.name.startswith("ablation-"))
