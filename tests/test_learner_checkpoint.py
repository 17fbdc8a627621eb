"""Checkpoints' size."""

from __future__ import annotations

from pathlib import Path

from learner.checkpoint import size_of


def test_a_checkpoint_is_as_large_as_its_files_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(bytes(1000))
    (tmp_path / "state").write_bytes(bytes(24))
    assert size_of(tmp_path) == 1024
