"""Histograms as metrics.jsonl and Prometheus have them: how many values fell into each bucket, and their sum."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from contracts.metrics import Metric

INFINITE = "+Inf"
SUM = "sum"


def bounds(metric: Metric) -> tuple[str, ...]:
    """The buckets' upper bounds as text, ascending: "0.001", …, "30.0", "+Inf"."""
    return (*(str(float(bound)) for bound in metric.buckets), INFINITE)


def counted(metric: Metric, values: Iterable[float]) -> dict[str, float]:
    """The values as an object of metrics.jsonl. Objects are added key by key; buckets that hold nothing are left out.

    A bucket holds what is above the bound before its own and not above its own.
    """
    numbers, keys = list(values), bounds(metric)
    return {**Counter(keys[bisect_left(metric.buckets, number)] for number in numbers), SUM: float(sum(numbers))}
