"""Counters and histograms that add up, in the form that rows of metrics.jsonl have them.

A part of a run counts what it does in a `Counts` of its own; whoever hears of it adds that to the running totals. A new figure
is one line where it is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from contracts.histograms import counted
from contracts.metrics import Metric, Value, labelled, values_of

Counts = dict[str, int | float | dict[str, int | float]]
"""Metric name → number, or a number for each value of its labels or each of its buckets."""


def count(counts: Counts, metric: Metric, *labels: str, by: float = 1) -> None:
    """Count on, in place; `labels`: a value for each of the metric's."""
    add(counts, {metric.name: {labelled(*labels): by} if labels else by})


def observe(counts: Counts, histogram: Metric, values: Iterable[float]) -> None:
    """Put values into their buckets, in place."""
    add(counts, {histogram.name: counted(histogram, values)})


def add(counts: Counts, more: Mapping[str, Value]) -> None:
    """Add number by number, in place."""
    for name, value in more.items():
        if isinstance(value, Mapping):
            parts = counts.setdefault(name, {})
            assert isinstance(parts, dict)
            for key, number in value.items():
                parts[key] = parts.get(key, 0) + number
        else:
            before = counts.get(name, 0)
            assert not isinstance(before, dict)
            counts[name] = before + value


def number_of(counts: Mapping[str, Value], metric: Metric) -> float:
    """A metric without labels; 0 where nothing was counted."""
    value = counts.get(metric.name, 0)
    assert not isinstance(value, Mapping)
    return value


def numbers_of(counts: Mapping[str, Value], metric: Metric) -> Mapping[str, float]:
    """A metric with labels; empty where nothing was counted."""
    value = counts.get(metric.name, {})
    assert isinstance(value, Mapping)
    return value


def summed(counts: Mapping[str, Value], metric: Metric, by: str, **where: str) -> dict[str, float]:
    """A metric's numbers by the values of one of its labels, of those that have these values of others."""
    found: dict[str, float] = {}
    for key, value in numbers_of(counts, metric).items():
        labels = values_of(metric, key)
        if where.items() <= labels.items():
            found[labels[by]] = found.get(labels[by], 0) + value
    return found
