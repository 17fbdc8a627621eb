"""Folders that hold a learner's whole state or a Hugging Face model, written so that a reader never sees half of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Write below the path this yields; it takes `folder`'s place in one move when the block ends without an error."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def step_folder(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint after `step` optimizer steps is."""
    return checkpoints / f"step-{step:06d}"


def size_of(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove_old(checkpoints: Path, keep: int) -> None:
    """Delete all but the newest `keep` step checkpoints, and what an interrupted deletion left."""
    removed = checkpoints / "removed.partial"
    shutil.rmtree(removed, ignore_errors=True)
    for folder in sorted(checkpoints.glob("step-??????"))[:-keep]:
        os.replace(folder, removed)  # first out of sight: half a checkpoint must not look like one
        shutil.rmtree(removed)
