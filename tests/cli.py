"""The real command line in a subprocess, for tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from contracts.config import Recipe
from contracts.recipe import load_recipe
from rltf.runs import RunFolder, State

ROOT = Path(__file__).resolve().parent.parent
RECIPE = "recipes/local.yaml"


def rltf(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "rltf.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder; None for a folder."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in sorted(folder.rglob("*"))}


def begun(output: Path, *overrides: str) -> Recipe:
    """A run as an interrupted `rltf train` leaves it, with a checkpoint that nobody wants to lose."""
    recipe = load_recipe(ROOT / RECIPE, (f"output={output}", *overrides))
    folder = RunFolder(recipe.folder)
    folder.begin(recipe, resume=False)
    folder.save(State(run="r", done=["warm start"], step=50, position=3))
    folder.checkpoints.mkdir()
    (folder.checkpoints / "precious").write_text("weights")
    return recipe


def refused(output: Path, *arguments: str) -> str:
    """The one line that the command ends with; nothing in the output folder has changed."""
    before = snapshot(output)
    done = rltf(*arguments, f"output={output}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr), done.stderr
    assert snapshot(output) == before
    return done.stderr
