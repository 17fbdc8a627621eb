"""The optimizer step on plain torch: gradients, accumulation and the figures of a hand-made batch."""

from __future__ import annotations

import pytest
import torch

from contracts.config import Recipe
from contracts.objective import ObjectiveConfig
from contracts.records import Group, LabelledGroup, Labels, Outcome, Program, Verdict
from contracts.sections import SamplingConfig
from contracts.training import LearnerConfig
from learner.advantages import Row
from learner.trainer import Trainer
from tests.small_batch import Recorder, log_likelihood
from tests.tiny_models import tiny_model

SL = [Row([3, 4], [30, 31, 32]), Row([5], [33]), Row([6, 7, 8], [34, 35])]


def sampled(length: int, first: int, logprob: float = -1.0, *, truncated: bool = False, greedy: bool = False) -> Program:
    ids = list(range(first, first + length))
    return Program(
        text="x" * length,
        token_ids=ids,
        logprobs=[logprob] * length,
        starts=list(range(length)),
        ends=list(range(1, length + 1)),
        truncated=truncated,
        greedy=greedy,
    )


def batch() -> list[LabelledGroup]:
    """Two groups, one pass, one failure, one error with its second and third token penalised, one truncated failure."""
    passed = (sampled(7, 40), Outcome.PASS, Labels(coarse=1.0, fine=0.0, adaptive=1.0, penalised=[False] * 7))
    failed = (sampled(2, 50, -2.0), Outcome.FAILURE, Labels(coarse=-0.3, fine=0.0, adaptive=0.35, penalised=[False] * 2))
    greedy = (
        sampled(9, 60, -9.0, greedy=True),
        Outcome.FAILURE,
        Labels(coarse=-0.3, fine=0.0, adaptive=-0.1, penalised=[False] * 9),
    )
    error = Labels(coarse=-0.6, fine=-0.3, adaptive=None, penalised=[False, True, True, False, False])
    errored = (sampled(5, 70), Outcome.RUNTIME_ERROR, error)
    cut = Labels(coarse=-0.3, fine=0.0, adaptive=-0.3, penalised=[False] * 3)
    cut_off = (sampled(3, 80, -3.0, truncated=True), Outcome.FAILURE, cut)
    broken = Labels(coarse=-1.0, fine=-0.3, adaptive=None, penalised=[True] * 6)
    greedy_error = (sampled(6, 90, greedy=True), Outcome.SYNTAX_ERROR, broken)
    return [entry("a", 7, [3, 4, 5], [passed, failed, greedy]), entry("b", 2, [6], [errored, cut_off, greedy_error])]


def entry(key: str, version: int, prompt: list[int], parts: list[tuple[Program, Outcome, Labels]]) -> LabelledGroup:
    programs = [program for program, _, _ in parts]
    return LabelledGroup(
        group=Group(
            id=key, problem_id=key, batch=0, policy_version=version, temperature=1.0, prompt_ids=prompt, programs=programs
        ),
        verdicts=[Verdict(outcome=outcome, total=1) for _, outcome, _ in parts],
        labels=[labels for _, _, labels in parts],
    )


def trainer(micro_batch: int = 4, **objective: float) -> Trainer:
    recipe = Recipe(
        name="t",
        sampling=SamplingConfig(samples_per_problem=2),
        objective=ObjectiveConfig(**objective),  # type: ignore[arg-type]
        learner=LearnerConfig(batch_samples=4, micro_batch=micro_batch),
    )
    return Trainer(Recorder(tiny_model()), recipe, pad=0)


def test_gradients_are_those_of_the_formulas_on_program_tokens_alone() -> None:
    taught = trainer(micro_batch=3, sl=0.5)
    metrics = taught.step(batch(), SL, 9)
    model = tiny_model()
    a, b = batch()
    # (R_coarse − b, R_adaptive − b, α · R_fine, penalised) of the four sampled programs, in order; 17 sampled tokens.
    terms = [
        (a.group, 0, 1.3, 1.1, 0.0, slice(0, 0)),
        (a.group, 1, 0.0, 0.45, 0.0, slice(0, 0)),
        (b.group, 0, 0.4, 0.0, 5 / 2 * -0.3, slice(1, 3)),
        (b.group, 1, 0.7, 0.7, 0.0, slice(0, 0)),
    ]
    loss = torch.zeros(())
    for group, index, coarse, adaptive, fine, where in terms:
        likelihood = log_likelihood(model, group.prompt_ids, group.programs[index].token_ids)
        loss = loss - ((coarse + adaptive) * likelihood.sum() + fine * likelihood[where].sum()) / 17
    for row in SL:
        loss = loss - 0.5 * log_likelihood(model, row.prompt_ids, row.token_ids).sum() / 6
    loss.backward()
    assert metrics["loss"]["total"] == pytest.approx(loss.item(), rel=1e-5)  # type: ignore[index]
    assert isinstance(taught.engine, Recorder)
    expected = {name: value.grad for name, value in model.named_parameters()}
    assert taught.engine.gradients[0].keys() == expected.keys()
    for name, gradient in taught.engine.gradients[0].items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)
    norm = torch.cat([value.flatten() for value in expected.values() if value is not None]).norm().item()
    assert metrics["gradient_norm"] == pytest.approx(norm, rel=1e-4)
    assert norm > 0.5, "the reported norm is the one before clipping"


def test_accumulation_changes_neither_weights_nor_metrics() -> None:
    trainers = [trainer(micro_batch=size) for size in (1, 2, 64)]
    figures = [[one.step(batch(), SL, step) for step in (9, 10)] for one in trainers]
    whole = dict(trainers[-1].engine.model.named_parameters())
    for one, figure in zip(trainers[:-1], figures[:-1], strict=True):
        for ours, theirs in zip(figure, figures[-1], strict=True):
            losses = theirs["loss"]
            assert isinstance(losses, dict)
            assert ours["loss"] == pytest.approx(losses, rel=1e-4)
            assert ours["lag_steps"] == theirs["lag_steps"]
            assert ours["updates_total"] == theirs["updates_total"]
            apart = {"loss": 0, "lag_steps": 0, "updates_total": 0}
            assert ours | apart == pytest.approx(theirs | apart, rel=1e-4)
        off = torch.cat([(value - whole[name]).abs().flatten() for name, value in one.engine.model.named_parameters()])
        assert off.quantile(0.999).item() < 1e-6
        assert off.max().item() < 1e-4  # AdamW moved them by 2e-3, and magnifies the rounding of gradients next to nothing
    assert not torch.equal(whole["model.norm.weight"], tiny_model().model.norm.weight)


def test_the_figures_of_a_hand_made_batch() -> None:
    metrics = trainer().step(batch(), SL, 9)
    losses = metrics.pop("loss")
    assert isinstance(losses, dict)
    assert losses["total"] == pytest.approx(sum(losses[term] for term in ("sl", "coarse", "fine", "adaptive")))
    assert all(losses[term] != 0.0 for term in ("sl", "coarse", "fine", "adaptive"))
    assert metrics.pop("gradient_norm") > 0  # type: ignore[operator]
    expected = {
        "samples_trained_total": 4,
        "lag_mean_steps": (2 + 2 + 7 + 7) / 4,
        "lag_max_steps": 7,
        "batch_pass_ratio": 0.25,
        "truncated_ratio": 0.25,
        "reward_coarse": (1.0 - 0.3 - 0.6 - 0.3) / 4,
        "reward_adaptive": (1.0 + 0.35 - 0.3) / 3,
        "penalised_tokens_ratio": 2 / 17,
        "behaviour_entropy": (7 * 1 + 2 * 2 + 5 * 1 + 3 * 3) / 17,
        "learning_rate": 1e-3,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_a_supervised_step_has_its_loss_alone_and_takes_no_weight() -> None:
    weighted, plain = trainer(sl=0.0), trainer()
    metrics = weighted.step([], SL, 0)
    assert metrics == plain.step([], SL, 0)
    assert set(metrics) == {"loss", "gradient_norm", "updates_total", "learning_rate"}
    assert metrics["updates_total"] == {"made": 1, "skipped": 0}
    likelihood = sum(log_likelihood(tiny_model(), row.prompt_ids, row.token_ids).sum().item() for row in SL)
    assert metrics["loss"] == pytest.approx(
        {"sl": -likelihood / 6, "coarse": 0, "fine": 0, "adaptive": 0, "total": -likelihood / 6}
    )


def test_a_term_with_weight_zero_changes_nothing_but_its_own_entry() -> None:
    without, full = trainer(fine=0.0).step(batch(), SL, 9), trainer().step(batch(), SL, 9)
    assert isinstance(full["loss"], dict)
    assert full["loss"]["fine"] != 0.0
    expected = full["loss"] | {"fine": 0.0, "total": full["loss"]["total"] - full["loss"]["fine"]}
    assert without["loss"] == pytest.approx(expected)


def test_without_a_weight_for_them_corpus_programs_are_not_run() -> None:
    with_them, without = trainer(sl=0.0), trainer(sl=0.0)
    assert with_them.step(batch(), SL, 9) == without.step(batch(), [], 9)


def test_a_step_of_groups_without_variance_changes_no_weight() -> None:
    taught = trainer(sl=0.0, baseline="group", skip_zero_variance=True)
    equal = Labels(coarse=-0.3, fine=0.0, adaptive=-0.3, penalised=[False] * 2)
    same = entry("c", 3, [6], [(sampled(2, 70), Outcome.FAILURE, equal), (sampled(2, 80), Outcome.FAILURE, equal)])
    metrics = taught.step([same], SL, 9)
    assert metrics["zero_variance_groups_ratio"] == 1.0
    assert metrics["samples_trained_total"] == 2
    assert metrics["gradient_norm"] == 0.0
    fresh = dict(tiny_model().named_parameters())
    assert all(torch.equal(value, fresh[name]) for name, value in taught.engine.model.named_parameters())
    assert taught.engine.learning_rate() == 1e-3
