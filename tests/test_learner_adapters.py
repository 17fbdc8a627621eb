"""Adapters and packed rows on real DeepSpeed ranks: every ZeRO stage reaches what plain torch reaches, and goes on."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from transformers import PreTrainedModel

from contracts.config import Recipe
from contracts.sections import LoraConfig, ModelConfig, SamplingConfig
from contracts.training import DeepSpeedConfig, LearnerConfig, OptimizerConfig
from learner.advantages import Row
from learner.engine import Engine, TorchEngine
from learner.trainer import Trainer
from models.lora import merged_state, with_adapters
from models.packing import packed_logprobs
from tests.tiny_models import tiny_model

STAGES, STEPS, SAVED_AFTER = (0, 1, 2, 3), 3, 2
OPTIMIZER = OptimizerConfig(lr=1e-2, warmup_steps=2, schedule="linear", grad_clip=0.5)
LORA = LoraConfig(rank=2, alpha=4)


def corpus(step: int) -> list[Row]:
    """Seven programs: two ranks have unequal numbers of packed rows."""
    return [Row([20 + step, 21], [100 + i + j for j in range(3 * i + 1)]) for i in range(7)]


def recipe(ranks: int) -> Recipe:
    return Recipe(
        name="t",
        model=ModelConfig(lora=LORA),
        sampling=SamplingConfig(samples_per_problem=2),
        learner=LearnerConfig(ranks=ranks, batch_samples=8, pack_tokens=20),
    )


def model(seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    made = with_adapters(tiny_model(), LORA).train()
    made.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return made


def train(engine: Engine, first: int, last: int) -> list[float]:
    trainer = Trainer(engine, recipe(engine.ranks), 0)
    share = slice(engine.rank, None, engine.ranks)
    losses = []
    for step in range(first, last):
        loss = trainer.step([], corpus(step)[share], step)["loss"]
        assert isinstance(loss, dict)
        losses.append(loss["sl"])
    return losses


def run_rank(rank: int, ranks: int, port: int, folder: Path) -> None:
    from learner.deepspeed_engine import DeepSpeedEngine, join_ranks

    torch.set_num_threads(1)
    join_ranks(rank, ranks, ("127.0.0.1", port))
    figures: dict[str, Any] = {}
    for stage in STAGES:
        engine = DeepSpeedEngine(model(), DeepSpeedConfig(zero_stage=stage), OPTIMIZER, STEPS)
        losses = train(engine, 0, SAVED_AFTER)
        engine.save(folder / f"checkpoint-{stage}", {})
        figures[f"stage-{stage}"] = losses + train(engine, SAVED_AFTER, STEPS)
        whole = merged_state(engine.module, engine.gathered)
        engine.close()
        engine = DeepSpeedEngine(model(seed=1), DeepSpeedConfig(zero_stage=stage), OPTIMIZER, STEPS)
        engine.load(folder / f"checkpoint-{stage}")
        figures[f"again-{stage}"] = train(engine, SAVED_AFTER, STEPS)
        again = merged_state(engine.module, engine.gathered)
        engine.close()
        if rank == 0:
            torch.save({"whole": whole, "again": again}, folder / f"stage-{stage}.pt")
    (folder / f"figures-{rank}.json").write_text(json.dumps(figures))


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_adapters_on_packed_rows_reach_what_plain_torch_reaches(ranks: int, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(run_rank, args=(ranks, port, tmp_path), nprocs=ranks)
    engine = TorchEngine(model(), OPTIMIZER, STEPS)
    losses = train(engine, 0, STEPS)
    weights = merged_state(engine.model)
    start = dict(tiny_model().named_parameters())
    name = "model.layers.0.mlp.down_proj.weight"
    assert (weights[name] - start[name]).abs().max() > 1e-3
    for rank in range(ranks):
        figures = json.loads((tmp_path / f"figures-{rank}.json").read_text())
        for stage in STAGES:
            assert figures[f"stage-{stage}"] == pytest.approx(losses, rel=1e-4)
            assert figures[f"again-{stage}"] == figures[f"stage-{stage}"][SAVED_AFTER:]
    for stage in STAGES:
        left = torch.load(tmp_path / f"stage-{stage}.pt", weights_only=True)
        assert left["whole"].keys() == weights.keys()
        for key, value in weights.items():
            assert torch.allclose(left["whole"][key], value, rtol=0, atol=1e-4), (stage, key)
            assert torch.equal(left["again"][key], left["whole"][key])
        exported = tiny_model()
        exported.load_state_dict(left["whole"], strict=False)
        pairs = [(row.prompt_ids, row.token_ids) for row in corpus(0)]
        with torch.no_grad():
            assert torch.allclose(packed_logprobs(exported, pairs), packed_logprobs(engine.model.eval(), pairs), atol=1e-3)
