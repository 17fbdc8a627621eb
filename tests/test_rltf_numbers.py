"""pass@k, its standard error and interval, and the bound on policy lag."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import load_recipe, parse_recipe
from rltf.lag import lag_bound
from rltf.passk import interval_over_problems, mean_and_error, pass_at_k
from rltf.summing import evaluation
from rltf.tally import Count

LOCAL = Path(__file__).resolve().parent.parent / "recipes" / "local.yaml"


# pass@k


@given(n=st.integers(1, 9), data=st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_program_that_passes(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    passes = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    subsets = list(combinations(passes, k))
    expected = sum(any(subset) for subset in subsets) / len(subsets)
    assert pass_at_k(n, sum(passes), k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [(8, 0, 5, 0.0), (8, 8, 1, 1.0), (8, 2, 1, 0.25), (8, 4, 5, 1.0), (4, 2, 2, 5 / 6), (200, 1, 100, 0.5)],
)
def test_pass_at_k_known_values(n: int, c: int, k: int, expected: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-12)


def test_pass_at_k_is_exact_for_many_samples() -> None:
    """The product form of Chen et al. 2021, section 2.1, in logarithms."""
    n, c, k = 1000, 3, 100
    expected = -math.expm1(sum(math.log1p(-k / i) for i in range(n - c + 1, n + 1)))
    assert pass_at_k(n, c, k) == pytest.approx(expected, rel=1e-9)


@given(n=st.integers(2, 40), data=st.data())
def test_pass_at_k_rises_with_k_and_with_programs_that_pass(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n - 1)), data.draw(st.integers(1, n - 1))
    here = pass_at_k(n, c, k)
    assert 0.0 <= here <= pass_at_k(n, c + 1, k) <= 1.0
    assert here <= pass_at_k(n, c, k + 1) <= 1.0


# mean and standard error


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_mean_and_error_are_those_of_the_statistics_module(values: list[float]) -> None:
    mean, error = mean_and_error(values)
    assert mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-9)
    assert error == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)), rel=1e-6, abs=1e-6)


def test_mean_and_error_of_few_values() -> None:
    assert mean_and_error([0.4]) == (0.4, 0.0)
    assert mean_and_error([0.0, 1.0]) == (0.5, 0.5)
    assert mean_and_error([0.1] * 6) == (0.1, 0.0)


@given(st.integers(1, 150), st.integers(1, 150))
def test_the_error_of_a_share_is_the_binomial_one(passed: int, failed: int) -> None:
    n, share = passed + failed, passed / (passed + failed)
    assert mean_and_error([1.0] * passed + [0.0] * failed)[1] == pytest.approx(math.sqrt(share * (1 - share) / (n - 1)))


def test_an_evaluation_averages_over_problems() -> None:
    """Three problems, four samples each: 4, 1 and 0 pass."""

    def count(passed: int) -> Count:
        return Count("unknown", "", Counter({"pass": passed, "failure": 4 - passed}))

    found = evaluation("T=0.6", [count(4), count(1), count(0)], (1, 2, 5), 0.05)
    assert (found.temperature, found.samples_per_problem) == (0.6, 4)
    assert found.pass_at_k == pytest.approx({"1": (1 + 0.25) / 3, "2": (1 + 0.5) / 3}), "k = 5 needs five samples"
    assert found.passed == [4, 1, 0], "problem by problem"
    assert found.standard_error == pytest.approx(np.std([1, 0.25, 0], ddof=1) / math.sqrt(3))
    assert found.outcomes == {
        "pass": 5 / 12, "failure": 7 / 12, "runtime_error": 0.0, "syntax_error": 0.0, "sandbox_error": 0.0,
    }  # fmt: skip
    assert found.by_difficulty == {}, "there is one difficulty"


# intervals over problems


@given(st.integers(1, 200), st.sampled_from([0.0, 1.0]))
def test_where_all_problems_agree_the_interval_is_clopper_and_pearsons(n: int, value: float) -> None:
    passed = round(value * n)
    low = stats.beta.ppf(0.025, passed, n - passed + 1) if passed else 0.0
    high = stats.beta.ppf(0.975, passed + 1, n - passed) if passed < n else 1.0
    assert interval_over_problems([value] * n) == pytest.approx((low, high), abs=1e-9)


def test_problems_that_agree_on_a_middle_value_leave_room_on_both_sides() -> None:
    unseen = 1 - 0.025 ** (1 / 10)
    assert interval_over_problems([0.25] * 10) == pytest.approx((0.25 - 0.25 * unseen, 0.25 + 0.75 * unseen))
    assert interval_over_problems([0.0] * 10, least=-1.0) == pytest.approx((-unseen, unseen)), "differences go below 0"


def test_the_bootstrap_is_that_of_the_problems_one_by_one() -> None:
    """Drawn as a textbook does, problem by problem; the ends agree to a twentieth of the width."""
    values = [0.0] * 20 + [0.5] * 7 + [1.0] * 13
    drawn = np.random.default_rng(5).choice(values, size=(20_000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert interval_over_problems(values) == pytest.approx((low, high), abs=(high - low) / 20)
    assert interval_over_problems(values[::-1]) == interval_over_problems(values), "seeded, whatever the order"


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 400 samples of 60 problems that pass with probability 0.3, about 95 % of the intervals hold 0.3."""
    draws = np.random.default_rng(1).random((400, 60)) < 0.3
    held = [low <= 0.3 <= high for low, high in (interval_over_problems(list(map(float, row))) for row in draws)]
    assert 0.90 <= sum(held) / len(held) <= 0.985


# lag bound


def recipe(**sections: Any) -> Recipe:
    """A step of 128 samples in groups of 4, 256 of them buffered, two batches of 128 in flight, published every step."""
    tree: dict[str, Any] = {
        "name": "r",
        "sampling": {"samples_per_problem": 4, "problems_per_batch": 32},
        "actors": {"in_flight": 2},
        "learner": {"batch_samples": 128},
        "buffer": {"capacity": 256, "max_lag": 1000},
        "weights": {"sync_every": 1},
    }
    for key, values in sections.items():
        tree[key] = tree.get(key, {}) | values if isinstance(values, dict) else values
    return parse_recipe(tree)


def test_the_bound_of_the_local_recipe() -> None:
    lag = lag_bound(load_recipe(LOCAL))
    assert lag.bound == 0 + 2 * (256 + 2 * 32 * 4) // 128 == 8
    for part in ("S = sync_every = 1", "C = capacity = 256", "F = in flight = 256", "B = batch = 128", "max_lag = 16"):
        assert part in lag.formula


@pytest.mark.parametrize(
    ("sections", "bound"),
    [
        ({}, 8),
        ({"weights": {"sync_every": 50}}, 49 + 8),
        ({"weights": {"sync_every": 5, "hold_back": 2}}, 14 + 8),
        ({"actors": {"in_flight": 1}}, 2 * (256 + 128) // 128),
        ({"buffer": {"capacity": 128}}, 2 * (128 + 256) // 128),
        ({"buffer": {"capacity": 200}}, 2 * (200 + 256) // 128),
        ({"buffer": {"max_lag": 5}}, 5),
        ({"learner": {"batch_samples": 126}}, 8),
    ],
    ids=[
        "as it is",
        "rare publications",
        "publications held back",
        "one in flight",
        "small buffer",
        "rounded down",
        "max_lag",
        "whole groups",
    ],
)
def test_the_bound_follows_from_the_recipe(sections: dict[str, Any], bound: int) -> None:
    assert lag_bound(recipe(**sections)).bound == bound


@pytest.mark.parametrize(
    ("buffer", "said"),
    [
        ({"max_uses": 0}, "used more than once"),
        ({"max_uses": 2}, "used more than once"),
        ({"max_uses": 3, "on_exhausted": "reshuffle"}, "used more than once"),
        ({"refresh_every": 1}, "replaced before they are used up"),
    ],
)
def test_only_max_lag_bounds_what_is_used_again_or_passed_over(buffer: dict[str, Any], said: str) -> None:
    lag = lag_bound(recipe(buffer={"max_lag": 77, **buffer}))
    assert lag.bound == 77
    assert "max_lag = 77" in lag.formula
    assert said in lag.formula


def test_only_max_lag_bounds_the_lag_where_groups_shrink() -> None:
    assert lag_bound(recipe(sampling={"truncated": "drop"})).bound == 1000


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"weights": {"sync_every": 50}, "buffer": {"max_lag": 16}}, "sync_every=50"),
        ({"actors": {"count": 3, "in_flight": 2}}, "in_flight=2"),
        ({"control": True, "learner": {"sl_samples": 0}}, "sl_samples"),
        ({"prompt": {"template": "{q}"}}, "template"),
        ({"deterministic": True, "actors": {"in_flight": 1}, "buffer": {"max_uses": 2}}, "max_uses=1"),
        ({"deterministic": True, "actors": {"in_flight": 1}, "buffer": {"on_exhausted": "wait"}}, "on_exhausted=refresh"),
        (
            {
                "deterministic": True,
                "actors": {"in_flight": 1},
                "sampling": {"problems_per_batch": 64},
                "buffer": {"max_lag": 1, "capacity": 1000},
            },
            "max_lag of 2",
        ),
        ({"deterministic": True, "actors": {"in_flight": 1}, "weights": {"sync_every": 4}}, "multiple of weights.sync_every"),
        ({"deterministic": True, "actors": {"in_flight": 1}, "buffer": {"capacity": 128}}, "capacity of 256"),
    ],
)
def test_settings_that_could_never_end_a_run_are_refused(sections: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        recipe(**sections)


def test_a_window_that_lasts_exactly_until_the_refresh_is_used_up() -> None:
    assert lag_bound(recipe(buffer={"refresh_every": 2})).bound == 8


@pytest.mark.parametrize(
    ("sync_every", "problems", "max_lag", "bound"),
    [(1, 1, 1000, 0), (10, 1, 1000, 9), (1, 32, 1000, 1), (10, 32, 1000, 10), (1, 64, 1000, 2), (10, 32, 10, 10)],
)
def test_in_deterministic_mode_few_groups_wait(sync_every: int, problems: int, max_lag: int, bound: int) -> None:
    """A step takes 32 groups; a batch is sampled where fewer wait."""
    one_at_a_time = recipe(
        deterministic=True,
        sampling={"problems_per_batch": problems},
        actors={"in_flight": 1},
        weights={"sync_every": sync_every},
        buffer={"capacity": 384, "max_lag": max_lag},
        checkpoint={"every": 20 * sync_every},
    )
    assert lag_bound(one_at_a_time).bound == bound


def test_the_bound_and_its_formula_count_publications_that_are_held_back() -> None:
    held = {"weights": {"sync_every": 3, "hold_back": 2}}
    assert "S (1 + H) - 1 + 2 (C + F) / B) with S = sync_every = 3, H = hold_back = 2" in lag_bound(recipe(**held)).formula
    assert "hold_back" not in lag_bound(recipe()).formula
    taking_turns = {"deterministic": True, "actors": {"in_flight": 1}, "buffer": {"capacity": 384}, "checkpoint": {"every": 3}}
    found = lag_bound(recipe(**held, **taking_turns))
    assert found.bound == 3 * 3 - 1 + (32 + 32 - 2) // 32
    assert "S (1 + H) - 1 + (P + G - 2) / G" in found.formula
    with pytest.raises(UserError, match=r"make samples 8 steps old: buffer\.max_lag=7"):
        recipe(**held, buffer={"max_lag": 7})


@given(
    capacity=st.integers(128, 2000),
    in_flight=st.integers(1, 9),
    sync_every=st.integers(1, 60),
    max_lag=st.integers(1, 200),
    step=st.integers(1, 200),
)
def test_the_bound_never_falls_with_what_can_wait(
    capacity: int, in_flight: int, sync_every: int, max_lag: int, step: int
) -> None:
    def bound(**more: int) -> int:
        found = lag_bound(
            recipe(
                buffer={"capacity": capacity + more.get("capacity", 0), "max_lag": max_lag},
                actors={"in_flight": in_flight + more.get("in_flight", 0)},
                weights={"sync_every": sync_every + more.get("sync_every", 0)},
            )
        ).bound
        assert found is not None
        return found

    assume(capacity + step <= 50 * 128)
    assume(sync_every + step - 1 <= max_lag)
    here = bound()
    assert sync_every - 1 <= here <= max_lag or here == max_lag
    for key in ("capacity", "in_flight", "sync_every"):
        assert here <= bound(**{key: step}) <= max_lag
