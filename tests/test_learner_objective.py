"""The losses against closed forms in plain Python, their gradients against finite differences."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from contracts.sections import ObjectiveConfig
from learner.objective import Feedback, rltf_loss, sl_loss

TOKENS = 64.0
"""Sampled tokens of the global batch: a power of two, more than any batch here has."""


@dataclass(frozen=True)
class Case:
    """One program: its log-probs, its advantages, its fine reward and the penalised range."""

    logprobs: list[float]
    coarse: float = 0.0
    adaptive: float = 0.0
    fine: float = 0.0
    penalised: tuple[int, int] = (0, 0)


def closed_form(cases: list[Case], config: ObjectiveConfig) -> dict[str, float]:
    """Section 3.3's formulas, term by term, one token after the other."""
    terms = {"coarse": 0.0, "fine": 0.0, "adaptive": 0.0}
    for case in cases:
        start, end = case.penalised
        alpha = len(case.logprobs) / (end - start) if end > start else 0.0
        if config.alpha_cap is not None:
            alpha = min(alpha, config.alpha_cap)
        for t, logprob in enumerate(case.logprobs):
            terms["coarse"] -= config.coarse * case.coarse * logprob / TOKENS
            terms["adaptive"] -= config.adaptive * case.adaptive * logprob / TOKENS
            if start <= t < end:
                terms["fine"] -= config.fine * alpha * case.fine * logprob / TOKENS
    return terms


def tensors(cases: list[Case], extra: int = 0) -> tuple[Tensor, Tensor, Feedback]:
    """The same programs padded to the longest and `extra` columns more, in float64."""
    width = max(len(case.logprobs) for case in cases) + extra
    logprobs = torch.zeros(len(cases), width, dtype=torch.float64)
    mask = torch.zeros(len(cases), width, dtype=torch.int64)
    penalised = torch.zeros(len(cases), width, dtype=torch.bool)
    for i, case in enumerate(cases):
        logprobs[i, : len(case.logprobs)] = torch.tensor(case.logprobs, dtype=torch.float64)
        mask[i, : len(case.logprobs)] = 1
        penalised[i, slice(*case.penalised)] = True

    def column(name: str) -> Tensor:
        return torch.tensor([getattr(case, name) for case in cases], dtype=torch.float64)

    return logprobs, mask, Feedback(column("coarse"), column("adaptive"), column("fine"), penalised)


@st.composite
def programs(draw: st.DrawFn) -> Case:
    logprobs = draw(st.lists(st.floats(-8, 0, width=32), min_size=1, max_size=16))
    start = draw(st.integers(0, len(logprobs)))
    end = draw(st.integers(start, len(logprobs)))
    advantage = st.floats(-2, 2, width=32)
    fine = draw(st.sampled_from([-0.3, -1.0])) if end > start else 0.0
    return Case(logprobs, draw(advantage), draw(advantage), fine, (start, end))


weights = st.sampled_from([0.0, 0.5, 1.0, 3.0])
objectives = st.builds(
    ObjectiveConfig, coarse=weights, fine=weights, adaptive=weights, alpha_cap=st.sampled_from([None, 1.0, 2.5])
)


@given(st.lists(programs(), min_size=1, max_size=4), objectives, st.integers(0, 3))
def test_every_term_equals_its_closed_form_whatever_the_padding(cases: list[Case], config: ObjectiveConfig, extra: int) -> None:
    logprobs, mask, feedback = tensors(cases, extra)
    loss, terms = rltf_loss(logprobs, mask, feedback, config, TOKENS)
    expected = closed_form(cases, config)
    assert terms == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert loss.item() == pytest.approx(sum(expected.values()), rel=1e-6, abs=1e-9)


FOUR = [-0.5, -1.0, -2.0, -4.0]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (Case(FOUR, coarse=1.6), {"coarse": 1.6 * 7.5, "fine": 0.0, "adaptive": 0.0}),
        (Case(FOUR, adaptive=-0.25), {"coarse": 0.0, "fine": 0.0, "adaptive": -0.25 * 7.5}),
        # U_line on the third token alone: α = 4 / 1
        (Case(FOUR, fine=-0.3, penalised=(2, 3)), {"coarse": 0.0, "fine": 4 * -0.3 * 2.0, "adaptive": 0.0}),
        # U_line on the last two: α = 4 / 2
        (Case(FOUR, fine=-0.3, penalised=(2, 4)), {"coarse": 0.0, "fine": 2 * -0.3 * 6.0, "adaptive": 0.0}),
        # U_global: α = 1
        (Case(FOUR, fine=-0.3, penalised=(0, 4)), {"coarse": 0.0, "fine": -0.3 * 7.5, "adaptive": 0.0}),
        # U_ignore: no token
        (Case(FOUR, fine=-0.3), {"coarse": 0.0, "fine": 0.0, "adaptive": 0.0}),
    ],
)
def test_terms_worked_out_by_hand(case: Case, expected: dict[str, float]) -> None:
    logprobs, mask, feedback = tensors([case])
    _, terms = rltf_loss(logprobs, mask, feedback, ObjectiveConfig(), 1.0)
    assert terms == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("cap", "alpha"), [(None, 4.0), (10.0, 4.0), (2.5, 2.5), (1.0, 1.0)])
def test_alpha_is_length_over_range_up_to_its_cap(cap: float | None, alpha: float) -> None:
    logprobs, mask, feedback = tensors([Case(FOUR, fine=-0.3, penalised=(3, 4))])
    _, terms = rltf_loss(logprobs, mask, feedback, ObjectiveConfig(alpha_cap=cap), 1.0)
    assert terms["fine"] == pytest.approx(-0.3 * alpha * 4.0)


def test_alpha_counts_a_programs_own_tokens_and_not_the_longest_ones() -> None:
    short = Case([-1.0, -1.0], fine=-0.3, penalised=(0, 1))
    logprobs, mask, feedback = tensors([short, Case([-1.0] * 9)])
    _, terms = rltf_loss(logprobs, mask, feedback, ObjectiveConfig(), 1.0)
    assert terms["fine"] == pytest.approx(2 * -0.3 * 1.0)


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    cases = [
        Case([0.0] * 5, coarse=1.3, adaptive=0.4),
        Case([0.0] * 2, coarse=-0.6, fine=-0.3, penalised=(1, 2)),
        Case([0.0] * 4, coarse=-0.3, adaptive=-1.0, fine=-0.3, penalised=(0, 4)),
    ]
    _, mask, feedback = tensors(cases)
    ids = torch.randint(0, 7, mask.shape)

    def loss_of(logits: Tensor) -> Tensor:
        logprobs = logits.log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1) * mask
        return rltf_loss(logprobs, mask, feedback, ObjectiveConfig(coarse=0.5, fine=2.0), 11.0)[0]

    logits = torch.randn(*mask.shape, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss_of, (logits,))
    (gradient,) = torch.autograd.grad(loss_of(logits), logits)
    assert gradient[mask == 0].abs().max() == 0.0
    assert gradient[mask == 1].abs().sum(-1).min() > 0.0


def test_each_tokens_gradient_is_minus_its_reward_over_all_tokens() -> None:
    logprobs, mask, feedback = tensors([Case(FOUR, coarse=1.0, adaptive=0.5, fine=-0.3, penalised=(1, 3))])
    logprobs.requires_grad_()
    rltf_loss(logprobs, mask, feedback, ObjectiveConfig(), 10.0)[0].backward()
    assert logprobs.grad is not None
    expected = [-0.15, -(1.5 - 0.6) / 10, -(1.5 - 0.6) / 10, -0.15]
    assert logprobs.grad[0].tolist() == pytest.approx(expected)


def test_supervised_loss_is_the_mean_negative_logprob() -> None:
    logprobs = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss, terms = sl_loss(logprobs, 0.5, 4.0)
    assert loss.item() == pytest.approx(0.5 * 10.0 / 4)
    assert terms == {"sl": loss.item()}
    loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-0.125] * 3] * 2


def test_micro_batches_with_one_denominator_add_up_to_the_whole_batch() -> None:
    cases = [Case([-1.0] * n, coarse=0.1 * n, fine=-0.3, penalised=(0, 1)) for n in (1, 5, 2, 7)]
    whole = rltf_loss(*tensors(cases), ObjectiveConfig(), TOKENS)[0]
    halves = [rltf_loss(*tensors(part), ObjectiveConfig(), TOKENS)[0] for part in (cases[:2], cases[2:])]
    assert sum(half.item() for half in halves) == pytest.approx(whole.item())
