"""What a run measures: one JSON row per record in metrics.jsonl, and the same numbers for Prometheus and TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from contracts.files import write_in_one_move
from contracts.metrics import STEP
from contracts.sections import MonitorConfig
from rltf.board import Board, Values, check
from rltf.endpoint import Endpoint
from rltf.host import LOOPBACK
from rltf.noticing import Notices
from rltf.tensorboard import TensorBoard

FILE = "metrics.jsonl"


class Monitor:
    """Writes a run's metrics; also a context manager.

    In a resumed run, what will be recorded again is dropped first: rows of the stages in `kept` after the step named there.
    Raises UserError, before anything is written, where the Prometheus endpoint cannot listen.
    """

    def __init__(
        self,
        run: str,
        folder: Path,
        config: MonitorConfig,
        *,
        host: str = LOOPBACK,
        kept: Mapping[str, int] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        """`run` is the label of all series; `host` the driver's address; `note` is told of the wait for a last scrape, without it
        there is none."""
        self._board = Board(run)
        self._endpoint = Endpoint(self._board, config, host) if config.prometheus_port != 0 else None
        self._note = note
        folder.mkdir(parents=True, exist_ok=True)
        _mend(folder / FILE, kept or {})
        self._file = (folder / FILE).open("ab")
        self._tensorboard = TensorBoard(folder, kept or {}) if config.tensorboard else None
        self._notices = Notices(read_metrics(folder))
        if self._endpoint:
            self._endpoint.announce(config.targets_beside(folder) / f"{run}.json")

    @property
    def address(self) -> str | None:
        """HOST:PORT of the endpoint; None where there is none."""
        return self._endpoint.address if self._endpoint else None

    def post(self, values: Values) -> None:
        """Update the endpoint alone. Raises KeyError for an unknown metric, TypeError for a value not of its form."""
        check(values)
        self._board.post(values)

    def record(self, stage: str, values: Values) -> None:
        """Append one row and update the endpoint. Raises as `post` does, and then leaves no row."""
        self.post(values)
        self._file.write(msgspec.json.encode({"time": time.time(), "stage": stage, **values}) + b"\n")
        self._file.flush()
        self._notices.see(stage, values)
        if self._tensorboard:
            self._tensorboard.record(stage, values)

    def close(self, *, failed: bool = False) -> None:
        """Close the files and end the endpoint, at once. A failed run's target stays, and is seen to be down."""
        self._file.close()
        if self._tensorboard:
            self._tensorboard.close()
        if self._endpoint:
            self._endpoint.close(failed=failed)
            self._endpoint = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        """Close; whoever scrapes may first read the last values, but for an interrupted run."""
        try:
            if self._endpoint and self._note and kind is not KeyboardInterrupt:
                self._endpoint.wait_for_last_scrape(self._note)
        finally:
            self.close(failed=kind not in (None, KeyboardInterrupt))


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
