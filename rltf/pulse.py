"""What a run's metrics endpoint is told beside the rows of metrics.jsonl: a run that waits shows that it lives."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path

from contracts import metrics as m
from contracts.config import Recipe
from contracts.counts import Counts
from contracts.histograms import SUM
from contracts.metrics import ALL, Value, labelled
from contracts.records import Category, Detail, Outcome
from problems.sets import ProblemSet
from rltf.lag import lag_bound

SECONDS = 1.0
_LABELS: dict[str, tuple[str, ...]] = {
    "split": ("train", "heldout"),
    "outcome": (Outcome.PASS, Outcome.FAILURE, Outcome.RUNTIME_ERROR, Outcome.SYNTAX_ERROR),
    "category": tuple(Category),
    "limit": (Detail.TIMEOUT, Detail.MEMORY, Detail.OUTPUT_LIMIT, Detail.DISALLOWED),
    "phase": ("sampling", "executing", "learning"),
    "reason": ("overflow", "lag", "rewound", "left_over", "truncated", "sandbox_error", "unusable"),
}
"""The values of counters' labels that are known before anything is counted."""
_RESULTS = {m.CANARIES: ("right", "wrong"), m.UPDATES: ("made", "skipped")}
"""Those of the label `result`, which is each metric's own."""


class Pulse:
    """Posts a run's values, and how much room its disk has, at most once in `SECONDS`."""

    def __init__(
        self,
        post: Callable[[Mapping[str, Value]], object],
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], float] = time.time,
    ) -> None:
        """`folder` is on the run's disk."""
        self._post = post
        self._folder = folder
        self._clock = clock
        self._time_of_day = time_of_day
        self._stages: list[str] = []
        self._due = clock()

    @property
    def left(self) -> float:
        """Seconds until the next beat."""
        return max(0.0, self._due - self._clock())

    def stage(self, name: str) -> None:
        """A stage begins; those before it are over."""
        self._stages.append(name)
        stages = {stage: float(stage == name) for stage in self._stages}
        self._post({m.STAGE.name: stages, m.LAST_PROGRESS.name: self._time_of_day()})

    def progress(self, values: Callable[[], Mapping[str, Value]]) -> None:
        """The run has got on, which is posted at once; these values, if it is time to."""
        self._post({m.LAST_PROGRESS.name: self._time_of_day()})
        self.beat(values)

    def beat(self, values: Callable[[], Mapping[str, Value]]) -> None:
        """Post, if it is time to: the values are made only then."""
        if not self.left:
            self.show(values)

    def show(self, values: Callable[[], Mapping[str, Value]]) -> None:
        """Post at once, such as what a stage ends with."""
        self._due = self._clock() + SECONDS
        self._post({**values(), m.DISK_FREE.name: shutil.disk_usage(self._folder).free})


def what_it_has(recipe: Recipe, tiers: Iterable[str]) -> dict[str, Value]:
    """What stays as it is while a run goes on; `tiers`: how each executor isolates programs."""
    bound = lag_bound(recipe).bound
    assert bound is not None
    return {
        m.STEPS_WANTED.name: recipe.steps * recipe.online,
        m.WORKERS.name: {"sampling": recipe.actors.count, "executing": recipe.executors.count, "learning": 1},
        m.TIERS.name: Counter(tiers),
        m.BUFFER_CAPACITY.name: recipe.buffer.capacity,
        m.LAG_BOUND.name: bound,
    }


def zeros(problems: ProblemSet) -> Counts:
    """All counters whose labels are known, at 0: Prometheus cannot see what a series begins with as growth."""
    difficulties = {problem.difficulty for problem in (*problems.train, *problems.heldout)}
    counts: Counts = {}
    for metric in ALL:
        known = _LABELS | {"difficulty": tuple(sorted(difficulties)), "result": _RESULTS.get(metric, ())}
        if metric.kind == "histogram":
            counts[metric.name] = {SUM: 0}
        elif metric.kind == "counter" and not metric.labels:
            counts[metric.name] = 0
        elif metric.kind == "counter" and known.keys() >= set(metric.labels):
            keys = product(*(known[label] for label in metric.labels))
            counts[metric.name] = {labelled(*key): 0 for key in keys}
    return counts
