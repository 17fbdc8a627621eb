"""Run folders of a few files, and what is in their copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rltf.copies import COPIED, Copy

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
