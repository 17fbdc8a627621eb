"""What a labelled batch comes to, for a run's metrics."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import metrics as m
from contracts.counts import Counts, count
from contracts.records import Labels, Problem, Verdict, error_kind
from executors.labels import LabelledBatch

SPLIT = "train"


def counts_of(batch: LabelledBatch, problems: Mapping[str, Problem]) -> Counts:
    """Counts of the programs to train on, and of those that were dropped; greedy ones are neither."""
    counts: Counts = {}
    for entry in batch.entries:
        difficulty = problems[entry.group.problem_id].difficulty
        for program, verdict, labels in zip(entry.group.programs, entry.verdicts, entry.labels, strict=True):
            if not program.greedy:
                _count(counts, difficulty, verdict, labels)
    for reason, programs in batch.dropped.items():
        count(counts, m.EVICTED, reason, by=programs)
    return counts


def _count(counts: Counts, difficulty: str, verdict: Verdict, labels: Labels) -> None:
    count(counts, m.PROGRAMS, SPLIT, difficulty, verdict.outcome)
    count(counts, m.TESTS_RUN, SPLIT, by=verdict.total)
    count(counts, m.TESTS_PASSED, SPLIT, by=verdict.passed)
    count(counts, m.PENALISED_TOKENS, by=sum(labels.penalised))
    kind = error_kind(verdict.outcome, verdict.detail, verdict.error_type)
    if kind is not None:
        count(counts, m.ERRORS, kind)
    if verdict.category is not None:
        count(counts, m.LOCATED, verdict.category)
