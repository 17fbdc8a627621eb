"""What metrics cost a run's driver, and how many series they are at 1,024 actors.

    python -m benchmarks.metrics [--rows 2] [--posts 1] [--scrapes 0.2]

Series are counted where each actor meets difficulties and kinds of errors of its own beside Python's; cost is measured with 20
difficulties and 100 such kinds of errors, and every metric that there is. Rates are per second. Seconds are the process's CPU
seconds, of rows with JSON and disk, of posts with adding up the totals, and of scrapes over HTTP with the reader's own work.
"""

from __future__ import annotations

import argparse
import builtins
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

from contracts import metrics as m
from contracts.counts import Counts, add
from contracts.histograms import counted
from contracts.metrics import ALL, Metric, Value, labelled
from contracts.records import Category, Detail, Outcome
from contracts.sections import MonitorConfig
from rltf.monitor import Monitor
from rltf.totals import Totals

ACTORS = 1024
MOST_SERIES = 2000
MOST_SHARE = 0.01
REPEATS = 200
DIFFICULTIES = tuple(f"level {i}" for i in range(20))
PYTHONS = tuple(sorted(name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)))
ERRORS = (*PYTHONS, *(f"Error{i}" for i in range(100)))

EVALUATIONS = ("start", "control", "final")
STAGES = ("problems", "verified corpus", "actors", "warm start", "control", "online", *(f"evaluate {e}" for e in EVALUATIONS))
VALUES: dict[str, tuple[str, ...]] = {
    "split": ("train", "heldout"),
    "outcome": tuple(Outcome),
    "category": tuple(Category),
    "limit": tuple(Detail),
    "result": ("right", "wrong", "made", "skipped"),
    "phase": ("sampling", "executing", "learning"),
    "tier": ("baseline", "namespaces", "sealed", "weak"),
    "reason": ("overflow", "lag", "rewound", "left_over", "truncated", "sandbox_error", "unusable"),
    "term": ("sl", "coarse", "adaptive", "fine", "static", "kl", "total"),
    "setting": ("greedy", "T=0.2", "T=0.6", "T=0.8", "T=1.0"),
    "k": ("1", "5", "10", "50", "100", "1000"),
}
"""All values of labels, but for those that an actor makes up or that depend on the metric."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print. Exits with 1 where it is more than wanted."""
    parser = argparse.ArgumentParser(description="What metrics cost, and how many series they are.")
    for name, default in {"rows": 2.0, "posts": 1.0, "scrapes": 0.2}.items():
        parser.add_argument(f"--{name}", type=float, default=default, help="per second")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, Monitor("run", Path(folder) / "run", MonitorConfig()) as monitor:
        series = served(monitor, ACTORS)
        share = cost(monitor, options)
    print(f"{series:,} series at {ACTORS:,} actors, at most {MOST_SERIES:,} are wanted")
    print(f"{share:.2%} of one core, at most {MOST_SHARE:.0%} is wanted")
    if series > MOST_SERIES or share > MOST_SHARE:
        raise SystemExit(1)


def served(monitor: Monitor, actors: int) -> int:
    """Series that the endpoint shows of so many actors, each of which has problems and kinds of errors that no other has."""
    totals = Totals()
    for actor in range(actors):
        add(totals.online, _counts((f"level {actor}", f"chapter {actor}"), (*PYTHONS, *Detail, f"Error{actor}")))
    monitor.post({**totals.values(), **_gauges(tuple(f"level {actor}" for actor in range(actors)))})
    lines = _scrape(monitor).splitlines()
    return sum(not line.startswith("#") for line in lines)


def cost(monitor: Monitor, rates: argparse.Namespace) -> float:
    """Share of one core; prints what it consists of."""
    totals, gauges = Totals(online=_counts(DIFFICULTIES, ERRORS)), _gauges(DIFFICULTIES)
    parts: dict[str, tuple[float, Callable[[], object]]] = {
        "row": (rates.rows, lambda: monitor.record("online", {**totals.values(), **gauges})),
        "post": (rates.posts, lambda: monitor.post(totals.values())),
        "scrape": (rates.scrapes, lambda: _scrape(monitor)),
    }
    share = 0.0
    for name, (rate, do) in parts.items():
        started = time.process_time()
        for _ in range(REPEATS):
            do()
        seconds = (time.process_time() - started) / REPEATS
        share += rate * seconds
        print(f"{name}: {1000 * seconds:.2f} ms, {rate:g} a second: {rate * seconds:.2%} of one core")
    return share


def _counts(difficulties: tuple[str, ...], errors: tuple[str, ...]) -> Counts:
    """One of everything that is counted."""
    own = {"difficulty": difficulties, "error": errors}
    return {metric.name: _value(metric, own) for metric in ALL if metric.kind != "gauge"}  # type: ignore[misc]


def _gauges(difficulties: tuple[str, ...]) -> dict[str, Value]:
    return {
        metric.name: _value(metric, {"stage": STAGES if metric == m.STAGE else EVALUATIONS, "difficulty": difficulties})
        for metric in ALL
        if metric.kind == "gauge"
    }


def _value(metric: Metric, own: dict[str, tuple[str, ...]]) -> Value:
    if metric.kind == "histogram":
        return counted(metric, (*metric.buckets, 1e6))
    if not metric.labels:
        return 1.0
    known = VALUES | own
    return {labelled(*values): 1.0 for values in product(*(known[label] for label in metric.labels))}


def _scrape(monitor: Monitor) -> str:
    request = urllib.request.Request(f"http://{monitor.address}/metrics", headers={"Accept": "application/openmetrics-text"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


if __name__ == "__main__":
    main()
