"""What in a run's figures is worth a line of its log: things that go wrong without stopping it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from contracts import logs
from contracts import metrics as m
from rltf.board import Values

_COUNTED = {m.SANDBOX_ERRORS: "executors failed on programs", m.REPLACED: "zygotes were replaced"}


class Notices:
    """Looks at each row beside those before it."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """`rows`: what was recorded before a run was resumed."""
        self._totals: dict[str, float] = {}
        self._slow = False
        for row in rows:
            self._totals |= _numbers(row)

    def see(self, stage: str, values: Values) -> None:
        """Log what has happened since the row before."""
        numbers = _numbers(values)
        step = int(numbers.get(m.STEP.name, 0))
        for metric, message in _COUNTED.items():
            if more := self._more(metric, numbers):
                logs.warning(message, step, stage=stage, count=more)
        if share := numbers.get(m.SKIPPED.name):
            logs.warning("updates were skipped: gradients overflowed", step, stage=stage, share=share)
        losses = values.get(m.LOSS.name, {})
        if isinstance(losses, Mapping) and (bad := [term for term, loss in losses.items() if not math.isfinite(loss)]):
            logs.warning("losses are not finite", step, stage=stage, terms=bad)
        self._publications(stage, step, numbers)
        self._totals |= numbers

    def _publications(self, stage: str, step: int, numbers: Mapping[str, float]) -> None:
        """Slow ones hold up the batches that are to be sampled with their weights. Told once while they stay slow."""
        made, seconds = self._more(m.PUBLICATIONS, numbers), self._more(m.SYNC_SECONDS, numbers)
        if not made:
            return
        slow = seconds / made > numbers.get(m.STEP_SECONDS.name, math.inf)
        if slow and not self._slow:
            logs.warning("publications take longer than a step", step, stage=stage, seconds=seconds / made)
        self._slow = slow

    def _more(self, metric: m.Metric, numbers: Mapping[str, float]) -> float:
        """What a total has grown by."""
        before = self._totals.get(metric.name, 0.0)
        return max(0.0, numbers.get(metric.name, before) - before)


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, int | float)}
