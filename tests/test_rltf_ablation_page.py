"""An ablation's figures and page: what they say, what they don't, and that nothing gets out of its box."""

from __future__ import annotations

import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from fake_ablation import ARMS, leave, planned, recipe

from rltf.ablation_page import headline, verdict, write_page
from rltf.ablation_results import Results, arms_table, by_rank, gather

Rates = dict[str, list[float]]


def ablation(
    tmp_path: Path,
    rates: Rates,
    *,
    error: float = 0.02,
    arms: dict[str, Any] | None = None,
    passed: dict[str, list[int]] | None = None,
) -> Results:
    """The results of arms with these rates for seeds 0, 1, …; `passed`: by arm, of 8 programs, problem by problem."""
    seeds = list(range(max(map(len, rates.values()))))
    made = recipe(tmp_path, arms=arms or ARMS, seeds=seeds)
    for job in planned(made, list(rates), seeds):
        if job.arm and job.seed < len(rates[job.arm]):
            leave(job, rates[job.arm][job.seed], error=error, passed=(passed or {}).get(job.arm, ()))
    return gather(made.folder)


def page(tmp_path: Path, results: Results) -> str:
    return write_page(results, tmp_path / "runs" / "fake").read_text(encoding="utf-8")


CLEAR: Rates = {"sl": [0.30, 0.31, 0.29], "coarse": [0.60, 0.62, 0.61], "coarse+fine": [0.61, 0.60, 0.63]}


def test_arms_are_ranked_by_their_own_model_and_not_by_a_control(tmp_path: Path) -> None:
    results = ablation(tmp_path, CLEAR)
    assert [arm.name for arm in by_rank(results)] == ["coarse+fine", "coarse", "sl"]
    assert results.arms[0].supervised
    assert results.arms[0].spans["T=1.0"].mean == pytest.approx(0.30)
    assert results.arms[1].spans["T=1.0"].mean == pytest.approx(0.61), "not the 0.99 of the control that it has too"
    assert results.ways == ["T=1.0", "T=0.6", "greedy"]
    assert results.arms[1].spans["greedy"].mean == pytest.approx(0.81)
    assert results.arms[1].minutes == 2.0


def test_pairs_by_hand(tmp_path: Path) -> None:
    results = ablation(tmp_path, CLEAR, error=0.01)
    found = {(pair.first, pair.second): pair for pair in results.pairs}
    pair = found["coarse", "sl"]
    assert pair.span.mean == pytest.approx(0.31)
    # the nine residuals squared come to 7/9000; twice a quarter of that is more than the evaluations' 2 · 0.01²
    assert (results.deviation, results.df) == (pytest.approx((7 / 36000) ** 0.5), 4)
    assert pair.span.high - pair.span.mean == pytest.approx(2.776445 * (7 / 18000 / 3) ** 0.5, rel=1e-5)
    assert verdict(pair) == "separated"
    assert verdict(found["coarse+fine", "coarse"]) == "not separated"
    text = page(tmp_path, results)
    assert "with a standard deviation of 0.0139, pooled over" in text
    assert "(4 degrees of freedom)" in text
    assert "seeds scatter alike in all arms" in text
    assert "paired by problem" not in text
    assert "<td>&lt; 0.001</td>" in text
    assert ">0.000<" not in text


def test_a_difference_is_no_surer_than_its_evaluations(tmp_path: Path) -> None:
    for pair in ablation(tmp_path, CLEAR, error=0.02).pairs:
        assert pair.span.high - pair.span.mean == pytest.approx(2.776445 * (2 * 0.02**2 / 3) ** 0.5, rel=1e-5)


PASSED = {"sl": [0, 0, 2, 8], "coarse": [2, 4, 6, 8]}
"""A problem's difference: 2, 4, 4 and 0 of 8 programs."""


def test_evaluations_of_the_same_problems_are_paired(tmp_path: Path) -> None:
    flat: Rates = {"sl": [0.3125] * 3, "coarse": [0.625] * 3}
    results = ablation(tmp_path, flat, error=0.2, passed=PASSED)
    assert [(run.samples, run.passed) for run in results.arms[0].runs] == [(8, "0 0 2 8")] * 3
    error = statistics.stdev([0.25, 0.5, 0.5, 0.0]) / 4**0.5
    span = results.pairs[0].span
    assert span.high - span.mean == pytest.approx(4.30265 * error / 3**0.5, rel=1e-5)
    assert "the evaluations' error, paired by problem, gives it" in page(tmp_path, results)


@pytest.mark.parametrize("other", [[], [0, 0, 2]], ids=["not said", "other problems"])
def test_evaluations_that_cannot_be_paired_count_as_independent(tmp_path: Path, other: list[int]) -> None:
    flat: Rates = {"sl": [0.3125] * 3, "coarse": [0.625] * 3}
    span = ablation(tmp_path, flat, error=0.03, passed=PASSED | {"sl": other}).pairs[0].span
    assert span.high - span.mean == pytest.approx(4.30265 * 0.03 * 2**0.5 / 3**0.5, rel=1e-5)


def test_a_single_common_seed_is_tested_with_what_the_other_arms_say(tmp_path: Path) -> None:
    rates: Rates = {"sl": [0.30, 0.31, 0.29], "coarse": [0.60, 0.62, 0.61], "coarse+fine": [0.70]}
    results = ablation(tmp_path, rates, error=0.001)
    assert results.df == 2, "the arm with one run adds none"
    pair = next(pair for pair in results.pairs if (pair.first, pair.second) == ("coarse+fine", "coarse"))
    assert pair.testable
    assert pair.span.seeds == 1
    # sl and coarse differ by 0.30, 0.31 and 0.32: a variance of 0.01², which is twice the pooled one
    assert pair.span.high - pair.span.mean == pytest.approx(4.30265 * 0.01, rel=1e-5)


def test_the_headline_says_what_is_separated_and_what_is_not(tmp_path: Path) -> None:
    said = headline(ablation(tmp_path, CLEAR))
    assert said[0].startswith("coarse+fine has the highest mean pass@1 at T = 1.0: 0.613 ± ")
    assert said[1] == "It is ahead of sl at 95 %, also after Holm's correction; it cannot be told apart from coarse."
    assert (
        said[2] == "Of 3 pairs of arms, 2 are separated at 95 % when taken alone, and 2 after Holm's correction for their number."
    )


def test_what_only_stands_alone_is_said_to(tmp_path: Path) -> None:
    rates = {"sl": [0.50, 0.53, 0.54], "coarse": [0.57, 0.63, 0.58], "coarse+fine": [0.55, 0.56, 0.60]}
    results = ablation(tmp_path, rates, error=0.001)
    found = {(pair.first, pair.second): pair for pair in results.pairs}
    pair = found["coarse", "sl"]
    assert pair.p < 0.05 <= pair.p_holm
    assert verdict(pair) == "separated only if taken alone"
    said = headline(results)[1]
    assert said.startswith("It is ahead of sl when taken alone at 95 %, but not after Holm's correction; it cannot be told")


def test_the_best_arm_can_be_behind_on_the_seeds_that_both_have(tmp_path: Path) -> None:
    """coarse has the higher mean by a third seed, which sl's run is missing of."""
    rates: Rates = {"sl": [0.50, 0.51], "coarse": [0.40, 0.41, 0.90], "coarse+fine": [0.20, 0.21, 0.70]}
    results = ablation(tmp_path, rates, error=0.001)
    assert [arm.name for arm in by_rank(results)] == ["coarse", "sl", "coarse+fine"]
    pairs = {(pair.first, pair.second): pair.span for pair in results.pairs}
    assert list(pairs) == [("sl", "coarse"), ("coarse", "coarse+fine"), ("sl", "coarse+fine")], "the better of each pair first"
    assert pairs["sl", "coarse"].mean == pytest.approx(0.10)
    assert 0 < pairs["sl", "coarse"].low < 0.10 < pairs["sl", "coarse"].high
    said = headline(results)
    assert said[0].startswith("coarse has the highest mean")
    assert said[1] == (
        "It is ahead of coarse+fine at 95 %, also after Holm's correction; "
        "on common seeds it is behind sl at 95 %, also after Holm's correction."
    )


def test_a_pair_whose_own_seeds_vary_more_than_the_others_is_taken_at_that(tmp_path: Path) -> None:
    rates: Rates = {"sl": [0.30, 0.40, 0.30], "coarse": [0.60, 0.52, 0.61], "coarse+fine": [0.60, 0.61, 0.60]}
    results = ablation(tmp_path, rates, error=0.001)
    found = {frozenset({pair.first, pair.second}): pair.span for pair in results.pairs}
    own = statistics.stdev([0.30, 0.12, 0.31])
    assert own > results.deviation * 2**0.5
    span = found[frozenset({"sl", "coarse"})]
    assert (results.df, span.high - span.mean) == (4, pytest.approx(2.776445 * own / 3**0.5, rel=1e-5))


def test_one_seed_separates_nothing(tmp_path: Path) -> None:
    results = ablation(tmp_path, {"sl": [0.1], "coarse": [0.9]})
    assert headline(results)[-1].startswith("With one seed nothing can be separated beyond evaluation error")
    assert verdict(results.pairs[0]) == "one seed: cannot be separated"
    assert (results.pairs[0].p_holm, results.pairs[0].separated_among_all) == (None, False)
    text = page(tmp_path, results)
    assert "one seed: cannot be separated" in text
    assert "without a second seed nothing is known of run-to-run scatter" in text


def test_pairs_need_seeds_in_common(tmp_path: Path) -> None:
    results = ablation(tmp_path, {"sl": [0.3], "coarse": [0.6, 0.6], "coarse+fine": []})
    assert [(pair.first, pair.second, pair.span.seeds) for pair in results.pairs] == [("coarse", "sl", 1)]
    assert "3 of 6 runs are done" in page(tmp_path, results)


def test_starts_are_compared_seed_by_seed(tmp_path: Path) -> None:
    made = recipe(tmp_path)
    for job in planned(made, ["sl", "coarse"], [0, 1]):
        if job.arm:
            leave(job, start=0.25 if (job.arm, job.seed) == ("coarse", 1) else 0.3)
    results = gather(made.folder)
    assert (results.equal_starts, results.unequal_starts) == ([0], [1])
    text = page(tmp_path, results)
    assert "With seed 1 the arms' models were not equally good" in text
    assert "had equal figures (seed 0)" in text


def test_the_page_before_any_run_is_done(tmp_path: Path) -> None:
    made = recipe(tmp_path, name="other")
    planned(made, ["sl"], [0])
    empty = write_page(gather(made.folder), made.folder).read_text(encoding="utf-8")
    assert "No run is done yet." in empty
    assert "Not drawn" in empty


def test_the_page_is_self_contained_and_escaped(tmp_path: Path) -> None:
    text = page(tmp_path, ablation(tmp_path, CLEAR))
    assert "supervised &lt;only&gt;" in text
    assert "<only>" not in text
    assert "<script" not in text
    assert re.findall(r'(?:src|href)="(?!seed\d/[\w-]+/report\.html"|#)([^"]*)"', text) == []
    assert 'href="seed2/coarse_fine/report.html"' in text
    assert "default-src 'none'" in text
    assert text.count("<svg") == 1


def test_the_plot_has_the_best_arm_on_top(tmp_path: Path) -> None:
    text = page(tmp_path, ablation(tmp_path, CLEAR))
    names = re.findall(r">(sl|coarse|coarse\+fine)</text>", text)
    assert names == ["coarse+fine", "coarse", "sl"]


def test_the_console_table(tmp_path: Path) -> None:
    title, columns, rows = arms_table(ablation(tmp_path, CLEAR))
    assert "150 held-out problems" in title
    assert columns[:3] == ["arm", "seeds", "T=1.0"]
    assert rows[2][:3] == ["sl", "3/3", "0.300 ± 0.050"]  # t(2) · 0.02 / sqrt(3)
