"""What a user watches while a model learns: the training signals' plots, and the objective in words."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from fake_run import write_run

from contracts.objective import Kind, ObjectiveConfig
from contracts.sections import MonitorConfig
from rltf import plots
from rltf.monitor import Monitor
from rltf.report import write_report
from rltf.wording import objective_in_words

# -- the page

SIGNALS = (
    "Losses",
    "Advantages",
    "Where feedback falls",
    "Entropy",
    "Divergence",
    "Importance ratios",
    "Effective sample size",
)


def _headings(folder: Path) -> list[str]:
    html = write_report(folder).read_text(encoding="utf-8")
    return re.findall("<h3>([^<]*)</h3>", html[html.index("<h2>Training signals") : html.index("<h2>A few programs")])


def test_page_draws_every_training_signal(tmp_path: Path) -> None:
    assert tuple(_headings(write_run(tmp_path))) == SIGNALS
    assert (tmp_path / "report.html").read_text().count("Worrying:") == len(SIGNALS)


def test_signals_that_an_objective_does_not_record_are_left_out(tmp_path: Path) -> None:
    with Monitor("mine", tmp_path, MonitorConfig(prometheus_port=0)) as monitor:
        for step in range(4):
            monitor.record("online", {"step": step, "loss": {"sl": 0.5, "total": 0.5}, "advantage_size": 0.5})
    assert _headings(tmp_path) == ["Losses", "Advantages"]


# -- plots


def test_every_term_of_the_loss_has_a_line_of_its_own_colour() -> None:
    terms = ["sl", "coarse", "fine", "adaptive", "static", "kl", "total"]
    rows = [{"step": step, "loss": {term: float(place) for place, term in enumerate(terms)}} for step in range(3)]
    drawing = plots.losses(rows) or ""
    assert [f">{term}<" in drawing for term in terms] == [True] * len(terms)
    assert len({colour for colour in plots.LINES if colour in drawing}) == len(terms)


def _rows(**values: float) -> list[dict[str, float]]:
    return [{"step": float(step), **values} for step in range(1, 5)]


@pytest.mark.parametrize(
    ("draw", "rows", "names"),
    [
        (plots.advantages, _rows(advantage_mean=-0.1, advantage_size=0.4), ["mean size", "mean"]),
        (plots.entropy, _rows(policy_entropy=0.5, behaviour_entropy=0.6), ["policy that learns", "policy that sampled"]),
        (plots.entropy, _rows(behaviour_entropy=0.6), ["policy that sampled"]),
        (plots.ratios, _rows(importance_ratio_mean=1.0, importance_ratio_max=3.0), ["mean of the step", "largest of the step"]),
        (
            plots.effective,
            _rows(effective_samples_ratio=0.9, clipped_tokens_ratio=0.1),
            ["effective sample size", "tokens clipped"],
        ),
        (plots.effective, _rows(effective_samples_ratio=0.9, clipped_tokens_ratio=0.0), ["effective sample size"]),
        (plots.divergences, _rows(kl_behaviour=0.01, kl_reference=0.2), ["policy that sampled", "reference"]),
        (plots.divergences, _rows(kl_behaviour=0.0), ["policy that sampled"]),
        (
            plots.shares,
            _rows(zero_variance_groups_ratio=0.5, penalised_tokens_ratio=0.1, static_tokens_ratio=0.2),
            ["groups of equal rewards", "tokens penalised", "tokens in static findings"],
        ),
        (plots.shares, _rows(penalised_tokens_ratio=0.1, static_tokens_ratio=0.0), ["tokens penalised"]),
    ],
)
def test_signals_are_drawn_from_their_metrics(
    draw: Callable[[plots.Rows], str | None], rows: plots.Rows, names: list[str]
) -> None:
    drawing = draw(rows) or ""
    known = {"mean size", "mean", "policy that learns", "policy that sampled", "reference", "mean of the step"}
    known |= {"largest of the step", "effective sample size", "tokens clipped", "groups of equal rewards", "tokens penalised"}
    known |= {"tokens in static findings"}
    assert {name for name in known if f">{name}<" in drawing} == set(names)


@pytest.mark.parametrize(
    "draw", [plots.advantages, plots.entropy, plots.ratios, plots.effective, plots.divergences, plots.shares, plots.losses]
)
def test_signals_without_numbers_are_not_drawn(draw: Callable[[plots.Rows], str | None]) -> None:
    assert draw(_rows()) is None
    assert draw([]) is None


def test_difficulties_are_drawn_where_there_are_some() -> None:
    """Of 10 easy programs a step none, 8 and 4 pass; hard ones come in the second step alone, and 1 of 5 passes."""
    hard = {"train|hard|pass": 1, "train|hard|failure": 4, "heldout|hard|pass": 50}
    counted = [
        {"train|easy|failure": 10, "heldout|unseen|pass": 20},
        {"train|easy|failure": 12, "train|easy|pass": 8, **hard},
        {"train|easy|failure": 12, "train|easy|syntax_error": 6, "train|easy|pass": 12, **hard},
    ]
    rows = [{"step": step, "programs_total": counted[step]} for step in range(3)]
    steps, rates = plots.pass_rates(rows)
    assert steps.tolist() == [0, 1, 2]
    assert list(rates) == ["easy", "hard"]
    assert rates["easy"].tolist() == pytest.approx([0.0, 0.8, 0.4])
    assert rates["hard"].tolist() == pytest.approx([math.nan, 0.2, math.nan], nan_ok=True)
    drawing = plots.pass_by_difficulty(rows) or ""
    assert drawing.index(">easy<") < drawing.index(">hard<")
    assert plots.pass_by_difficulty([{"step": 1, "programs_total": {"train|easy|pass": 1}}] * 3) is None
    assert plots.pass_by_difficulty([]) is None


def test_large_ratios_take_a_logarithmic_scale() -> None:
    assert "10^{1}" in (plots.ratios(_rows(importance_ratio_mean=1.0, importance_ratio_max=300.0)) or "").replace("$", "")
    assert "10^{1}" not in (plots.ratios(_rows(importance_ratio_mean=1.0, importance_ratio_max=19.0)) or "")


# -- the objective in words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {},
            "RLTF's own, a term of the loss for each reward (kind=rltf), with "
            "rewards 1 · coarse and 1 · adaptive. A reward counts by its distance from "
            "what the greedily decoded program of the same prompt earns (baseline=greedy). On the tokens of a located error a "
            "reward of their own is added (spans=add). Nothing is done about policy lag (correction=none).",
        ),
        (
            {"kind": "grpo", "correction": "decoupled", "correction_cap": 4, "kl": 0.05, "spans": "none"},
            "GRPO: one reward per program, in clipped ratios of probabilities (kind=grpo), with "
            "reward 1 · coarse + 1 · adaptive. A reward counts by its distance from "
            "the mean of all programs of the same prompt, in standard deviations of that group (baseline=group). No use is made "
            "of where an error was (spans=none). Ratios are clipped around the weights at a step's start, and importance weights "
            "of at most 4 correct the lag up to there (correction=decoupled). A KL term of weight 0.05 holds the model near the "
            "weights that it began with.",
        ),
        (
            {"kind": "rloo", "correction": "truncated", "correction_cap": None, "spans": "move", "static": 1.0},
            "RLOO: one reward per program, times the program's log-probability (kind=rloo), with "
            "reward 1 · coarse + 1 · adaptive. A reward counts by its distance from "
            "the mean of the other programs of the same prompt (baseline=leave_one_out). A bad program's blame is gathered on "
            "the tokens of a located error or a static finding (spans=move). Policy lag is corrected by importance weights "
            "without a bound (correction=truncated).",
        ),
    ],
)
def test_objective_in_words(settings: dict, words: str) -> None:
    assert objective_in_words(ObjectiveConfig.model_validate(settings)) == words


def test_words_name_only_what_takes_part() -> None:
    words = objective_in_words(ObjectiveConfig(coarse=0.5, adaptive=0, fine=0))
    assert "with rewards 0.5 · coarse. A reward" in words
    assert "No use is made of where an error was (spans=add)" in words


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_objective_has_words(kind: Kind) -> None:
    assert f"(kind={kind})" in objective_in_words(ObjectiveConfig.model_validate({"kind": kind}))


def test_grpo_without_normalising_says_no_deviations() -> None:
    assert "deviations" not in objective_in_words(ObjectiveConfig.model_validate({"kind": "grpo", "normalise": False}))
