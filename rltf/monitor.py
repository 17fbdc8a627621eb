"""What a run measures: one JSON row per record in metrics.jsonl, and the same numbers at a Prometheus endpoint.

Counters are recorded as running totals. The endpoint serves the newest value of every gauge and the largest total of
every counter: after a restart from a checkpoint totals start lower, and Prometheus must never see a counter fall.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from contracts.errors import UserError
from contracts.files import write_in_one_move
from contracts.metrics import ALL, PREFIX, STEP, Metric
from contracts.sections import MonitorConfig

FILE = "metrics.jsonl"
Values = Mapping[str, float | Mapping[str, float]]
"""Metric name → number; a labelled metric has a number per label value. Counters as running totals."""

_METRICS = {metric.name: metric for metric in ALL}


class Monitor:
    """Writes a run's metrics; also a context manager.

    In a resumed run, what will be recorded again is dropped first: rows of the stages in `kept` after the step named there.
    Raises UserError, before anything is written, where the Prometheus endpoint cannot listen.
    """

    def __init__(self, folder: Path, config: MonitorConfig, *, kept: Mapping[str, int] | None = None) -> None:
        self._board = _Board()
        self._stop_serving = _serve(self._board, config) if config.prometheus_port else None
        folder.mkdir(parents=True, exist_ok=True)
        _mend(folder / FILE, kept or {})
        self._file = (folder / FILE).open("ab")

    def record(self, stage: str, values: Values) -> None:
        """Append one row and update the endpoint. Raises KeyError for an unknown metric, TypeError for missing labels."""
        for name, value in values.items():
            if isinstance(value, Mapping) != (_METRICS[name].label is not None):
                raise TypeError(f"{name} takes {_METRICS[name].label or 'no label'}: {value!r}")
        self._file.write(msgspec.json.encode({"time": time.time(), "stage": stage, **values}) + b"\n")
        self._file.flush()
        self._board.post(values)

    def close(self) -> None:
        """Close the file and end the endpoint's thread."""
        self._file.close()
        if self._stop_serving:
            self._stop_serving()
            self._stop_serving = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All rows of a run's metrics.jsonl, none where there is no file; a last line without its end is left out."""
    path = folder / FILE
    return [msgspec.json.decode(line) for line in _complete_lines(path)] if path.exists() else []


def _complete_lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


def _mend(path: Path, kept: Mapping[str, int]) -> None:
    """Drop a torn last line, and what will be recorded again, in one move."""
    if not path.exists():
        return

    def again(row: dict[str, Any]) -> bool:
        return row["stage"] in kept and row.get(STEP.name, 0) > kept[row["stage"]]

    lines = [line for line in _complete_lines(path) if not again(msgspec.json.decode(line))]
    write_in_one_move(path, b"".join(line + b"\n" for line in lines))


class _Board(Collector):
    """The newest values, for scrapes that come from the endpoint's own threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Metric, dict[str, float]] = {}

    def post(self, values: Values) -> None:
        with self._lock:
            for name, value in values.items():
                metric = _METRICS[name]
                shown = self._values.setdefault(metric, {})
                for label, number in (value if isinstance(value, Mapping) else {"": value}).items():
                    shown[label] = max(number, shown.get(label, 0.0)) if metric.kind == "counter" else number

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        with self._lock:
            shown = {metric: dict(values) for metric, values in self._values.items()}
        for metric, values in shown.items():
            make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = make(PREFIX + metric.name, metric.help, labels=[metric.label] if metric.label else [])
            for label, number in values.items():
                family.add_metric([label] if metric.label else [], number)
            yield family


def _serve(board: _Board, config: MonitorConfig) -> Callable[[], None]:
    """Start the endpoint; what is returned ends it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(board)
    host, port = config.prometheus_host, config.prometheus_port
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as err:
        raise UserError(
            f"monitor.prometheus_port={port}: cannot listen on {host}:{port} ({err.strerror})",
            "Set monitor.prometheus_port to a free port, or to 0 for no endpoint",
        ) from err

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
