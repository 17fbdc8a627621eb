"""A run's scalars for TensorBoard, which is an optional package: RUN/tensorboard/STAGE, tags `metric` or `metric/label`.

A folder for each stage, since steps begin anew in each, and since what a resumed run will record again can only be taken back
from a folder's events as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contracts.errors import UserError
from contracts.metrics import ALL, STEP
from rltf.board import Values

FOLDER = "tensorboard"
FLUSH_SECONDS = 10
_HISTOGRAMS = {metric.name for metric in ALL if metric.kind == "histogram"}


def require_tensorboard() -> None:
    """Raises UserError where the package is missing; loads nothing."""
    if find_spec("tensorboard") is None:
        raise UserError(
            "monitor.tensorboard=true, and TensorBoard is not installed", "pip install 'rltf[tensorboard]', or leave it out"
        )


class TensorBoard:
    """Writes rows as scalars. In a resumed run, those of the stages in `kept` after the step named there are taken back."""

    def __init__(self, run: Path, kept: Mapping[str, int]) -> None:
        self._folder = run / FOLDER
        self._kept = kept
        self._writers: dict[str, Any] = {}

    def record(self, stage: str, values: Values) -> None:
        """One row's numbers, at its step; 0 where it has none."""
        step, writer = values.get(STEP.name, 0), self._writer(stage)
        for name, value in values.items():
            if name == STEP.name or name in _HISTOGRAMS:
                continue
            for label, number in value.items() if isinstance(value, Mapping) else [("", value)]:
                writer.add_scalar(f"{name}/{label.replace('|', '/')}" if label else name, number, step)

    def close(self) -> None:
        """Write what is left."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, stage: str) -> Any:
        if stage not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            again = self._kept[stage] + 1 if stage in self._kept else None
            folder = str(self._folder / stage)
            self._writers[stage] = SummaryWriter(folder, purge_step=again, flush_secs=FLUSH_SECONDS)
        return self._writers[stage]
