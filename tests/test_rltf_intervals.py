"""Intervals over seeds, paired differences and Holm's correction: against scipy.stats and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rltf.intervals import difference, holm, interval

RATES = st.lists(st.integers(0, 1000).map(lambda thousandths: thousandths / 1000), min_size=2, max_size=8)
ERROR = st.integers(0, 100).map(lambda thousandths: thousandths / 1000)
PS = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_three_seeds_by_hand() -> None:
    found = interval([0.5, 0.6, 0.7], [0.01, 0.01, 0.01])
    assert found.mean == pytest.approx(0.6)
    assert found.half == pytest.approx(4.30265 * 0.1 / math.sqrt(3), rel=1e-5)  # t(2) at 97.5 %
    assert (found.low, found.high) == pytest.approx((0.35159, 0.84841), abs=1e-5)


def test_seeds_that_agree_by_accident_are_as_uncertain_as_their_evaluations() -> None:
    found = interval([0.6, 0.6, 0.6], [0.02, 0.03, 0.04])
    squared = (0.02**2 + 0.03**2 + 0.04**2) / 3
    assert found.half == pytest.approx(4.30265 * math.sqrt(squared / 3), rel=1e-5)


def test_one_seed_has_its_evaluations_error_alone() -> None:
    found = interval([0.6], [0.02])
    assert found.half == pytest.approx(1.959964 * 0.02)
    assert found.seeds == 1
    assert found.p == pytest.approx(2 * stats.norm.sf(30))


def test_the_difference_of_two_arms_by_hand() -> None:
    found = difference([(0.5, 0.03), (0.6, 0.03)], [(0.4, 0.04), (0.5, 0.04)])
    assert found.mean == pytest.approx(0.1)
    assert found.half == pytest.approx(12.7062 * 0.05 / math.sqrt(2), rel=1e-5)  # t(1); 0.03² + 0.04² = 0.05²
    assert found.p == pytest.approx(2 * stats.t.sf(0.1 / (0.05 / math.sqrt(2)), 1))


@given(RATES, st.data())
def test_with_exact_evaluations_it_is_the_paired_t_test(rates: list[float], data: st.DataObject) -> None:
    others = data.draw(st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=len(rates), max_size=len(rates)))
    changes = np.subtract(rates, others)
    if np.ptp(changes) < 1e-9:  # no spread: the t test divides by nothing
        return
    found = difference([(rate, 0.0) for rate in rates], [(rate, 0.0) for rate in others])
    expected = stats.ttest_rel(rates, others)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-6, abs=1e-9)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)


@given(RATES, ERROR)
def test_it_is_never_narrower_than_students_nor_than_the_evaluations_allow(rates: list[float], error: float) -> None:
    found = interval(rates, [error] * len(rates))
    quantile = stats.t.ppf(0.975, len(rates) - 1) / math.sqrt(len(rates))
    assert found.half == pytest.approx(quantile * max(np.std(rates, ddof=1), error), rel=1e-9, abs=1e-12)


@given(RATES, RATES, ERROR)
def test_the_other_way_round_it_has_the_other_sign(first: list[float], second: list[float], error: float) -> None:
    pairs = list(zip(first, second, strict=False))
    ours = difference([(a, error) for a, _ in pairs], [(b, error) for _, b in pairs])
    theirs = difference([(b, error) for _, b in pairs], [(a, error) for a, _ in pairs])
    assert (ours.mean, ours.half, ours.p) == pytest.approx((-theirs.mean, theirs.half, theirs.p))


@given(RATES, ERROR)
def test_the_interval_leaves_out_zero_where_p_is_below_five_percent(rates: list[float], error: float) -> None:
    found = interval(rates, [error] * len(rates))
    if abs(found.p - 0.05) > 1e-9 and found.half:
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.3, 0.0)])
def test_figures_without_any_error(value: float, p: float) -> None:
    assert interval([value, value], [0.0, 0.0]).p == p
    assert interval([value], [0.0]).p == p


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(PS)
def test_holm_lies_between_no_correction_and_bonferronis(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(p <= ours <= min(1.0, p * len(ps)) for p, ours in zip(ps, adjusted, strict=True))
    assert min(adjusted) == min(1.0, min(ps) * len(ps))


@given(PS)
def test_holm_keeps_the_order(ps: list[float]) -> None:
    assert [ours for _, ours in sorted(zip(ps, holm(ps), strict=True))] == sorted(holm(ps))


@given(PS)
def test_holm_rejects_as_its_steps_do(ps: list[float]) -> None:
    order = sorted(ps)
    steps = next((rank for rank, p in enumerate(order) if p * (len(ps) - rank) >= 0.05), len(ps))
    assert sum(ours < 0.05 for ours in holm(ps)) == steps
