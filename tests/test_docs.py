"""What the documentation says to type: recipes and overrides that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.ablation import load_ablation
from contracts.recipe import load_recipe

ROOT = Path(__file__).resolve().parent.parent
COMMAND = re.compile(
    r"^\s*(?:\.venv/bin/)?rltf (train|warmup|ablate) (recipes/\S+\.yaml)((?:[ ]+(?:\\\n\s*)?[\w.]+=\S+)*)", re.MULTILINE
)
FOUND = [
    pytest.param(
        verb, recipe, tuple(overrides.replace("\\\n", " ").split()), id=f"{page.name}: {recipe} {overrides.strip()}"[:90]
    )
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for verb, recipe, overrides in COMMAND.findall(page.read_text(encoding="utf-8"))
]


def test_there_are_commands() -> None:
    assert len(FOUND) > 8


@pytest.mark.parametrize(("verb", "recipe", "overrides"), FOUND)
def test_commands_name_recipes_and_keys_that_exist(verb: str, recipe: str, overrides: tuple[str, ...]) -> None:
    if verb == "ablate":
        load_ablation(ROOT / recipe, overrides).chosen("every")
    else:
        load_recipe(ROOT / recipe, overrides)
