"""The newest values of a run's metrics, as Prometheus asks for them: gauges, counters and cumulative histograms.

Few series, whatever programs and problems are like: of kinds of errors, which generated programs name as they please, those that
Python itself has, and of every other label the first values that come.

A run that is resumed begins new series, each with a life of its own: counters go back to the checkpoint's totals, and in the same
series Prometheus would take that for a restart from 0, and all that they count for growth.
"""

from __future__ import annotations

import builtins
import secrets
import threading
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from contracts.histograms import SUM, bounds
from contracts.metrics import ALL, ERRORS, LIFE_LABEL, PREFIX, RUN_LABEL, Metric, Value, labelled
from contracts.records import Detail, Outcome

Values = Mapping[str, Value]
"""Metric name → value, as contracts/metrics.py says; counters and histograms as running totals."""

MOST_VALUES = 20
"""Values of a label that are shown."""
OTHER = "other"
"""What stands for the rest."""
_RAISED = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)}
_ERRORS = frozenset({*_RAISED, *Detail, *Outcome})
_METRICS = {metric.name: metric for metric in ALL}
_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def check(values: Values) -> None:
    """Raises KeyError for a metric that is not declared, TypeError for a value that is not of its declaration's form."""
    for name, value in values.items():
        metric = _METRICS[name]
        if isinstance(value, Mapping):
            fits = all(_fits(metric, key) for key in value) and bool(metric.labels or metric.kind == "histogram")
        else:
            fits = not metric.labels and metric.kind != "histogram"
        if not fits:
            raise TypeError(f"{name}, a {metric.kind} with the labels {metric.labels}: {value!r}")


def _fits(metric: Metric, key: str) -> bool:
    return key == SUM or key in bounds(metric) if metric.kind == "histogram" else key.count("|") == len(metric.labels) - 1


class Board(Collector):
    """The newest values, for scrapes that come from other threads.

    A gauge shows what was posted last, a counter and a histogram the largest total: to Prometheus a counter that falls is one
    that has begun anew.
    """

    def __init__(self, run: str) -> None:
        self.posts = 0
        self._life = (run, secrets.token_hex(4))
        self._lock = threading.Lock()
        self._values: dict[Metric, dict[str, float]] = {}
        self._named: dict[str, set[str]] = {}

    def post(self, values: Values) -> None:
        """Show these from now on; what they do not name stays."""
        with self._lock:
            for name, value in values.items():
                metric = _METRICS[name]
                shown = self._values.setdefault(metric, {})
                for key, number in self._few(metric, value).items():
                    shown[key] = number if metric.kind == "gauge" else max(number, shown.get(key, 0.0))
            self.posts += 1

    def collect(self) -> Iterator[_Family]:
        """All that was posted, as prometheus_client renders it."""
        with self._lock:
            shown = {metric: dict(values) for metric, values in self._values.items()}
        for metric, values in shown.items():
            yield self._family(metric, values)

    def _few(self, metric: Metric, value: Value) -> Mapping[str, float]:
        """Few values of each label: a counter's others are added up, a gauge's are left out, since they have no sum."""
        if not isinstance(value, Mapping):
            return {"": value}
        if metric.kind == "histogram":
            return value
        found: dict[str, float] = {}
        for key, number in value.items():
            name = labelled(*map(self._name, metric.labels, key.split("|")))
            if metric.kind == "counter":
                found[name] = found.get(name, 0.0) + number
            elif name == key:
                found[name] = number
        return found

    def _name(self, label: str, value: str) -> str:
        if label in ERRORS.labels:
            return value if value in _ERRORS else OTHER
        named = self._named.setdefault(label, set())
        if len(named) < MOST_VALUES:
            named.add(value)
        return value if value in named else OTHER

    def _family(self, metric: Metric, values: Mapping[str, float]) -> _Family:
        name, text, labels = PREFIX + metric.name, help_text(metric), (RUN_LABEL, LIFE_LABEL, *metric.labels)
        if metric.kind == "histogram":
            histogram = HistogramMetricFamily(name, text, labels=labels)
            totals = accumulate(values.get(bound, 0.0) for bound in bounds(metric))
            histogram.add_metric(self._life, list(zip(bounds(metric), totals, strict=True)), values.get(SUM, 0.0))
            return histogram
        family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(name, text, labels=labels)
        for key, number in values.items():
            family.add_metric((*self._life, *(key.split("|") if metric.labels else ())), number)
        return family


def help_text(metric: Metric) -> str:
    """What a metric is, and its unit where neither that nor its name says so: a share's is its name's `_ratio`."""
    said = f"{metric.name} {metric.help}".lower()
    known = metric.unit in ("1", "share") or metric.unit.split()[-1] in said
    return metric.help if known else f"{metric.help} ({metric.unit})"
