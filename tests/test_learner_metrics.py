"""The figures that a user watches, worked out by hand on a model that finds every token equally likely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from contracts.config import Recipe
from contracts.objective import ObjectiveConfig
from contracts.records import LabelledGroup
from contracts.sections import ExecutorsConfig, SamplingConfig
from contracts.training import DeepSpeedConfig, LearnerConfig, OptimizerConfig
from learner.engine import TorchEngine
from learner.step_metrics import StepMetrics, global_metrics, local_sums
from learner.trainer import Trainer
from models.scoring import TokenBatch
from tests.factories import labelled


class Uniform(nn.Module):
    """p = 1/4 for each of four tokens."""

    config = SimpleNamespace(is_encoder_decoder=False)
    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(4))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *, use_cache: bool) -> SimpleNamespace:  # noqa: ARG002
        return SimpleNamespace(logits=self.bias.expand(*input_ids.shape, 4))


class HalfLikely:
    """Frozen models: a reference that gives every token p = 1/2, and no critic."""

    def reference_logprobs(self, batch: TokenBatch, temperature: Tensor) -> Tensor:  # noqa: ARG002
        return math.log(0.5) * batch.program_mask

    def critic_weights(self, batch: TokenBatch, outcomes: Sequence[Any]) -> None:  # noqa: ARG002
        return None


def sampled_with(ratios: list[list[float]], coarse: tuple[float, ...], key: str = "g", version: int = 0) -> LabelledGroup:
    """A group whose tokens are now so many times as likely as they were."""
    entry = labelled(key, coarse=coarse, version=version)
    programs = [
        msgspec.structs.replace(
            program,
            token_ids=[1] * len(row),
            logprobs=[math.log(0.25 / ratio) for ratio in row],
            starts=[0] * len(row),
            ends=[0] * len(row),
        )
        for program, row in zip(entry.group.programs, ratios, strict=True)
    ]
    labels = [
        msgspec.structs.replace(one, adaptive=0.0, penalised=[False] * len(row), static=[t == 0 for t in range(len(row))])
        for one, row in zip(entry.labels, ratios, strict=True)
    ]
    return msgspec.structs.replace(entry, group=msgspec.structs.replace(entry.group, programs=programs), labels=labels)


def metrics_of(entries: list[LabelledGroup], *, temperature: float = 1.0, **objective: Any) -> StepMetrics:
    recipe = Recipe(
        name="t",
        sampling=SamplingConfig(samples_per_problem=2, temperature=temperature),
        objective=ObjectiveConfig.model_validate({"spans": "none", "adaptive": 0.0, **objective}),
        executors=ExecutorsConfig(analyse=True),
        learner=LearnerConfig(batch_samples=4, sl_samples=0, micro_batch=1),
    )
    engine = TorchEngine(Uniform(), OptimizerConfig(lr=1e-3), 10)  # type: ignore[arg-type]
    return Trainer(engine, recipe, 0, HalfLikely() if recipe.objective.kl else None).step(entries, [], 3)  # type: ignore[arg-type]


RATIOS = [[0.5, 1.0, 2.0], [0.5, 4.0]]
ENTRY = sampled_with(RATIOS, (1.0, -0.3))
"""Advantages over the group's mean: 0.65 and −0.65."""


def test_ratios_and_what_follows_from_them() -> None:
    found = metrics_of([ENTRY], kind="ppo")
    assert found["importance_ratio_mean"] == pytest.approx(8 / 5)
    assert found["importance_ratio_max"] == pytest.approx(4)
    assert found["effective_samples_ratio"] == pytest.approx(8**2 / (5 * (0.25 + 1 + 4 + 0.25 + 16)))
    assert found["kl_behaviour"] == pytest.approx(sum(r - math.log(r) - 1 for row in RATIOS for r in row) / 5)
    # Clipped: the good program's 2.0 and the bad one's 0.5; never its 4.0, nor the good one's 0.5.
    assert found["clipped_tokens_ratio"] == pytest.approx(2 / 5)
    assert metrics_of([ENTRY], kind="ppo", clip_high=1.5, clip_low=0.4)["clipped_tokens_ratio"] == pytest.approx(1 / 5)
    assert metrics_of([ENTRY], kind="ppo", clip_high=1.5, clip_low=0.6)["clipped_tokens_ratio"] == 0


@pytest.mark.parametrize(("cap", "share"), [(2.0, 1 / 5), (1.5, 2 / 5), (None, 0.0)])
def test_truncated_importance_weights_count_as_cut(cap: float | None, share: float) -> None:
    for objective in ({"kind": "rloo", "correction": "truncated"}, {"kind": "ppo", "correction": "decoupled"}):
        found = metrics_of([ENTRY], correction_cap=cap, **objective)
        assert found["clipped_tokens_ratio"] == pytest.approx(share)


def test_advantages_and_entropy_are_means_over_sampled_tokens() -> None:
    found = metrics_of([ENTRY], kind="ppo")
    assert found["advantage_mean"] == pytest.approx((3 * 0.65 - 2 * 0.65) / 5)
    assert found["advantage_size"] == pytest.approx(0.65)
    assert found["policy_entropy"] == pytest.approx(math.log(4))
    assert found["static_tokens_ratio"] == pytest.approx(2 / 5)
    assert found["behaviour_entropy"] == pytest.approx(-sum(math.log(0.25 / r) for row in RATIOS for r in row) / 5)


def test_the_divergence_from_the_reference_and_its_share_of_the_loss() -> None:
    found = metrics_of([ENTRY], kind="ppo", kl=0.1)
    apart = 2 - math.log(2) - 1
    assert found["kl_reference"] == pytest.approx(apart)
    assert isinstance(found["loss"], dict)
    assert found["loss"]["kl"] == pytest.approx(0.1 * apart)
    assert "kl_reference" not in metrics_of([ENTRY], kind="ppo")


def test_ratios_are_left_out_where_programs_are_scored_at_another_temperature() -> None:
    ratio = {"importance_ratio_mean", "importance_ratio_max", "kl_behaviour", "effective_samples_ratio"}
    assert not ratio & metrics_of([ENTRY], kind="rloo", temperature=0.6).keys()
    assert ratio <= metrics_of([ENTRY], kind="rloo").keys()
    assert ratio <= metrics_of([ENTRY], kind="grpo", temperature=0.6).keys()


def test_groups_without_variance_are_counted_and_can_be_left_out() -> None:
    entries = [ENTRY, sampled_with([[3.0], [1.0] * 7], (-0.3, -0.3), "h")]
    kept, skipped = (metrics_of(entries, kind="ppo", skip_zero_variance=skips) for skips in (False, True))
    assert kept["zero_variance_groups_ratio"] == skipped["zero_variance_groups_ratio"] == 0.5
    assert kept["advantage_size"] == pytest.approx(5 * 0.65 / 13)
    assert skipped["advantage_size"] == pytest.approx(0.65)
    assert kept["importance_ratio_mean"] == pytest.approx((8 + 3 + 7) / 13)
    assert skipped["importance_ratio_mean"] == pytest.approx(8 / 5)
    alone = metrics_of([ENTRY], kind="ppo")
    assert skipped["loss"] == pytest.approx(alone["loss"])
    assert skipped["gradient_norm"] == pytest.approx(alone["gradient_norm"])
    assert kept["gradient_norm"] == pytest.approx(alone["gradient_norm"] * 5 / 13)  # type: ignore[operator]


class Overflowing(TorchEngine):
    """Gradients overflow at the updates with these numbers."""

    def __init__(self, *updates: int) -> None:
        super().__init__(Uniform(), OptimizerConfig(lr=1e-3), 10)  # type: ignore[arg-type]
        self._updates, self._number = updates, -1

    def step(self) -> float | None:
        self._number += 1
        norm = super().step()
        return None if self._number in self._updates else norm


def test_skipped_updates_are_counted_in_half_precision_and_have_no_gradient_norm() -> None:
    entries = [sampled_with([[1.0], [2.0]], (1.0, -0.3), key) for key in "ab"]
    found = []
    for precision, overflowing in (("fp32", ()), ("bf16", ()), ("bf16", (1,)), ("bf16", (0, 1))):
        recipe = Recipe(
            name="t",
            sampling=SamplingConfig(samples_per_problem=2),
            objective=ObjectiveConfig(kind="ppo", spans="none", adaptive=0.0),
            learner=LearnerConfig(batch_samples=4, sl_samples=0, updates=2),
            deepspeed=DeepSpeedConfig(precision=precision, zero_stage=1),  # type: ignore[arg-type]
        )
        metrics = Trainer(Overflowing(*overflowing), recipe, 0).step(entries, [], 3)
        found.append(("gradient_norm" in metrics, metrics.get("skipped_updates_ratio"), metrics["updates_total"]))
    made, half, none = ({"made": 2 - n, "skipped": n} for n in range(3))
    assert found == [(True, None, made), (True, 0.0, made), (False, 0.5, half), (False, 1.0, none)]


def test_a_step_of_nothing_but_groups_without_variance_leaves_the_model_where_it_is() -> None:
    found = metrics_of([sampled_with([[1.0], [2.0]], (1.0, 1.0))], kind="grpo", skip_zero_variance=True)
    assert found["gradient_norm"] == 0
    assert found["zero_variance_groups_ratio"] == 1
    assert "importance_ratio_mean" not in found


def test_the_largest_of_two_ranks_is_the_largest_and_the_rest_are_sums() -> None:
    config = ObjectiveConfig()
    figures = [
        {"scored": 2.0, "ratio": 3.0, "ratio_squared": 5.0, "ratio_max": 2.0, "entropy": 1.0, "cut": 1.0},
        {"scored": 3.0, "ratio": 6.0, "ratio_squared": 20.0, "ratio_max": 4.0, "entropy": 4.0},
    ]
    entries = [labelled("g", version=1), labelled("h", version=4, coarse=(1.0, -0.3))]
    sums = [local_sums([entries[rank]], figures[rank], 5, rank, 2, config) for rank in range(2)]
    assert list(sums[0]) == list(sums[1])
    found = global_metrics({name: sums[0][name] + sums[1][name] for name in sums[0]}, 2)
    assert (found["importance_ratio_max"], found["lag_max_steps"]) == (4.0, 4.0)
    assert found["importance_ratio_mean"] == pytest.approx(9 / 5)
    assert found["effective_samples_ratio"] == pytest.approx(81 / (5 * 25))
    assert found["clipped_tokens_ratio"] == pytest.approx(1 / 5)
    assert found["policy_entropy"] == pytest.approx(1.0)
    assert found["zero_variance_groups_ratio"] == 0.5
    assert found["lag_steps"] == {"1.0": 2, "4.0": 2, "sum": 10.0}
    assert (found["samples_trained_total"], found["learner_tokens_total"]) == (4, 8)
