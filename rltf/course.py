"""A run's course, as others see it: stages on the terminal, in its log, its summary and its metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from contracts import logs
from rltf.monitor import Monitor
from rltf.progress import Progress
from rltf.pulse import Pulse
from rltf.record import Record


@dataclass(frozen=True)
class Course:
    """Whom a run tells what it does."""

    progress: Progress
    record: Record
    monitor: Monitor
    pulse: Pulse

    @contextmanager
    def stage(self, name: str, total: int | None = None, unit: str = "step", title: str | None = None) -> Iterator[None]:
        """A stage of `total` steps, or other units (None: it counts none), goes on for as long as the block.

        `title`: what the terminal calls it, where that is not its name.
        """
        self.progress.stage(title or name, total, unit)
        self.pulse.stage(name)
        logs.info("stage begun", stage=name)
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self.record.took(name, seconds)
            logs.info("stage ended", stage=name, seconds=round(seconds, 3))
