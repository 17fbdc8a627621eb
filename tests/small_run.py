"""A run of a few seconds with every real part, for tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from contracts import metrics as m
from contracts.summary import Summary, read_summary
from rltf.monitor import read_metrics

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    "name=small",
    "steps=4",
    "problems.primer.train=40",
    "problems.primer.heldout=6",
    "model.width=32",
    "model.layers=2",
    "sampling.samples_per_problem=2",
    "sampling.problems_per_batch=4",
    "sampling.max_new_tokens=40",
    "learner.batch_samples=8",
    "learner.sl_samples=4",
    "learner.micro_batch=4",
    "buffer.capacity=16",
    "warmup.steps=5",
    "eval.samples=2",
    "eval.k=[1, 2]",
    "checkpoint.every=2",
    "monitor.examples=4",
)


def command(output: Path, *arguments: str) -> list[str]:
    """The command line of a small run below `output`."""
    return [sys.executable, "-m", "rltf.cli", "train", "recipes/local.yaml", *SMALL, f"output={output}", *arguments]


def run(output: Path, *arguments: str) -> Summary:
    """Run to the end; returns the summary."""
    done = subprocess.run(command(output, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return read_summary(output / "small" / "summary.json")


def online_rows(output: Path) -> list[dict[str, Any]]:
    """The metrics of the online stage, one row per step."""
    return [row for row in read_metrics(output / "small") if row["stage"] == "online"]


def losses(output: Path) -> list[dict[str, float]]:
    """The losses by term of each online step."""
    return [row[m.LOSS.name] for row in online_rows(output)]
