"""Shared fixtures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from buffer.server import EmbeddedRedis

# Read when Ray is imported. A test whose fakes leave a task to Ray fails, and starts no Ray of its own unseen.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"

settings.register_profile("no deadline", deadline=None)  # how long an example takes is the machine's business
settings.load_profile("no deadline")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, for tests wait too; each may start a whole run, which takes up to 4 GB."""
    return min((os.cpu_count() or 1) + 1, max(psutil.virtual_memory().total // 2**32, 1))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: where several run at a time, none of them is left for the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


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
