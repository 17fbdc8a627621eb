"""Intervals over seeds, differences between arms and Holm's correction: against scipy.stats, textbook forms and by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rltf.intervals import Scatter, difference, holm, interval, pooled_scatter

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


# Differences between arms


def grid(rows: Sequence[Sequence[float]]) -> dict[tuple[str, int], float]:
    """Figures by arm and seed: a row per arm."""
    return {("abcdefgh"[arm], seed): rate for arm, row in enumerate(rows) for seed, rate in enumerate(row)}


@st.composite
def blocks(draw: st.DrawFn, arms: st.SearchStrategy[int]) -> list[list[float]]:
    """A row per arm, each with a figure for every one of two to five seeds."""
    count, seeds = draw(arms), draw(st.integers(2, 5))
    rate = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
    return draw(st.lists(st.lists(rate, min_size=seeds, max_size=seeds), min_size=count, max_size=count))


def test_a_difference_by_hand() -> None:
    found = difference([0.2, 0.15, 0.25], [0.01, 0.01, 0.01], Scatter(0.05, 14))
    assert found.mean == pytest.approx(0.2)
    assert found.half == pytest.approx(2.144787 * 0.05 * math.sqrt(2 / 3), rel=1e-6)  # t(14) at 97.5 %
    assert found.p == pytest.approx(2 * stats.t.sf(0.2 / (0.05 * math.sqrt(2 / 3)), 14))


def test_a_difference_is_as_uncertain_as_its_own_seeds() -> None:
    found = difference([0.2, 0.1, 0.3], [0.01, 0.01, 0.01], Scatter(0.05, 14))
    assert found.half == pytest.approx(2.144787 * 0.1 / math.sqrt(3), rel=1e-6), "0.1² is more than twice 0.05²"
    assert found.p == pytest.approx(2 * stats.t.sf(0.2 * math.sqrt(3) / 0.1, 14))


def test_a_difference_is_as_uncertain_as_its_evaluations() -> None:
    found = difference([0.1, 0.1], [0.06, 0.08], Scatter(0.05, 1))
    assert found.half == pytest.approx(12.7062 * math.sqrt((0.06**2 + 0.08**2) / 2 / 2), rel=1e-5), "0.005 is twice 0.05²"
    assert difference([0.1, 0.1], [0.06, 0.07], Scatter(0.05, 1)).half == pytest.approx(12.7062 * 0.05, rel=1e-5)


def test_with_one_seed_the_evaluations_error_is_all_that_is_known() -> None:
    scatter = pooled_scatter({("a", 0): 0.6, ("b", 0): 0.5})
    assert scatter == (0.0, 0)
    found = difference([0.1], [0.05], scatter)
    assert found.half == pytest.approx(1.959964 * 0.05)
    assert found.p == pytest.approx(2 * stats.norm.sf(2))


@given(blocks(st.just(2)))
def test_two_arms_make_it_the_paired_t_test(rows: list[list[float]]) -> None:
    changes = np.subtract(*rows)
    if np.ptp(changes) < 1e-9:  # no spread: the t test divides by nothing
        return
    found = difference(changes.tolist(), [0.0] * len(changes), pooled_scatter(grid(rows)))
    expected = stats.ttest_rel(*rows)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-6, abs=1e-9)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)


@given(blocks(st.integers(2, 8)))
def test_the_scatter_is_the_analysis_of_variances(rows: list[list[float]]) -> None:
    """Its textbook form, from means: interaction of arm and seed, (arms − 1)(seeds − 1) degrees of freedom."""
    table = np.array(rows)
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    df = (table.shape[0] - 1) * (table.shape[1] - 1)
    found = pooled_scatter(grid(rows))
    assert found.df == df
    assert found.deviation == pytest.approx(math.sqrt(np.square(left).sum() / df), rel=1e-6, abs=1e-9)


@given(blocks(st.integers(2, 5)), st.lists(st.floats(-1, 1), min_size=5, max_size=5), st.floats(-1, 1))
def test_what_a_seed_or_an_arm_does_is_no_scatter(rows: list[list[float]], seeds: list[float], arm: float) -> None:
    moved = [[rate + move for rate, move in zip(row, seeds, strict=False)] for row in rows]
    moved[0] = [rate + arm for rate in moved[0]]
    assert pooled_scatter(grid(moved)) == pytest.approx(pooled_scatter(grid(rows)), rel=1e-6, abs=1e-9)


def test_missing_runs_by_hand() -> None:
    """Arms a, b, c with seeds 0 to 2, 0 and 1, 1 and 2. Two contrasts are free of both effects, x = (b − a) at 0 less that at 1
    and y = (c − a) at 1 less that at 2: 4 and 4 their norms squared, −1 their product, so RSS = (4x² + 2xy + 4y²) / 15."""
    figures = {("a", 0): 0.5, ("a", 1): 0.5, ("a", 2): 0.5, ("b", 0): 0.8, ("b", 1): 0.5, ("c", 1): 0.75, ("c", 2): 0.6}
    found = pooled_scatter(figures)
    assert found.df == 2
    assert found.deviation == pytest.approx(math.sqrt((4 * 0.09 + 2 * 0.045 + 4 * 0.0225) / 15 / 2))


@given(blocks(st.integers(2, 4)), st.floats(0, 1))
def test_a_run_that_alone_has_its_arm_or_its_seed_adds_nothing(rows: list[list[float]], rate: float) -> None:
    alone = pooled_scatter(grid(rows))
    for extra in (("h", 0), ("a", 9), ("h", 9)):
        found = pooled_scatter(grid(rows) | {extra: rate})
        assert found.df == alone.df
        assert found.deviation == pytest.approx(alone.deviation, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("others", "share"), [(0.5, 0.109), (1.0, 0.038), (2.0, 0.003)])
def test_how_often_equal_arms_seem_separated(others: float, share: float) -> None:
    """Eight arms, three seeds with an effect each, 1000 times: the shares of docs/ablate.md, within four standard errors."""
    random = np.random.default_rng(1)
    scatter = 0.01 * np.array([1, 1] + [others] * 6)[:, None]
    runs = random.normal(0.5, scatter, (1000, 8, 3)) + random.normal(0.0, 0.05, (1000, 1, 3))
    false = sum(difference(list(rows[0] - rows[1]), [0.0] * 3, pooled_scatter(grid(rows))).p < 0.05 for rows in runs)
    assert abs(false / 1000 - share) < 4 * math.sqrt(share * (1 - share) / 1000)


# Both


@given(RATES, ERROR)
def test_it_is_never_narrower_than_students_nor_than_the_evaluations_allow(rates: list[float], error: float) -> None:
    found = interval(rates, [error] * len(rates))
    quantile = stats.t.ppf(0.975, len(rates) - 1) / math.sqrt(len(rates))
    assert found.half == pytest.approx(quantile * max(np.std(rates, ddof=1), error), rel=1e-9, abs=1e-12)


@given(RATES, ERROR, st.integers(0, 9))
def test_the_other_way_round_it_has_the_other_sign(changes: list[float], error: float, df: int) -> None:
    errors, scatter = [error] * len(changes), Scatter(0.02 if df else 0.0, df)
    ours, theirs = difference(changes, errors, scatter), difference([-change for change in changes], errors, scatter)
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
