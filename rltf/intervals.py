"""95 % intervals over seeds, differences between arms as a randomised block design has them, and Holm's correction for many.

Seeds are the blocks: what a seed does to all arms cancels out of a difference. What is left is run-to-run scatter, which is
estimated from all arms together (Cochran and Cox, Experimental Designs, 1957, chapter 4): a few seeds alone say little of it.

A few seeds can also agree by accident, and two arms can be less steady than the others. So no variance is taken as less than
the evaluations' own squared standard errors say, and a pair's as no less than its own seeds' differences have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean over seeds and how far off it may be."""

    mean: float
    half: float
    """Half of the 95 % interval's width."""
    seeds: int
    p: float
    """Two-sided: how probable a mean as far from 0 would be, were the truth 0."""

    @property
    def low(self) -> float:
        """Where the interval begins."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Where it ends."""
        return self.mean + self.half


class Scatter(NamedTuple):
    """How much a run's figure varies beyond what its arm and its seed do to it, taken as alike in all arms."""

    deviation: float
    """Standard deviation of one run's figure; 0 where `df` is 0."""
    df: int
    """Degrees of freedom that it is estimated with; 0: nothing is known of it."""


def interval(values: Sequence[float], errors: Sequence[float]) -> Interval:
    """The mean of one figure per seed, with its 95 % interval.

    `errors` are the evaluations' standard errors. With n > 1 seeds: t(n−1) · sqrt(v / n), where v is the larger of the sample
    variance and the mean squared error. With one seed the evaluation's error is all that is known: z · error.
    """
    assert len(values) == len(errors) > 0
    own = float(np.var(values, ddof=1)) if len(values) > 1 else 0.0
    return _student(values, errors, own, len(values) - 1)


def pooled_scatter(figures: Mapping[tuple[str, int], float]) -> Scatter:
    """What least squares leave of figures by (arm, seed) once each arm and each seed has an effect of its own.

    Runs may be missing: an arm's only run, or a seed's, is fitted exactly and adds no degree of freedom.
    """
    arms, seeds = (dict.fromkeys(names) for names in zip(*figures, strict=True))
    design = np.array([[a == arm for a in arms] + [s == seed for s in seeds] for arm, seed in figures], dtype=float)
    values = np.array(list(figures.values()))
    effects, _, rank, _ = np.linalg.lstsq(design, values)
    df = len(values) - int(rank)
    residuals = values - design @ effects
    return Scatter(math.sqrt(residuals @ residuals / df) if df else 0.0, df)


def difference(changes: Sequence[float], errors: Sequence[float], scatter: Scatter) -> Interval:
    """How much more one arm reached than another: `changes` has a difference per common seed, `errors` its evaluation's error.

    With n seeds: t(df) · sqrt(v / n), where v is the largest of twice the pooled variance, the differences' own sample variance
    and the mean squared error; of the error alone, z · error, where df is 0. Two arms make it the paired t test. With more it is
    never narrower than the analysis of variance's contrast; where the own variance is taken, it has fewer degrees of freedom
    than df, which makes it narrower than a test of these two arms alone.
    """
    assert len(changes) == len(errors) > 0
    own = float(np.var(changes, ddof=1)) if len(changes) > 1 else 0.0
    return _student(changes, errors, max(2 * scatter.deviation**2, own), scatter.df)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in their order (Holm 1979): compared with 0.05, one or more false among all of them
    has a probability of at most 0.05."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return adjusted


def _student(values: Sequence[float], errors: Sequence[float], variance: float, df: int) -> Interval:
    """The interval of a mean whose values have this variance, or what their evaluations' errors make of it where that is more."""
    mean, count = float(np.mean(values)), len(values)
    scale = math.sqrt(max(variance, float(np.mean(np.square(errors)))) / count)
    ratio = _ratio(mean, scale)
    quantile = special.stdtrit(df, (1 + LEVEL) / 2) if df else special.ndtri((1 + LEVEL) / 2)
    tail = special.stdtr(df, -ratio) if df else special.ndtr(-ratio)
    return Interval(mean, float(quantile) * scale, count, 2 * float(tail))


def _ratio(mean: float, scale: float) -> float:
    if scale > 0:
        return abs(mean) / scale
    return math.inf if mean else 0.0
