"""Where a program's advantage falls: spans that add a term, and spans that gather what there is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from contracts.objective import ObjectiveConfig
from learner.objectives.credit import token_advantages
from learner.objectives.feedback import Feedback


def config(**fields: Any) -> ObjectiveConfig:
    return ObjectiveConfig.model_validate(fields)


def one(
    length: int,
    penalised: set[int] = frozenset(),  # type: ignore[assignment]
    findings: set[int] = frozenset(),  # type: ignore[assignment]
    *,
    padding: int = 0,
    fine: float = 0.0,
    static: float = 0.0,
    **advantages: float,
) -> Feedback:
    """One program's feedback in float64; located tokens by their positions."""
    width = length + padding

    def span(where: set[int]) -> Tensor:
        return torch.tensor([[t in where for t in range(width)]])

    return Feedback(
        mask=torch.tensor([[int(t < length) for t in range(width)]]),
        advantages={name: torch.tensor([value], dtype=torch.float64) for name, value in advantages.items()},
        fine=torch.tensor([fine], dtype=torch.float64),
        penalised=span(penalised),
        static=torch.tensor([static], dtype=torch.float64),
        findings=span(findings),
        behaviour=torch.zeros(1, width),
    )


def tokens(feedback: Feedback, term: str, **fields: Any) -> list[float]:
    return token_advantages(feedback, config(**fields))[term][0].tolist()


@pytest.mark.parametrize(
    ("penalised", "expected"),
    [
        ({2}, [0, 0, 4 * -0.3, 0]),  # U_line on the third token alone: α = 4 / 1
        ({2, 3}, [0, 0, 2 * -0.3, 2 * -0.3]),  # on the last two: α = 4 / 2
        ({0, 1, 2, 3}, [-0.3] * 4),  # U_global: α = 1
        (set(), [0] * 4),  # U_ignore: no token
    ],
)
def test_the_fine_term_weighs_a_short_range_as_much_as_a_long_one(penalised: set[int], expected: list[float]) -> None:
    feedback = one(4, penalised, fine=-0.3 if penalised else 0.0, padding=3, coarse=-0.6)
    assert tokens(feedback, "fine") == pytest.approx([*expected, 0, 0, 0])
    assert tokens(feedback, "fine", fine=2.0) == pytest.approx([2 * value for value in expected] + [0] * 3)
    assert tokens(feedback, "coarse") == [-0.6] * 4 + [0] * 3, "the other terms stay where they are"


@pytest.mark.parametrize(("cap", "alpha"), [(None, 4.0), (10.0, 4.0), (2.5, 2.5), (1.0, 1.0)])
def test_alpha_is_length_over_range_up_to_its_cap(cap: float | None, alpha: float) -> None:
    assert tokens(one(4, {3}, fine=-0.3), "fine", alpha_cap=cap) == pytest.approx([0, 0, 0, -0.3 * alpha])


def test_static_findings_add_a_term_with_a_range_of_their_own() -> None:
    feedback = one(6, {0, 1, 2}, {2, 4}, fine=-0.3, static=-0.5, coarse=-1.0)
    assert tokens(feedback, "static", static=2.0) == pytest.approx([0, 0, 3 * -1.0, 0, 3 * -1.0, 0])
    assert tokens(feedback, "fine", static=2.0) == pytest.approx([-0.6] * 3 + [0] * 3)


def test_without_spans_there_is_no_other_term() -> None:
    found = token_advantages(one(3, {1}, fine=-0.3, coarse=-1.0), config(spans="none"))
    assert {name: value.tolist() for name, value in found.items()} == {"coarse": [[-1.0] * 3]}


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        (None, [0, 0, 0, 5 * -0.5, 0, 0, 0, 0, 5 * -0.5, 0]),
        (2.0, [-0.5 * 6 / 8] * 3 + [-1.0] + [-0.5 * 6 / 8] * 4 + [-1.0] + [-0.5 * 6 / 8]),
        (1.0, [-0.5] * 10),
    ],
)
def test_moving_by_hand(cap: float | None, expected: list[float]) -> None:
    feedback = one(10, {3, 8}, padding=2, fine=-0.3, coarse=-0.5)
    assert tokens(feedback, "coarse", spans="move", alpha_cap=cap) == pytest.approx([*expected, 0, 0], abs=1e-12)
    assert set(token_advantages(feedback, config(spans="move"))) == {"coarse"}


advantage = st.floats(-3, 3)
lengths = st.integers(1, 40)


@st.composite
def located(draw: st.DrawFn) -> tuple[int, set[int]]:
    length = draw(lengths)
    return length, draw(st.sets(st.integers(0, length - 1)))


@settings(deadline=None)
@given(located(), advantage, advantage, st.sampled_from([None, 1.0, 2.0, 8.0]), st.integers(0, 3))
def test_moving_keeps_the_sum_whatever_the_cap(
    place: tuple[int, set[int]], coarse: float, adaptive: float, cap: float | None, padding: int
) -> None:
    length, where = place
    feedback = one(length, where, padding=padding, coarse=coarse, adaptive=adaptive)
    found = token_advantages(feedback, config(spans="move", alpha_cap=cap))
    whole = found["coarse"] + found["adaptive"]
    assert whole.sum().item() == pytest.approx(length * (coarse + adaptive), abs=1e-9)
    assert found["coarse"].sum().item() == pytest.approx(length * coarse, abs=1e-9)
    assert not whole[0, length:].any()
    outside = [whole[0, t].item() for t in range(length) if t not in where]
    if coarse + adaptive >= 0 or not where:
        assert whole[0, :length].tolist() == pytest.approx([coarse + adaptive] * length), "only blame is moved"
    elif cap is None:
        assert outside == pytest.approx([0.0] * len(outside), abs=1e-9)
    else:
        inside = [whole[0, t].item() for t in where]
        assert max(inside) <= min(outside, default=0.0) + 1e-12, "a located token never has less of the blame"
        assert min(inside) >= cap * (coarse + adaptive) - 1e-12
        assert max(outside, default=0.0) <= 1e-12, "and none is rewarded for it"


@settings(deadline=None)
@given(lengths, advantage, st.sampled_from([None, 8.0]))
def test_moving_onto_the_whole_program_moves_nothing(length: int, coarse: float, cap: float | None) -> None:
    everywhere = one(length, set(range(length)), coarse=coarse)
    assert tokens(everywhere, "coarse", spans="move", alpha_cap=cap) == tokens(everywhere, "coarse", spans="none")


def test_findings_are_located_tokens_only_where_static_feedback_is_asked_for() -> None:
    feedback = one(4, {0}, {0, 2}, coarse=-1.0)
    assert tokens(feedback, "coarse", spans="move", static=0.1) == pytest.approx([-2.0, 0, -2.0, 0])
    assert tokens(feedback, "coarse", spans="move") == pytest.approx([-4.0, 0, 0, 0])
    alone = one(4, set(), {1}, coarse=-1.0)
    assert tokens(alone, "coarse", spans="move", static=0.1) == pytest.approx([0, -4.0, 0, 0])
    assert tokens(alone, "coarse", spans="move") == [-1.0] * 4


def test_terms_of_opposite_sign_are_moved_where_their_sum_is_negative() -> None:
    feedback = one(4, {1}, coarse=-1.0, adaptive=0.25)
    assert tokens(feedback, "coarse", spans="move") == pytest.approx([0, -4.0, 0, 0])
    assert tokens(feedback, "adaptive", spans="move") == pytest.approx([0, 1.0, 0, 0])
    praised = one(4, {1}, coarse=-0.25, adaptive=1.0)
    assert tokens(praised, "coarse", spans="move") == [-0.25] * 4
