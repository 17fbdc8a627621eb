"""pass@k and its standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence


def pass_at_k(n: int, c: int, k: int) -> float:
    """1 − C(n−c, k)/C(n, k): the chance that k of n programs, c of which pass, hold one that passes.

    The unbiased estimator of Chen et al. 2021 (arXiv 2107.03374), section 2.1.
    """
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean over problems and its standard error."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, 0.0
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))
