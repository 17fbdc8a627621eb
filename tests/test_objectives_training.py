"""Whole optimizer steps of every objective: the gradients on real models are those of the closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from learner.frozen import Frozen
from learner.step_metrics import StepMetrics
from tests.closed_form import losses
from tests.small_batch import (
    CORPUS,
    GROUPS,
    batch,
    closed_gradient,
    exact_model,
    log_likelihood,
    recipe,
    scored,
    trainer,
)

FAMILIES = ("llama", "t5")
PAPER = {"adaptive_replaces_failure": False, "alternate": False, "alpha_is_one": False}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "rltf": {},
    "rltf-group": {"baseline": "group", "mean": "sequence"},
    "rltf-truncated": {"correction": "truncated", "correction_cap": 1.5},
    "reference-replaces": {"kind": "rltf_reference", "reference": PAPER | {"adaptive_replaces_failure": True}},
    "reference-alpha": {"kind": "rltf_reference", "reference": PAPER | {"alpha_is_one": True}},
    "grpo": {"kind": "grpo"},
    "grpo-unnormalised": {"kind": "grpo", "normalise": False, "mean": "sequence"},
    "grpo-decoupled": {"kind": "grpo", "correction": "decoupled", "correction_cap": 1.5},
    "rloo": {"kind": "rloo"},
    "rloo-truncated": {"kind": "rloo", "correction": "truncated", "correction_cap": None},
    "ppo-group": {"kind": "ppo", "clip_low": 0.4},
    "ppo-others": {"kind": "ppo", "baseline": "leave_one_out", "clip_high": 0.05},
    "ppo-greedy-decoupled": {"kind": "ppo", "baseline": "greedy", "correction": "decoupled", "correction_cap": None},
}
SPANS: dict[str, dict[str, Any]] = {
    "none": {"spans": "none"},
    "capped": {"alpha_cap": 2.0},
    "static": {"static": 0.5},
    "move": {"spans": "move"},
    "move-capped": {"spans": "move", "alpha_cap": 2.0},
    "move-static": {"spans": "move", "static": 1.0},
}
ALL = OBJECTIVES | {
    f"{name}+{spans}": OBJECTIVES[name] | chosen
    for name in ("rltf", "grpo-decoupled", "rloo-truncated")
    for spans, chosen in SPANS.items()
}
"""Every objective with spans that add, some with all of the others."""


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """Up to rounding, which is that of the largest parts of the sums."""
    assert ours.keys() == theirs.keys()
    largest = max(value.abs().max().item() for value in theirs.values())
    assert largest > 0.1
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-4, atol=1e-5 * largest)


def losses_of(metrics: StepMetrics) -> dict[str, float]:
    found = metrics["loss"]
    assert isinstance(found, dict)
    return {name: value for name, value in found.items() if value}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("objective", ALL.values(), ids=ALL)
def test_gradients_are_those_of_the_closed_form(objective: dict[str, Any], family: str) -> None:
    chosen = recipe(objective | {"sl": 0.5})
    taught, engine = trainer(chosen, family)
    metrics = taught.step(batch(family), CORPUS, 9)
    model = exact_model(family)
    programs = [one for group in scored(model, chosen) for one in group]
    result, supervised, gradient = closed_gradient(model, chosen, programs, CORPUS)
    assert_same(engine.gradients[0], gradient)
    terms = {name: value for name, value in (result.terms | {"sl": supervised}).items() if value}
    assert losses_of(metrics) == pytest.approx(terms | {"total": sum(terms.values())}, rel=1e-4, abs=1e-4)
    norm = torch.cat([value.flatten() for value in gradient.values()]).norm().item()
    assert metrics["gradient_norm"] == pytest.approx(norm, rel=1e-3)
    tokens = sum(len(one.case.logprobs) for one in programs)
    assert metrics["advantage_mean"] == pytest.approx(result.advantage / tokens, rel=1e-4, abs=1e-6)
    assert metrics["advantage_size"] == pytest.approx(result.advantage_size / tokens, rel=1e-4)
    assert metrics["clipped_tokens_ratio"] == pytest.approx(result.cut / tokens)


def test_the_fixture_has_ratios_that_are_clipped_on_both_sides_and_some_that_are_not() -> None:
    chosen = recipe({"kind": "ppo"})
    cases = [one.case for group in scored(exact_model(), chosen) for one in group]
    ratios = torch.tensor([x - b for case in cases for x, b in zip(case.logprobs, case.behaviour, strict=True)]).exp()
    assert (ratios < 0.8).sum() > 5
    assert (ratios > 1.28).sum() > 5
    assert ((ratios > 0.8) & (ratios < 1.28)).sum() > 5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("objective", [{"kind": "grpo"}, {"spans": "move", "mean": "sequence"}], ids=str)
def test_the_leash_pulls_towards_the_reference(objective: dict[str, Any], family: str, tmp_path: Path) -> None:
    other = exact_model(family, seed=5)
    other.float().save_pretrained(tmp_path)
    other.double()
    chosen = recipe(objective | {"kl": 0.3})
    taught, engine = trainer(chosen, family, Frozen(chosen, str(tmp_path), "cpu"))
    metrics = taught.step(batch(family), CORPUS, 9)
    model = exact_model(family)
    programs = [one for group in scored(model, chosen, reference=other) for one in group]
    result, _, gradient = closed_gradient(model, chosen, programs, CORPUS)
    assert result.terms["kl"] > 0.1
    assert losses_of(metrics)["kl"] == pytest.approx(result.terms["kl"], rel=1e-3)
    assert_same(engine.gradients[0], gradient)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "objective",
    [
        OBJECTIVES["grpo"],
        OBJECTIVES["grpo-decoupled"],
        OBJECTIVES["ppo-greedy-decoupled"] | {"spans": "move"},
        OBJECTIVES["rloo-truncated"],
        OBJECTIVES["rltf"],
    ],
    ids=str,
)
def test_every_update_is_made_from_its_own_programs_around_the_step_s_start(objective: dict[str, Any], family: str) -> None:
    chosen = recipe(objective, updates=2)
    taught, engine = trainer(chosen, family)
    metrics = taught.step(batch(family), CORPUS, 9)
    assert len(engine.gradients) == 2
    start, terms = exact_model(family), []
    for update, corpus in enumerate((CORPUS[:2], CORPUS[2:])):
        model = exact_model(family)
        model.load_state_dict(engine.weights[update], strict=False)
        model.tie_weights()
        a, b = scored(model, chosen, start=start)
        result, supervised, gradient = closed_gradient(model, chosen, [*a[:2], b[0]] if update == 0 else [a[2], *b[1:]], corpus)
        assert_same(engine.gradients[update], gradient)
        terms.append(result.terms | {"sl": supervised})
    mean = {name: (terms[0][name] + terms[1][name]) / 2 for name in terms[0] if terms[0][name] or terms[1][name]}
    assert losses_of(metrics) == pytest.approx(mean | {"total": sum(mean.values())}, rel=1e-3, abs=1e-5)
    changed = [(engine.weights[1][name] - value).abs().max().item() for name, value in engine.weights[0].items()]
    assert max(changed) > 5e-4


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize("name", [*OBJECTIVES, "grpo-decoupled+move", "rltf+static", "rloo-truncated+move-capped"])
def test_accumulation_changes_neither_gradients_nor_metrics(name: str, updates: int) -> None:
    found = []
    for size in (64, 1, 2):
        taught, engine = trainer(recipe(ALL[name], size, updates))
        found.append((taught.step(batch(), CORPUS, 9), engine.gradients))
    (whole, gradients), *others = found
    for metrics, ours in others:
        for update in range(updates):
            assert_same(ours[update], gradients[update])
        assert losses_of(metrics) == pytest.approx(losses_of(whole), rel=1e-3, abs=1e-6)
        counted = {name: value for name, value in whole.items() if isinstance(value, dict) and name != "loss"}
        assert metrics | counted == metrics
        apart = dict.fromkeys(["loss", *counted], 0)
        assert metrics | apart == pytest.approx(whole | apart, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("mean", ["token", "sequence"])
def test_alternating_micro_batches_are_means_of_their_own_and_both_kinds_weigh_the_same(mean: str) -> None:
    objective = {"kind": "rltf_reference", "sl": 0.5, "mean": mean, "reference": PAPER | {"alternate": True}}
    chosen = recipe(objective, micro_batch=2)
    taught, engine = trainer(chosen)
    found = losses_of(taught.step(batch(), CORPUS, 9))
    model = exact_model()
    prompted = [(len(prompt), one) for prompt, row in zip(GROUPS, scored(model, chosen), strict=True) for one in row]
    ordered = [one for _, one in sorted(prompted, key=lambda pair: pair[0] + len(pair[1].case.logprobs))]
    corpus = sorted(CORPUS, key=lambda row: len(row.prompt_ids) + len(row.token_ids))
    imitated = [log_likelihood(model, row.prompt_ids, row.token_ids) for row in corpus]
    total = torch.zeros((), dtype=torch.float64)
    for pair in (ordered[:2], ordered[2:4], ordered[4:]):
        tokens = sum(len(one.case.logprobs) for one in pair)
        for one, slopes in zip(pair, losses([one.case for one in pair], chosen.objective, tokens, 2).slopes, strict=True):
            # three micro-batches of programs are half of the whole, two of the corpus the other half
            total = total + (torch.tensor(slopes, dtype=torch.float64) * one.likelihood).sum() / 6
    supervised = sum(-0.5 * torch.cat(half).mean() / 4 for half in (imitated[:2], imitated[2:]))
    assert found["total"] == pytest.approx((total + supervised).item(), rel=1e-4)
    assert found["sl"] == pytest.approx(supervised.item(), rel=1e-4)
    (total + supervised).backward()
    assert_same(engine.gradients[0], {name: value.grad for name, value in model.named_parameters() if value.grad is not None})
