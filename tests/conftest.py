"""Shared fixtures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from buffer.server import EmbeddedRedis


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis for the tests."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="session")
def benchmark_data() -> Path:
    """The benchmark data's folder; tests that need it skip where RLTF_DATA doesn't name one."""
    if "RLTF_DATA" not in os.environ:
        pytest.skip("needs benchmark data: set RLTF_DATA to its folder")
    return Path(os.environ["RLTF_DATA"])
