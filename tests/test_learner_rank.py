"""A learner rank begins one stage after another and keeps nothing of those before."""

from __future__ import annotations

import json
import socket
import weakref
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from contracts.config import Recipe
from contracts.records import encode
from contracts.sections import ModelConfig, SamplingConfig
from contracts.training import DeepSpeedConfig, LearnerConfig, OptimizerConfig
from tests.tiny_models import save_family

ENGINES = [("fp32", 0), *((precision, stage) for precision in ("fp32", "bf16") for stage in (1, 2, 3))]
STARTS = 3


def run_stages(_: int, port: int, folder: Path) -> None:
    """One process: for each engine, how many models are alive when each start loads one, and whether none is in the end."""
    from learner import rank as room
    from learner.advantages import Row
    from models.lora import load_taught

    torch.set_num_threads(1)
    models: list[weakref.ref[object]] = []
    alive: list[int] = []

    def loaded(path: str, recipe: Recipe) -> object:
        alive.append(sum(model() is not None for model in models))
        model = load_taught(path, recipe)
        models.append(weakref.ref(model))
        return model

    room.load_taught = loaded  # type: ignore[assignment]
    found: dict[str, list[int]] = {}
    joined = False
    for precision, stage in ENGINES:
        recipe = Recipe(
            name="t",
            model=ModelConfig(path=str(folder)),
            sampling=SamplingConfig(samples_per_problem=2),
            learner=LearnerConfig(batch_samples=8, activation_checkpointing=stage == 3),
            deepspeed=DeepSpeedConfig(precision=precision, zero_stage=stage),  # type: ignore[arg-type]
        )
        learner = room.LearnerRank()
        learner.prepare(recipe, "r", 0, str(folder), encode([]))
        if not joined:
            learner.join(("127.0.0.1", port))
            joined = True
        for _start in range(STARTS):
            learner.start(str(folder), OptimizerConfig(), 2)
            learner._trainer.step([], [Row([20, 21], [100, 101, 102])], 0)
        learner._forget_engine()
        found[f"{precision}-{stage}"] = [*alive, sum(model() is not None for model in models)]
        alive.clear()
        models.clear()
    (folder / "alive.json").write_text(json.dumps(found))


@pytest.mark.slow
def test_the_model_of_a_stage_is_gone_before_that_of_the_next_is_loaded(tmp_path: Path) -> None:
    save_family("llama", tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(run_stages, args=(port, tmp_path), nprocs=1)
    alive = json.loads((tmp_path / "alive.json").read_text())
    assert alive == {f"{precision}-{stage}": [0] * (STARTS + 1) for precision, stage in ENGINES}
