"""What a run has counted so far: kept in state.json, so that a resumed run counts on."""

from __future__ import annotations

import msgspec

from contracts import metrics as m
from contracts.counts import Counts, add, number_of, numbers_of, summed
from contracts.metrics import ALL

_GAUGES = {metric.name for metric in ALL if metric.kind == "gauge"}


class Totals(msgspec.Struct, kw_only=True):
    """Running totals of a run: counters and histograms that add up, and what the summary knows besides."""

    online: Counts = {}
    """Of the online stage."""
    supervised: Counts = {}
    """Of the warm start and the control."""
    evaluations: dict[str, Counts] = {}
    """Of each evaluation, by its name: what is evaluated again is not counted again."""
    evicted: dict[str, int] = {}
    """Reason → programs that the buffer dropped, as it counts them itself."""
    lag_max: int = 0
    published: int = 0
    """Publications that were begun."""
    prompt_cut: int = 0
    """Characters."""

    def values(self) -> Counts:
        """All counters and histograms, as a row has them."""
        values: Counts = {}
        for counts in (self.online, self.supervised, *self.evaluations.values()):
            add(values, counts)
        add(values, {m.EVICTED.name: self.evicted})
        return values

    @property
    def outcomes(self) -> dict[str, int]:
        """Outcome → training programs."""
        return _whole(summed(self.online, m.PROGRAMS, "outcome"))

    @property
    def errors(self) -> dict[str, int]:
        """Kind of error → training programs."""
        return _whole(summed(self.online, m.ERRORS, "error"))

    @property
    def samples_evicted(self) -> dict[str, int]:
        """Reason → programs dropped, from the buffer and before it."""
        return {**self.evicted, **self.dropped}

    @property
    def dropped(self) -> dict[str, int]:
        """Reason → programs that executors dropped, before the buffer."""
        return _whole(summed(self.online, m.EVICTED, "reason"))

    @property
    def trained(self) -> int:
        """Programs that an optimizer step used."""
        return int(number_of(self.online, m.TRAINED))

    @property
    def lag_mean(self) -> float:
        """Of these programs; 0 where there are none."""
        return numbers_of(self.online, m.LAG)["sum"] / self.trained if self.trained else 0.0


def take_counts(metrics: Counts) -> Counts:
    """Take a step's own counts out of its metrics: they are to be added up."""
    return {name: metrics.pop(name) for name in list(metrics) if name not in _GAUGES}


def _whole(numbers: dict[str, float]) -> dict[str, int]:
    return {name: int(value) for name, value in numbers.items()}
