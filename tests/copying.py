"""Run folders of a few files, and what is in their copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rltf.copies import COPIED, Copy
from rltf.upload import Upload

Url = str


def write(folder: Path, files: dict[str, str]) -> None:
    """Name → content."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def state(**more: Any) -> str:
    """A state.json."""
    return json.dumps({"run": "small-1", **more})


def contents(url: Url) -> dict[str, str]:
    """All that is in the copy of a run of the name `small`, but the list of what the run has put there."""
    copy = Copy(url, "small")
    return {name: copy.read(name).decode() for name in copy.names() - {COPIED}}


def unheard(_: object) -> None:
    """What a test does not look at."""


def checkpoint(run: Path, step: int, *, without: int | None = None) -> None:
    """Write one, and the state that names it; then an old one makes way."""
    write(run, {f"checkpoints/step-{step:06d}/{name}": f"{step}" for name in "ab"})
    write(run, {"state.json": state(step=step)})
    if without is not None:
        for file in (run / "checkpoints" / f"step-{without:06d}").iterdir():
            file.unlink()


def steps(url: Url) -> list[str]:
    """The step of the copy's state, and its files of checkpoints."""
    files = contents(url)
    return [str(json.loads(files["state.json"])["step"]), *sorted(name[-8:] for name in files if name.startswith("checkpoints"))]


def buffers(url: Url) -> dict[str, str]:
    """The copy's files of buffers, and what is in them."""
    return {name.removeprefix("redis/"): text for name, text in contents(url).items() if name.startswith("redis/")}


def round_of(upload: Upload) -> None:
    """One in the background, to its end."""
    upload.in_background()
    assert upload._under_way
    upload._under_way.result()


def run_folder(parent: Path) -> Path:
    """A run's folder that has just begun."""
    folder = parent / "here" / "small"
    write(folder, {"state.json": state(), "metrics.jsonl": "1\n", "redis/appendonly.aof": "*"})
    return folder
