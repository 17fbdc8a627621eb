"""DeepSpeed on real ranks over gloo: every ZeRO stage teaches what plain torch teaches, and continues from what it saved."""

from __future__ import annotations

import json
import math
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
import torch.multiprocessing as mp

from contracts.config import Recipe
from contracts.objective import ObjectiveConfig
from contracts.records import Group, LabelledGroup, Labels, Outcome, Verdict
from contracts.sections import SamplingConfig
from contracts.training import DeepSpeedConfig, LearnerConfig, OptimizerConfig
from learner.advantages import Row
from learner.engine import Engine, TorchEngine
from learner.frozen import Frozen
from learner.step_metrics import StepMetrics
from learner.trainer import Trainer
from tests.factories import program
from tests.small_batch import APART, log_likelihood
from tests.tiny_models import tiny_model

STAGES = (0, 1, 2, 3)
STEPS, SAVED_AFTER = 3, 2
OPTIMIZER = OptimizerConfig(lr=1e-3, warmup_steps=2, schedule="linear", grad_clip=0.5)
PAD = 0


def groups(step: int) -> list[LabelledGroup]:
    """A global batch of three groups, so that two ranks have unequal shares: two programs and the greedy one each."""
    found = []
    for i, texts in enumerate([("ab", "cdefg"), ("hijklmn", "o"), ("pqr", "stuvwx")]):
        programs = [program(text) for text in texts] + [program("yz", greedy=True)]
        labels = [
            Labels(coarse=1.0, fine=0.0, adaptive=1.0, penalised=[False] * len(texts[0])),
            Labels(coarse=-0.6, fine=-0.3, adaptive=None, penalised=[True] + [False] * (len(texts[1]) - 1)),
            Labels(coarse=-0.3, fine=0.0, adaptive=0.1, penalised=[False] * 2),
        ]
        outcomes = (Outcome.PASS, Outcome.RUNTIME_ERROR, Outcome.FAILURE)
        group = Group(
            id=f"{step}/{i}", problem_id="p", batch=0, policy_version=i - 2, temperature=1.0, prompt_ids=[40 + step] * (i + 1),
            programs=programs,
        )  # fmt: skip
        found.append(
            LabelledGroup(group=group, verdicts=[Verdict(outcome=outcome, total=1) for outcome in outcomes], labels=labels)
        )
    return found


def corpus(step: int) -> list[Row]:
    """Five corpus programs: unequal shares here too."""
    return [Row([20 + step, 21], [100 + i] * (i + 1)) for i in range(5)]


OBJECTIVES: dict[str, tuple[dict[str, Any], int]] = {
    "grpo": ({"kind": "grpo", "correction": "decoupled", "correction_cap": 1.5, "kl": 0.1}, 2),
    "rloo": ({"kind": "rloo", "correction": "truncated", "correction_cap": 1.5, "spans": "move"}, 1),
}
"""Name → an objective that looks at behaviour log-probs, and updates per step."""


def recipe(ranks: int, objective: dict[str, Any] | None = None, updates: int = 1) -> Recipe:
    return Recipe(
        name="t",
        sampling=SamplingConfig(samples_per_problem=2),
        objective=ObjectiveConfig.model_validate(objective or {}),
        learner=LearnerConfig(ranks=ranks, batch_samples=6, sl_samples=5, micro_batch=2, updates=updates),
    )


def train(engine: Engine, first: int, last: int) -> list[StepMetrics]:
    """Steps on this rank's share of each global batch, shared out as learner/rank.py does."""
    trainer = Trainer(engine, recipe(engine.ranks), PAD)
    share = slice(engine.rank, None, engine.ranks)
    return [trainer.step(groups(step)[share], corpus(step)[share], step) for step in range(first, last)]


def train_with(engine: Engine, name: str, reference: Path) -> list[StepMetrics]:
    """Likewise with one of OBJECTIVES, on programs that tiny_model might have sampled some steps ago."""
    chosen = recipe(engine.ranks, *OBJECTIVES[name])
    trainer = Trainer(engine, chosen, PAD, Frozen(chosen, str(reference), "cpu"))
    share = slice(engine.rank, None, engine.ranks)
    batches = [[as_sampled(entry) for entry in groups(step)] for step in range(STEPS)]
    return [trainer.step(batch[share], corpus(step)[share], step) for step, batch in enumerate(batches)]


def as_sampled(entry: LabelledGroup) -> LabelledGroup:
    """The group with behaviour log-probs that lie on both sides of the model's."""
    model, programs = tiny_model(), []
    for one in entry.group.programs:
        with torch.no_grad():
            present = log_likelihood(model, entry.group.prompt_ids, one.token_ids).tolist()
        behaviour = [x + APART[(t + len(present)) % len(APART)] for t, x in enumerate(present)]
        programs.append(msgspec.structs.replace(one, logprobs=behaviour))
    return msgspec.structs.replace(entry, group=msgspec.structs.replace(entry.group, programs=programs))


def run_rank(rank: int, ranks: int, port: int, folder: Path) -> None:
    """One process: all stages, one after the other; rank 0 leaves weights in `folder`, each rank its metrics."""
    from learner.deepspeed_engine import DeepSpeedEngine, join_ranks

    torch.set_num_threads(1)
    join_ranks(rank, ranks, ("127.0.0.1", port))

    def begin(stage: int, seed: int = 0) -> DeepSpeedEngine:
        return DeepSpeedEngine(tiny_model(seed=seed).train(), DeepSpeedConfig(zero_stage=stage), OPTIMIZER, STEPS)

    def finish(engine: DeepSpeedEngine, name: str) -> None:
        whole = {}
        for key, parameter in engine.module.named_parameters():
            with engine.gathered([parameter]):
                whole[key] = parameter.detach().clone()
        engine.close()
        if rank == 0:
            torch.save(whole, folder / f"{name}.pt")

    figures: dict[str, Any] = {}
    for stage in STAGES:
        engine = begin(stage)
        metrics = train(engine, 0, SAVED_AFTER)
        engine.save(folder / f"checkpoint-{stage}", {"words": [stage, "kept"]})
        figures[f"stage-{stage}"] = metrics + train(engine, SAVED_AFTER, STEPS)
        finish(engine, f"stage-{stage}")
        again = begin(stage, seed=1)
        figures[f"extra-{stage}"] = again.load(folder / f"checkpoint-{stage}")["words"]
        figures[f"again-{stage}"] = train(again, SAVED_AFTER, STEPS)
        finish(again, f"again-{stage}")
    for name in OBJECTIVES:
        for stage in (0, 3):
            engine = begin(stage)
            figures[f"{name}-{stage}"] = train_with(engine, name, folder / "reference")
            finish(engine, f"{name}-{stage}")
    half = DeepSpeedEngine(tiny_model().train().bfloat16(), DeepSpeedConfig(zero_stage=2, precision="bf16"), OPTIMIZER, STEPS)
    figures["bf16"] = train(half, 0, STEPS)
    kept = [parameter.detach().clone() for parameter in half.module.parameters()]
    half.backward(half.model(input_ids=torch.tensor([[1, 2, 3]])).logits.float().sum() * math.inf, last=True)
    norm = half.step()
    same = all(torch.equal(parameter, before) for parameter, before in zip(half.module.parameters(), kept, strict=True))
    figures["overflow"] = [norm, same]
    figures["told"] = half.broadcast("from rank 0" if rank == 0 else None)
    finish(half, "bf16")
    (folder / f"figures-{rank}.json").write_text(json.dumps(figures))


class Ran:
    """What the processes of one world size left behind."""

    def __init__(self, folder: Path, ranks: int) -> None:
        self._folder = folder
        self.figures = [json.loads((folder / f"figures-{rank}.json").read_text()) for rank in range(ranks)]

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        loaded = torch.load(self._folder / f"{name}.pt", weights_only=True)
        assert isinstance(loaded, dict)
        return loaded


@pytest.fixture(scope="module", params=[1, 2], ids=["1 rank", "2 ranks"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("deepspeed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tiny_model(seed=7).save_pretrained(folder / "reference")
    mp.spawn(run_rank, args=(request.param, port, folder), nprocs=request.param)
    return Ran(folder, request.param)


@pytest.fixture(scope="module")
def plain() -> tuple[dict[str, torch.Tensor], list[StepMetrics]]:
    """The same steps on plain torch, one rank: weights and metrics."""
    engine = TorchEngine(tiny_model().train(), OPTIMIZER, STEPS)
    metrics = train(engine, 0, STEPS)
    return {name: value.detach() for name, value in engine.model.named_parameters()}, metrics


def flat(metrics: StepMetrics) -> dict[str, float]:
    losses = metrics["loss"]
    assert isinstance(losses, dict)
    return {key: value for key, value in metrics.items() if isinstance(value, float | int)} | losses


def assert_same_weights(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    off = torch.cat([(value - theirs[name]).abs().flatten() for name, value in ours.items()])
    assert off.quantile(0.999).item() < 1e-6
    assert off.max().item() < 5e-5  # AdamW magnifies the rounding of gradients that are next to nothing


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_reaches_the_weights_and_figures_of_plain_torch(
    ran: Ran, plain: tuple[dict[str, torch.Tensor], list[StepMetrics]], stage: int
) -> None:
    weights, metrics = plain
    assert_same_weights(ran.weights(f"stage-{stage}"), weights)
    start = dict(tiny_model().named_parameters())
    assert max((value - start[name]).abs().max().item() for name, value in weights.items()) > 1e-3
    for figures in ran.figures:
        for ours, theirs in zip(figures[f"stage-{stage}"], metrics, strict=True):
            assert flat(ours) == pytest.approx(flat(theirs), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_reach_the_weights_and_figures_of_plain_torch_whatever_the_ranks(ran: Ran, name: str, tmp_path: Path) -> None:
    tiny_model(seed=7).save_pretrained(tmp_path)
    engine = TorchEngine(tiny_model().train(), OPTIMIZER, STEPS)
    metrics = train_with(engine, name, tmp_path)
    weights = {key: value.detach() for key, value in engine.model.named_parameters()}
    assert 0 < min(flat(one)["clipped_tokens_ratio"] for one in metrics) < 1
    for stage in (0, 3):
        assert_same_weights(ran.weights(f"{name}-{stage}"), weights)
        for figures in ran.figures:
            for ours, theirs in zip(figures[f"{name}-{stage}"], metrics, strict=True):
                assert flat(ours) == pytest.approx(flat(theirs), rel=1e-3, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_loaded_run_continues_as_if_it_had_never_stopped(ran: Ran, stage: int) -> None:
    whole, again = ran.weights(f"stage-{stage}"), ran.weights(f"again-{stage}")
    for name, value in whole.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=0)
    for figures in ran.figures:
        assert figures[f"extra-{stage}"] == [stage, "kept"]
        assert figures[f"again-{stage}"] == figures[f"stage-{stage}"][SAVED_AFTER:]


@pytest.mark.slow
def test_bf16_steps_are_finite_and_near_those_in_full_precision(
    ran: Ran, plain: tuple[dict[str, torch.Tensor], list[StepMetrics]]
) -> None:
    for figures in ran.figures:
        for ours, theirs in zip(figures["bf16"], plain[1], strict=True):
            assert math.isfinite(ours["loss"]["total"])
            assert ours["loss"]["sl"] == pytest.approx(flat(theirs)["sl"], rel=0.05)
            assert ours["gradient_norm"] == pytest.approx(flat(theirs)["gradient_norm"], rel=0.2)
    assert {value.dtype for value in ran.weights("bf16").values()} == {torch.bfloat16}


@pytest.mark.slow
def test_an_update_whose_gradients_overflow_is_said_to_be_skipped(ran: Ran) -> None:
    assert [figures["overflow"] for figures in ran.figures] == [[None, True]] * len(ran.figures)


@pytest.mark.slow
def test_every_rank_hears_rank_0(ran: Ran) -> None:
    assert [figures["told"] for figures in ran.figures] == ["from rank 0"] * len(ran.figures)
