"""Every objective's loss against its closed form in plain Python: values, slopes, finite differences, whatever the padding."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from contracts.objective import ObjectiveConfig
from learner.objectives import OBJECTIVES
from learner.objectives.common import Count, divergence, supervised_loss, token_shares
from learner.objectives.feedback import Feedback
from tests.closed_form import Case, losses

COUNT = Count(tokens=64.0, programs=8.0)
"""The global batch: more than any batch here has."""


def tensors(cases: list[Case], extra: int = 0) -> tuple[Tensor, Feedback]:
    """The cases in float64, padded to the longest and `extra` columns more."""
    width = max(len(case.logprobs) for case in cases) + extra

    def tokens(name: str, kind: torch.dtype = torch.float64) -> Tensor:
        filled = torch.zeros(len(cases), width, dtype=kind)
        for row, case in zip(filled, cases, strict=True):
            values = getattr(case, name)
            row[: len(values)] = torch.tensor(values, dtype=kind)
        return filled

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    mask = torch.tensor([[t < len(case.logprobs) for t in range(width)] for case in cases]).long()
    return tokens("logprobs").requires_grad_(), Feedback(
        mask=mask,
        advantages={term: column([case.advantages[term] for case in cases]) for term in cases[0].advantages},
        fine=column([case.fine for case in cases]),
        penalised=tokens("penalised", torch.bool),
        static=column([case.static for case in cases]),
        findings=tokens("findings", torch.bool),
        behaviour=tokens("behaviour"),
        proximal=None if cases[0].proximal is None else tokens("proximal"),
        critic=None if cases[0].critic is None else tokens("critic"),
    )


def shares_of(feedback: Feedback, config: ObjectiveConfig) -> Tensor:
    return token_shares(feedback.mask.double(), config.mean, COUNT)


@st.composite
def programs(draw: st.DrawFn, *, proximal: bool, critic: bool) -> Case:
    length = draw(st.integers(1, 12))

    def tokens(value: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(value, min_size=length, max_size=length))

    logprobs = tokens(st.floats(-6, 0))
    penalised, findings = tokens(st.booleans()), tokens(st.booleans())
    advantage = st.floats(-2, 2)
    return Case(
        logprobs=logprobs,
        behaviour=[x + d for x, d in zip(logprobs, tokens(st.floats(-1, 1)), strict=True)],
        advantages={"coarse": draw(advantage), "adaptive": draw(advantage)},
        fine=draw(st.sampled_from([-0.3, -1.0])) if any(penalised) else 0.0,
        penalised=penalised,
        static=-0.4 if any(findings) else 0.0,
        findings=findings,
        proximal=[x + d for x, d in zip(logprobs, tokens(st.floats(-1, 1)), strict=True)] if proximal else None,
        critic=tokens(st.floats(0, 1)) if critic else None,
    )


@st.composite
def configs(draw: st.DrawFn) -> ObjectiveConfig:
    kind = draw(st.sampled_from(["rltf", "rltf_reference", "grpo", "rloo", "ppo"]))
    correction = {"rltf_reference": ["none"], "rltf": ["none", "truncated"], "rloo": ["none", "truncated"]}
    spans = draw(st.sampled_from(["add", "none"] if kind == "rltf_reference" else ["add", "none", "move"]))
    weight = st.sampled_from([0.0, 0.5, 1.0, 3.0])
    return ObjectiveConfig.model_validate(
        {
            "kind": kind,
            "correction": draw(st.sampled_from(correction.get(kind, ["none", "decoupled"]))),
            "correction_cap": draw(st.sampled_from([None, 1.0, 2.0])),
            "spans": spans,
            "fine": draw(weight),
            "static": 0.0 if spans == "none" else draw(weight),
            "alpha_cap": draw(st.sampled_from([None, 1.0, 2.5, 8.0])),
            "mean": draw(st.sampled_from(["token", "sequence"])),
            "clip_low": draw(st.sampled_from([0.1, 0.2])),
            "clip_high": draw(st.sampled_from([0.1, 0.28])),
            "reference": {"alpha_is_one": draw(st.booleans())} if kind == "rltf_reference" else {},
        }
    )


@settings(deadline=None)
@given(st.data(), configs(), st.integers(0, 3))
def test_values_slopes_and_figures_equal_the_closed_form_whatever_the_padding(
    data: st.DataObject, config: ObjectiveConfig, extra: int
) -> None:
    drawn = programs(proximal=data.draw(st.booleans()), critic=config.kind == "rltf_reference" and data.draw(st.booleans()))
    cases = data.draw(st.lists(drawn, min_size=1, max_size=4))
    logprobs, feedback = tensors(cases, extra)
    found = OBJECTIVES[config.kind].loss(logprobs, feedback, config, shares_of(feedback, config))
    expected = losses(cases, config, COUNT.tokens, COUNT.programs)
    assert {name: term.item() for name, term in found.terms.items()} == pytest.approx(expected.terms, rel=1e-6, abs=1e-7)
    assert found.figures == pytest.approx(
        {"advantage": expected.advantage, "advantage_size": expected.advantage_size, "cut": expected.cut}, rel=1e-6, abs=1e-6
    )
    (gradient,) = torch.autograd.grad(torch.stack(list(found.terms.values())).sum(), logprobs)
    for row, slopes in zip(gradient.tolist(), expected.slopes, strict=True):
        assert row[: len(slopes)] == pytest.approx(slopes, rel=1e-6, abs=1e-7)
        assert not any(row[len(slopes) :])


THREE = [
    Case([0.0] * 5, [0.0] * 5, {"coarse": 1.3, "adaptive": 0.4}),
    Case([0.0] * 2, [0.0] * 2, {"coarse": -0.6, "adaptive": 0.0}, -0.3, [False, True], -0.4, [True, False]),
    Case([0.0] * 4, [0.0] * 4, {"coarse": -0.3, "adaptive": -1.0}, -0.3, [True, True, False, False]),
]


@pytest.mark.parametrize(
    ("kind", "correction", "cap", "spans", "proximal"),
    [
        ("rltf", "none", 2.0, "add", False),
        ("rltf", "truncated", 1.2, "move", False),
        ("rloo", "truncated", None, "add", False),
        ("rloo", "none", None, "move", False),
        ("grpo", "none", 2.0, "move", False),
        ("ppo", "none", 2.0, "add", False),
        ("grpo", "decoupled", 1.2, "add", False),
        ("grpo", "decoupled", 1.2, "move", True),
        ("ppo", "decoupled", None, "add", True),
    ],
)
def test_gradients_agree_with_finite_differences(
    kind: str, correction: str, cap: float | None, spans: str, proximal: bool
) -> None:
    """Differences of the closed form, whose constants are held where the gradient is taken, in the logits that are trained."""
    config = ObjectiveConfig.model_validate(
        {"kind": kind, "correction": correction, "correction_cap": cap, "spans": spans, "static": 0.5, "fine": 2.0}
    )
    torch.manual_seed(1)
    width, vocabulary, nudge = 5, 3, 1e-6
    ids = torch.randint(0, vocabulary, (len(THREE), width, 1))
    logits = torch.randn(len(THREE), width, vocabulary, dtype=torch.float64, requires_grad=True)
    apart = [[(-1) ** t * 0.15 * (t + i) for t in range(width)] for i in range(len(THREE))]

    def chosen(values: Tensor) -> Tensor:
        return values.log_softmax(-1).gather(-1, ids).squeeze(-1)

    held = [row[: len(case.logprobs)] for row, case in zip(chosen(logits).tolist(), THREE, strict=True)]
    cases = [
        dataclasses.replace(
            case,
            logprobs=x,
            behaviour=[a + b for a, b in zip(x, off, strict=False)],
            proximal=[a - 0.7 * b for a, b in zip(x, off, strict=False)] if proximal else None,
        )
        for case, x, off in zip(THREE, held, apart, strict=True)
    ]

    def closed(values: Tensor) -> float:
        moved = [
            dataclasses.replace(case, logprobs=row[: len(case.logprobs)])
            for row, case in zip(chosen(values).tolist(), cases, strict=True)
        ]
        return losses(moved, config, COUNT.tokens, COUNT.programs, held).total

    _, feedback = tensors(cases)
    found = OBJECTIVES[config.kind].loss(chosen(logits) * feedback.mask, feedback, config, shares_of(feedback, config))
    (gradient,) = torch.autograd.grad(torch.stack(list(found.terms.values())).sum(), logits)
    differences = torch.zeros_like(gradient)
    for where in range(logits.numel()):
        step = torch.zeros(logits.numel(), dtype=torch.float64)
        step[where] = nudge
        step = step.view_as(logits)
        difference = closed(logits.detach() + step) - closed(logits.detach() - step)
        differences.view(-1)[where] = difference / (2 * nudge)
    torch.testing.assert_close(gradient, differences, rtol=1e-5, atol=1e-8)
    assert not gradient[feedback.mask == 0].any()
    assert gradient.abs().sum() > 0.05


def one(config: ObjectiveConfig, ratio: float, advantage: float) -> tuple[float, float]:
    """Loss and slope of a single token with p_θ / p_b = ratio."""
    case = Case([-1.0], [-1.0 - torch.tensor(ratio, dtype=torch.float64).log().item()], {"coarse": advantage, "adaptive": 0.0})
    logprobs, feedback = tensors([case])
    term = OBJECTIVES[config.kind].loss(logprobs, feedback, config, torch.ones(1, 1)).terms["coarse"]
    term.backward()
    assert logprobs.grad is not None
    return term.item(), logprobs.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.1, 2.0, -2.2, -2.2),
        (1.5, 2.0, -2.0 * 1.3, 0.0),  # raised enough: clipped from above, 1 + 0.3
        (0.5, 2.0, -1.0, -1.0),  # fallen though it is good: not clipped
        (0.5, -2.0, 2.0 * 0.8, 0.0),  # lowered enough: clipped from below, 1 − 0.2
        (1.5, -2.0, 3.0, 3.0),  # risen though it is bad: not clipped
        (0.9, -2.0, 1.8, 1.8),
    ],
)
@pytest.mark.parametrize("kind", ["grpo", "ppo"])
def test_ratios_are_clipped_on_the_side_that_an_advantage_pushes_to(
    kind: str, ratio: float, advantage: float, loss: float, slope: float
) -> None:
    config = ObjectiveConfig.model_validate({"kind": kind, "clip_low": 0.2, "clip_high": 0.3})
    assert one(config, ratio, advantage) == pytest.approx((loss, slope))


@pytest.mark.parametrize(("ratio", "cap", "weight"), [(0.5, 2.0, 0.5), (1.9, 2.0, 1.9), (5.0, 2.0, 2.0), (5.0, None, 5.0)])
def test_importance_weights_are_truncated_from_above_alone(ratio: float, cap: float | None, weight: float) -> None:
    truncated = ObjectiveConfig.model_validate({"kind": "rloo", "correction": "truncated", "correction_cap": cap})
    assert one(truncated, ratio, -0.5) == pytest.approx((-0.5 * weight, 0.5 * weight)), "−w · A · log p, and log p is −1"
    decoupled = ObjectiveConfig.model_validate({"kind": "ppo", "correction": "decoupled", "correction_cap": cap})
    assert one(decoupled, ratio, -0.5) == pytest.approx((0.5 * weight, 0.5 * weight)), "nothing is clipped at the step's start"


def test_every_token_or_every_program_weighs_the_same() -> None:
    mask = torch.tensor([[1.0, 1, 1, 1], [1, 0, 0, 0]])
    token, sequence = (token_shares(mask, mean, Count(10, 4)) for mean in ("token", "sequence"))
    torch.testing.assert_close(token, torch.tensor([[0.1] * 4, [0.1, 0, 0, 0]]))
    torch.testing.assert_close(sequence, torch.tensor([[1 / 16] * 4, [1 / 4, 0, 0, 0]]))


def test_supervised_loss_is_the_mean_negative_logprob() -> None:
    logprobs = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    (term,) = supervised_loss(logprobs, 0.5, 4.0).terms.values()
    assert term.item() == pytest.approx(0.5 * 10.0 / 4)
    term.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-0.125] * 3] * 2


@settings(deadline=None)
@given(st.lists(st.floats(0.02, 1), min_size=2, max_size=6), st.lists(st.floats(0.02, 1), min_size=6, max_size=6))
def test_the_divergence_is_zero_for_equals_never_negative_and_on_average_the_kl(p: list[float], q: list[float]) -> None:
    ours = torch.tensor(p, dtype=torch.float64).log().log_softmax(0)
    other = torch.tensor(q[: len(p)], dtype=torch.float64).log().log_softmax(0)
    assert not divergence(ours, ours).any()
    apart = divergence(ours, other)
    assert apart.min() >= -1e-12
    kl = (ours.exp() * (ours - other)).sum()
    assert (ours.exp() * apart).sum().item() == pytest.approx(kl.item(), abs=1e-9)
    assert torch.autograd.gradcheck(lambda x: divergence(x, other), (ours.requires_grad_(),))
