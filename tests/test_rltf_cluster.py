"""Ray as a run starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import UserError
from contracts.recipe import parse_recipe
from rltf.cluster import connected


def test_a_folder_that_no_socket_fits_into_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 60)))
    with pytest.raises(UserError, match=r"too long a path.*RAY_TMPDIR=/tmp"), connected(parse_recipe({"name": "r"})):
        pytest.fail("Ray was started")
