"""bf16 on real DeepSpeed ranks: many micro-batches teach what one does, and updates that overflow leave nothing behind."""

from __future__ import annotations

import json
import math
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.multiprocessing as mp

from contracts.training import DeepSpeedConfig, OptimizerConfig
from models.scoring import collate, token_logprobs
from tests.tiny_models import tiny_model

if TYPE_CHECKING:
    from learner.deepspeed_engine import DeepSpeedEngine

RANKS, MANY, STEPS = 2, 8, 2
ENGINES = [(stage, offload) for stage in (1, 2, 3) for offload in (False, True)]
OPTIMIZER = OptimizerConfig(lr=1e-3, warmup_steps=2, schedule="linear", grad_clip=0.5)


def step(engine: DeepSpeedEngine, number: int, parts: int = 1, weight: float = 1.0) -> float | None:
    """One update on as many equal micro-batches; their shares are powers of two, which no precision rounds."""
    batch = collate([[number, 2, 3 + engine.rank]], [[4, 5 + number, 6]], 0)
    for part in range(1, parts + 1):
        engine.backward(-token_logprobs(engine.model, batch).sum() * weight / parts, last=part == parts)
    return engine.step()


def weights(engine: DeepSpeedEngine) -> list[torch.Tensor]:
    whole = []
    for parameter in engine.module.parameters():
        with engine.gathered([parameter]):
            whole.append(parameter.detach().clone())
    return whole


def run_rank(rank: int, port: int, folder: Path) -> None:
    from learner.deepspeed_engine import DeepSpeedEngine, join_ranks

    torch.set_num_threads(1)
    join_ranks(rank, RANKS, ("127.0.0.1", port))

    def same(one: DeepSpeedEngine, other: list[torch.Tensor]) -> bool:
        return all(torch.equal(ours, theirs) for ours, theirs in zip(weights(one), other, strict=True))

    figures: dict[str, Any] = {}
    for stage, offload in ENGINES:
        config = DeepSpeedConfig(zero_stage=stage, precision="bf16", offload_optimizer=offload)  # type: ignore[arg-type]
        engines = []
        for parts in (1, MANY):
            engine = DeepSpeedEngine(tiny_model().train().bfloat16(), config, OPTIMIZER, 2 * STEPS)
            engines.append(([step(engine, number, parts) for number in range(STEPS)], weights(engine)))
            if parts == 1:
                engine.close()
        found = {"one": engines[0][0], "many": engines[1][0], "same": same(engine, engines[0][1])}
        checkpoint = folder / f"{stage}-{offload}"
        engine.save(checkpoint, {})
        found["skipped"] = [step(engine, STEPS, 2, math.inf), same(engine, engines[1][1]), engine.learning_rate()]
        found["after"] = [step(engine, number, MANY) for number in range(STEPS, 2 * STEPS)]
        after = weights(engine)
        engine.close()
        engine = DeepSpeedEngine(tiny_model(seed=1).train().bfloat16(), config, OPTIMIZER, 2 * STEPS)
        engine.load(checkpoint)
        found["loaded"] = [same(engine, engines[1][1]), engine.learning_rate()]
        found["again"] = [step(engine, number, MANY) for number in range(STEPS, 2 * STEPS)]
        found["same again"] = same(engine, after)
        engine.close()
        figures[f"{stage}-{offload}"] = found
    (folder / f"figures-{rank}.json").write_text(json.dumps(figures))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """By rank, what each engine did."""
    folder = tmp_path_factory.mktemp("half")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(run_rank, args=(port, folder), nprocs=RANKS)
    return [json.loads((folder / f"figures-{rank}.json").read_text()) for rank in range(RANKS)]


each_engine = pytest.mark.parametrize(("stage", "offload"), ENGINES)


@pytest.mark.slow
@each_engine
def test_many_micro_batches_teach_exactly_what_one_does(ran: list[dict[str, Any]], stage: int, offload: bool) -> None:
    for figures in ran:
        found = figures[f"{stage}-{offload}"]
        assert min(found["one"]) > 1
        assert found["many"] == pytest.approx(found["one"], rel=1e-6)
        assert found["same"]


@pytest.mark.slow
@each_engine
def test_an_update_that_overflows_is_skipped_and_the_next_are_as_if_it_had_not_been(
    ran: list[dict[str, Any]], stage: int, offload: bool
) -> None:
    for figures in ran:
        found = figures[f"{stage}-{offload}"]
        assert found["skipped"] == [None, True, found["loaded"][1]]
        assert None not in found["after"]
        assert found["again"] == found["after"]
        assert found["same again"]


@pytest.mark.slow
@each_engine
def test_a_checkpoint_holds_what_was_learnt(ran: list[dict[str, Any]], stage: int, offload: bool) -> None:
    for figures in ran:
        assert figures[f"{stage}-{offload}"]["loaded"] == [True, pytest.approx(1e-3)]
