"""What an evaluation counts for its run's metrics, batch by batch: counts.jsonl beside samples.jsonl.

A batch's line is written before its samples are: what was counted for samples that are kept is never lost, and the line of a
batch that is evaluated again is cut off with its samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from contracts import metrics as m
from contracts.counts import Counts, add, count
from contracts.evaluation import Sample
from contracts.files import write_in_one_move

FILE = "counts.jsonl"


class Counted:
    """Counts of an evaluation's batches, and their sum; a context manager."""

    def __init__(self, folder: Path, batches: int) -> None:
        """Go on after so many batches."""
        lines = _lines(folder)[:batches]
        self.counts = _sum(lines)
        write_in_one_move(folder / FILE, b"".join(lines))
        self._file = (folder / FILE).open("ab", buffering=0)

    def add(self, samples: Iterable[Sample], counts: Counts) -> None:
        """Count a batch, on disk too: its samples, and what samplers and executors counted for it."""
        whole = counts_of(samples)
        add(whole, counts)
        self._file.write(msgspec.json.encode(whole) + b"\n")
        add(self.counts, whole)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def counts_in(folder: Path) -> Counts:
    """The sum of what is in an evaluation's folder; empty where nothing is."""
    return _sum(_lines(folder))


def counts_of(samples: Iterable[Sample]) -> Counts:
    """What a batch's samples come to."""
    counts: Counts = {}
    for sample in samples:
        count(counts, m.PROGRAMS, "heldout", sample.difficulty, sample.outcome)
        count(counts, m.TESTS_RUN, "heldout", by=sample.total)
        count(counts, m.TESTS_PASSED, "heldout", by=sample.passed)
    return counts


def _lines(folder: Path) -> list[bytes]:
    """The whole ones."""
    path = folder / FILE
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")] if path.exists() else []


def _sum(lines: Iterable[bytes]) -> Counts:
    counts: Counts = {}
    for line in lines:
        add(counts, msgspec.json.decode(line, type=Counts))
    return counts
