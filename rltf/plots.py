"""The report's plots: metric rows in, inline SVG out, the same bytes for the same numbers.

Text and axes take the page's colour (`currentColor`), so that one drawing serves light and dark pages.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contracts import metrics
from contracts.counts import summed
from contracts.metrics import Metric
from contracts.records import Outcome
from rltf.tally import easiest_first

Rows = Sequence[Mapping[str, Any]]
Array = npt.NDArray[np.float64]

COLOURS = {
    Outcome.PASS: "#1a9e77",
    Outcome.FAILURE: "#e0a100",
    Outcome.RUNTIME_ERROR: "#d9622b",
    Outcome.SYNTAX_ERROR: "#b0559d",
    Outcome.SANDBOX_ERROR: "#8a8a8a",
}
"""From good to bad, apart for colour-blind eyes too (after Okabe and Ito)."""
LINES = ("#2f86c8", "#d9622b", "#1a9e77", "#b0559d", "#e0a100", "#7d6fd6", "#8a8a8a")
_INK = "#010203"
"""Stands for the page's text colour until the drawing is done."""
_POINTS = 160
"""Longer series are drawn as means over as many stretches."""
_STYLE = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def pass_at_1(models: Mapping[str, Mapping[str, tuple[float, float]]]) -> str:
    """Held-out pass@1 of each model by way of decoding: name → way → (rate, standard error)."""
    ways = list(dict.fromkeys(way for scores in models.values() for way in scores))

    def draw(axes: Axes) -> None:
        for number, (name, scores) in enumerate(models.items()):
            places = [ways.index(way) + 0.16 * (number - (len(models) - 1) / 2) for way in scores]
            rates, errors = zip(*scores.values(), strict=True)
            axes.errorbar(places, rates, yerr=errors, fmt="o", capsize=3, color=LINES[number], label=name)
        axes.set(ylabel="held-out pass@1 (share)", xlabel="decoding", ylim=(0, 1), xlim=(-0.5, len(ways) - 0.5))
        axes.set_xticks(range(len(ways)), [way.replace("T=", "T = ") for way in ways])
        axes.grid(axis="x", visible=False)
        _legend(axes)

    return svg("pass", "Held-out pass@1 by model and way of decoding", draw)


def outcome_mix(rows: Rows) -> str | None:
    """Shares of outcomes among newly labelled programs, over optimizer steps."""
    steps = _steps(rows)
    gains = {outcome: _gains(rows, outcome=outcome) for outcome in COLOURS}
    edges = _edges(steps, 60)
    middles = _mean(steps, edges)
    sums = np.array([_sum(gain, edges) for gain in gains.values()])
    some = sums.sum(axis=0) > 0
    if some.sum() < 2:
        return None
    shares = sums[:, some] / sums[:, some].sum(axis=0)

    def draw(axes: Axes) -> None:
        present = shares.sum(axis=1) > 0
        names = [outcome.replace("_", " ") for outcome, there in zip(gains, present, strict=True) if there]
        colours = [colour for colour, there in zip(COLOURS.values(), present, strict=True) if there]
        axes.stackplot(middles[some], shares[present], labels=names, colors=colours, alpha=0.9)
        axes.set(xlabel="optimizer step", ylabel="share of programs", ylim=(0, 1), xlim=(middles[some][0], middles[some][-1]))
        _legend(axes)

    return svg("outcomes", "Outcomes of sampled programs over steps", draw)


def pass_rates(rows: Rows) -> tuple[Array, dict[str, Array]]:
    """By difficulty: the share of newly labelled programs that pass, over stretches of steps, nan where there is none; and the
    stretches' mean steps."""
    steps = _steps(rows)
    edges = _edges(steps, 60)
    rates: dict[str, Array] = {}
    for name in easiest_first({name for row in rows for name in summed(row, metrics.PROGRAMS, "difficulty", split="train")}):
        made = _sum(_gains(rows, difficulty=name), edges)
        passed = _sum(_gains(rows, difficulty=name, outcome=Outcome.PASS), edges)
        rates[name] = np.divide(passed, made, out=np.full_like(made, np.nan), where=made > 0)
    return _mean(steps, edges), rates


def pass_by_difficulty(rows: Rows) -> str | None:
    """Those rates; None where all problems are of one difficulty."""
    steps, rates = pass_rates(rows)
    if len(rates) < 2 or len(steps) < 2:
        return None

    def draw(axes: Axes) -> None:
        for number, (name, values) in enumerate(rates.items()):
            there = np.isfinite(values)
            axes.plot(steps[there], values[there], color=LINES[number % len(LINES)], linewidth=1.4, label=name)
        axes.set(xlabel="optimizer step", ylabel="share that passes", ylim=(0, 1))
        _legend(axes)

    return svg("difficulties", "Programs that pass by difficulty over steps", draw)


def rewards(rows: Rows) -> str | None:
    """Mean coarse and adaptive reward."""
    shown = {
        "coarse reward": _values(rows, metrics.REWARD_COARSE),
        "adaptive reward": _values(rows, metrics.REWARD_ADAPTIVE),
    }
    return _lines("rewards", "Rewards over steps", rows, shown, "mean reward")


def lag(rows: Rows, bound: int | None) -> str | None:
    """Mean and largest policy lag of each step's samples; the bound where it fits on the scale."""
    largest = _values(rows, metrics.LAG_MAX)
    shown = {"largest of the step": largest, "mean of the step": _values(rows, metrics.LAG_MEAN)}
    visible = bound is not None and bound <= 5 * max(1.0, float(np.nanmax(largest, initial=0.0)))

    def finish(axes: Axes) -> None:
        if bound is not None and visible:
            axes.axhline(bound, color=_INK, linestyle="--", linewidth=1, label="bound")
        axes.set_ylim(bottom=0)

    return _lines("lag", "Policy lag over steps", rows, shown, "policy lag (optimizer steps)", finish)


def seconds_per_step(rows: Rows) -> str | None:
    """Wall time between optimizer steps."""
    shown = {"": _values(rows, metrics.STEP_SECONDS)}
    return _lines("seconds", "Seconds per step", rows, shown, "seconds per step", lambda axes: axes.set_ylim(bottom=0))


def programs_per_second(rows: Rows) -> str | None:
    """Programs labelled per second of wall time spent in steps (evaluations and pauses left out)."""
    seconds = _values(rows, metrics.STEP_SECONDS)
    gained = _gains(rows)
    edges = _edges(seconds, 60)
    timed = ~np.isnan(seconds)
    busy = _sum(np.where(timed, seconds, 0.0), edges)
    rate = np.divide(_sum(np.where(timed, gained, 0.0), edges), busy, out=np.full_like(busy, np.nan), where=busy > 0)
    middles = _mean(_steps(rows), edges)
    if np.isfinite(rate).sum() < 2:
        return None

    def draw(axes: Axes) -> None:
        axes.plot(middles, rate, color=LINES[0], linewidth=1.4)
        axes.set(xlabel="optimizer step", ylabel="programs per second")
        axes.set_ylim(bottom=0)

    return svg("programs", "Programs per second", draw)


def losses(rows: Rows) -> str | None:
    """Each term of the loss as it enters the total."""
    terms = list(dict.fromkeys(term for row in rows for term in row.get(metrics.LOSS.name, {})))
    shown = {term: _values(rows, metrics.LOSS, term) for term in terms}
    return _lines("losses", "Loss by term over steps", rows, shown, "loss (nats per token)")


def advantages(rows: Rows) -> str | None:
    """Mean advantage of a step's tokens, and its mean size."""
    shown = {"mean size": _values(rows, metrics.ADVANTAGE_SIZE), "mean": _values(rows, metrics.ADVANTAGE_MEAN)}
    return _lines("advantages", "Advantages over steps", rows, shown, "advantage (reward)")


def entropy(rows: Rows) -> str | None:
    """Entropy of the policy that learns, and the surprise of the policy that sampled at its own tokens."""
    shown = {
        "policy that learns": _values(rows, metrics.POLICY_ENTROPY),
        "policy that sampled": _values(rows, metrics.ENTROPY),
    }
    title = "Entropy over steps"
    return _lines("entropy", title, rows, shown, "entropy (nats per token)", lambda axes: axes.set_ylim(bottom=0))


def ratios(rows: Rows) -> str | None:
    """Mean and largest importance ratio; on a logarithmic scale where the largest would hide the mean."""
    largest = _values(rows, metrics.RATIO_MAX)
    shown = {"mean of the step": _values(rows, metrics.RATIO_MEAN), "largest of the step": largest}

    def finish(axes: Axes) -> None:
        if np.nanmax(largest, initial=0.0) > 20:
            axes.set_yscale("log")

    return _lines("ratios", "Importance ratios over steps", rows, shown, "ratio of probabilities", finish)


def effective(rows: Rows) -> str | None:
    """How much of a step's data counts: effective sample size, and tokens whose ratio was cut."""
    shown = {
        "effective sample size": _values(rows, metrics.EFFECTIVE),
        "tokens clipped": _unless_zero(_values(rows, metrics.CLIPPED)),
    }
    return _lines("effective", "Effective sample size over steps", rows, shown, "share of tokens", _as_shares)


def divergences(rows: Rows) -> str | None:
    """KL divergence between the policy that learns and the one that sampled, and the frozen reference where there is one."""
    shown = {
        "policy that sampled": _values(rows, metrics.KL_BEHAVIOUR),
        "reference": _values(rows, metrics.KL_REFERENCE),
    }
    return _lines("kl", "KL divergence over steps", rows, shown, "KL divergence (nats per token)")


def shares(rows: Rows) -> str | None:
    """Groups that teach nothing by their rewards, and tokens that feedback has a place for."""
    shown = {
        "groups of equal rewards": _unless_zero(_values(rows, metrics.ZERO_VARIANCE)),
        "tokens penalised": _unless_zero(_values(rows, metrics.PENALISED)),
        "tokens in static findings": _unless_zero(_values(rows, metrics.STATIC)),
    }
    return _lines("shares", "Where feedback falls, over steps", rows, shown, "share", _as_shares)


def _as_shares(axes: Axes) -> None:
    axes.set_ylim(0, 1.02)


def _unless_zero(series: Array) -> Array:
    """The series; gaps alone where it is 0 throughout, as what a recipe makes no use of is."""
    return series if np.nan_to_num(series).any() else np.full_like(series, np.nan)


def _lines(
    salt: str,
    title: str,
    rows: Rows,
    shown: Mapping[str, Array],
    unit: str,
    finish: Callable[[Axes], object] = lambda _: None,
) -> str | None:
    """One line per series with at least two numbers; None where there is none."""
    drawn = {name: values for name, values in shown.items() if np.isfinite(values).sum() > 1}
    if not drawn:
        return None
    steps = _steps(rows)
    edges = _edges(steps, _POINTS)

    def draw(axes: Axes) -> None:
        for (name, values), colour in zip(drawn.items(), LINES * (1 + len(drawn) // len(LINES)), strict=False):
            axes.plot(_mean(steps, edges), _mean(values, edges), color=colour, linewidth=1.4, label=name or None)
        axes.set(xlabel="optimizer step", ylabel=unit)
        finish(axes)
        _legend(axes)

    return svg(salt, title, draw)


def _steps(rows: Rows) -> Array:
    return _values(rows, metrics.STEP)


def _values(rows: Rows, metric: Metric, label: str | None = None) -> Array:
    """One number per row, nan where it has none. Shape (rows,)."""
    found = (row.get(metric.name) for row in rows)
    numbers = [value.get(label) if isinstance(value, Mapping) else value for value in found]
    return np.array([np.nan if number is None else number for number in numbers], dtype=np.float64)


def _gains(rows: Rows, **labels: str) -> Array:
    """Training programs with these labels that are new at each row. Shape (rows,)."""
    found = (summed(row, metrics.PROGRAMS, "split", split="train", **labels) for row in rows)
    totals = np.array([programs.get("train", 0.0) for programs in found])
    return np.diff(np.maximum.accumulate(totals), prepend=0.0) if len(totals) else totals


def _edges(series: Array, stretches: int) -> npt.NDArray[np.intp]:
    """First index of each of at most `stretches` equal stretches of a series."""
    count = min(len(series), stretches)
    return np.linspace(0, len(series), count, endpoint=False).astype(np.intp)


def _sum(series: Array, edges: npt.NDArray[np.intp]) -> Array:
    return np.add.reduceat(series, edges) if len(edges) else series


def _mean(series: Array, edges: npt.NDArray[np.intp]) -> Array:
    """Mean of each stretch's numbers; nan where it has none."""
    there = np.isfinite(series)
    counts = _sum(there.astype(np.float64), edges)
    return np.divide(_sum(np.where(there, series, 0.0), edges), counts, out=np.full_like(counts, np.nan), where=counts > 0)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.figure.legend(loc="outside upper left", ncols=5)


def svg(salt: str, title: str, draw: Callable[[Axes], None], height: float = 2.9) -> str:
    """An <svg> element `height` inches high; `salt` keeps the ids of one page's drawings apart."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=(7.0, height))
        draw(figure.subplots())
        sink = io.StringIO()
        figure.savefig(sink, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"), None))
    text = sink.getvalue()
    text = re.sub(r' id="(?:figure|axes|patch|line2d|text|matplotlib|legend|xtick|ytick|[A-Za-z]+Collection)[^"]*"', "", text)
    return text[text.index("<svg") :].replace(_INK, "currentColor").replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
