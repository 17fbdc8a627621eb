"""What a person sees while a run goes on: a live panel on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Shows stages and their figures; a context manager.

    A figure is a keyword of `update`: its name as shown (underscores become spaces) and its newest value.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._stage: _Stage | None = None
        self._last_line = clock()
        self._live = Live(get_renderable=self._panel, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self._end_stage("stopped" if kind else "done")
        self._live.stop()

    def stage(self, name: str, total: int | None = None, unit: str = "step") -> None:
        """Start a stage of `total` steps, or other units (None: it counts none); the one before it is done."""
        self._end_stage("done")
        self._stage = _Stage(name, total, unit, self._clock())
        self._last_line = self._stage.started
        if self._live.is_started:
            self._live.refresh()
        else:
            self.note(f"{name}: started" + (f", {total} {unit}s" if total else ""))

    def update(self, step: int, **figures: str | float) -> None:
        """The stage has come to `step`, counted from 1; figures not named keep their value."""
        assert self._stage, "update() before stage()"
        now = self._clock()
        self._stage.reach(step, now, figures)
        if self._live.is_started:
            self._live.refresh()
        elif now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.note(f"{self._stage.name}: {self._stage.line(now)}")

    def note(self, text: str) -> None:
        """One line, as it is."""
        self._console.print(Text(text), soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> None:
        """A table with its numbers to the right; the first column, or so many of them, names the rows."""
        table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
        for number, column in enumerate(columns):
            table.add_column(Text(column), justify="left" if number < names else "right")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._console.print(table)

    def _end_stage(self, how: str) -> None:
        if self._stage:
            now = self._clock()
            self.note(f"{self._stage.name}: {how} after {duration(now - self._stage.started)}{self._stage.tail()}")
        self._stage = None

    def _panel(self) -> Panel | Text:
        stage = self._stage
        if not stage:
            return Text("")
        now = self._clock()
        grid = Table.grid(padding=(0, 2))
        for name, value in stage.figures.items():
            grid.add_row(Text(name, style="dim"), Text(value))
        grid.add_row(Text("time", style="dim"), Text(stage.times(now)))
        bar = ProgressBar(total=stage.total, completed=stage.step, pulse=stage.total is None, animation_time=now)
        return Panel(
            Group(Text(stage.count()), bar, grid), title=Text(stage.name), title_align="left", width=min(88, self._console.width)
        )


class _Stage:
    """One stage: where it is and how fast it goes."""

    def __init__(self, name: str, total: int | None, unit: str, started: float) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.started = started
        self.step = 0
        self.figures: dict[str, str] = {}
        self._first: tuple[int, float] | None = None
        self._reached = started

    def reach(self, step: int, now: float, figures: Mapping[str, str | float]) -> None:
        # The rate counts from the first update: a resumed stage does not begin at 0, and the first step warms up.
        self._first = self._first or (step, now)
        self.step = step
        self._reached = now
        shown = {name: value if isinstance(value, str) else f"{value:.3g}" for name, value in figures.items()}
        # A new dict each time: the live panel's thread may be reading the old one.
        self.figures = self.figures | {name.replace("_", " "): value for name, value in shown.items()}

    def count(self) -> str:
        return f"{self.unit} {self.step}/{self.total}" if self.total else f"{self.unit} {self.step}"

    def times(self, now: float) -> str:
        """Time elapsed, and time left at the rate of the steps so far."""
        elapsed = f"{duration(now - self.started)} elapsed"
        if not self.total or not self._first or self.step <= self._first[0]:
            return elapsed
        pace = (self._reached - self._first[1]) / (self.step - self._first[0])
        left = pace * (self.total - self.step) - (now - self._reached)
        return f"{elapsed}, about {duration(max(0.0, left))} left"

    def tail(self) -> str:
        """What is worth saying when it ends."""
        figures = [f"{name} {value}" for name, value in self.figures.items()]
        return "".join(f" | {part}" for part in ([self.count()] if self.step else []) + figures)

    def line(self, now: float) -> str:
        return " | ".join([self.count(), *(f"{name} {value}" for name, value in self.figures.items()), self.times(now)])


def duration(seconds: float) -> str:
    """Seconds as people say them: "8 s", "3 min 20 s", "1 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def shares(counts: Mapping[str, float]) -> str:
    """Counts as shares of their sum, the largest first: "pass 60% · failure 40%"."""
    whole = sum(counts.values()) or 1
    order = sorted(counts, key=lambda name: -counts[name])
    return " · ".join(f"{name} {counts[name] / whole:.0%}" for name in order)
