"""Where a run's driver is reached: by itself alone, or by the nodes of the cluster that it joins."""

import subprocess
import sys

import pytest

from contracts.config import Recipe
from rltf.host import address_of, driver_host


def test_a_local_run_serves_its_own_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert address_of(Recipe(name="run")) is None
    assert driver_host(Recipe(name="run")) == "127.0.0.1"


def test_the_recipe_says_before_the_environment_which_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert address_of(Recipe(name="run")) == "10.0.0.1:6379"
    assert address_of(Recipe.model_validate({"name": "run", "ray": {"address": "auto"}})) == "auto"


def test_a_local_run_is_checked_without_loading_what_is_heavy() -> None:
    code = "import sys, rltf.runs, rltf.monitor; print([name for name in ('ray', 'torch', 'tensorboard') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
