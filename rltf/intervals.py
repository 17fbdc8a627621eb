"""95 % intervals over seeds, differences paired by seed, and Holm's correction for many of them.

A few seeds can agree by accident. So the variance of a seed's figure is never taken as less than its evaluation's own squared
standard error says: an interval may be wider than Student's, never narrower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def interval(values: Sequence[float], errors: Sequence[float]) -> Interval:
    """The mean of one figure per seed, with its 95 % interval.

    `errors` are the evaluations' standard errors. With n > 1 seeds: t(n−1) · sqrt(v / n), where v is the larger of the sample
    variance and the mean squared error. With one seed the evaluation's error is all that is known: z · error.
    """
    count = len(values)
    assert count == len(errors) > 0
    mean = float(np.mean(values))
    variance = float(np.mean(np.square(errors)))
    if count > 1:
        variance = max(variance, float(np.var(values, ddof=1)))
    scale = math.sqrt(variance / count)
    if count > 1:
        quantile, tail = float(special.stdtrit(count - 1, (1 + LEVEL) / 2)), special.stdtr(count - 1, -_ratio(mean, scale))
    else:
        quantile, tail = float(special.ndtri((1 + LEVEL) / 2)), special.ndtr(-_ratio(mean, scale))
    return Interval(mean, quantile * scale, count, 2 * float(tail))


def difference(first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]]) -> Interval:
    """How much more the first arm reached, paired: entries of the same place are (figure, standard error) of the same seed.

    The two evaluations' errors count as independent, which errs on the careful side: they are of the same problems.
    """
    pairs = list(zip(first, second, strict=True))
    return interval([a - b for (a, _), (b, _) in pairs], [math.hypot(e, f) for (_, e), (_, f) in pairs])


def holm(ps: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in their order (Holm 1979): compared with 0.05, one or more false among all of them
    has a probability of at most 0.05."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return adjusted


def _ratio(mean: float, scale: float) -> float:
    if scale > 0:
        return abs(mean) / scale
    return math.inf if mean else 0.0
