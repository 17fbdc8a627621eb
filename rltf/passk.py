"""pass@k, its standard error and its 95 % interval over problems."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rltf.intervals import LEVEL

RESAMPLES = 2_000
"""Of the bootstrap: an interval's ends are then steady to about a fiftieth of its width."""


def pass_at_k(n: int, c: int, k: int) -> float:
    """1 − C(n−c, k)/C(n, k): the chance that k of n programs, c of which pass, hold one that passes.

    The unbiased estimator of Chen et al. 2021 (arXiv 2107.03374), section 2.1.
    """
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean over problems and its standard error; that is 0 where all are alike, one problem included."""
    if min(values) == max(values):
        return values[0], 0.0
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def interval_over_problems(values: Sequence[float], least: float = 0.0) -> tuple[float, float]:
    """The 95 % interval of a mean over problems, as if they were drawn from many more like them; values are `least` … 1.

    The percentile bootstrap over problems (Efron 1979), seeded, so that the same values have the same interval. Where all n
    problems agree that would have no width. Then other problems may score anything, but no more of them than Clopper and Pearson
    (1934) leave possible where 0 of n were seen: a share of 1 − 0.025^(1/n).
    """
    if min(values) == max(values):
        value, unseen = values[0], 1 - ((1 - LEVEL) / 2) ** (1 / len(values))
        return value - unseen * (value - least), value + unseen * (1 - value)
    return _bootstrap(values)


def _bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """Equal values are drawn together, as a multinomial count: problems may be many, but what they score has few values."""
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(values), counts / len(values), size=RESAMPLES)
    low, high = np.quantile(drawn @ distinct / len(values), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
