"""Baselines and advantages: what the learner makes of a labelled group before any tensor exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.records import LabelledGroup, Labels


@dataclass(frozen=True)
class Row:
    """One program to train on. Per-token lists have one length."""

    prompt_ids: list[int]
    token_ids: list[int]
    coarse: float = 0.0
    """R_coarse(W) − R_coarse(W_b)"""
    adaptive: float = 0.0
    """R_adaptive(W) − R_adaptive(W_b); 0 where W raised an error."""
    fine: float = 0.0
    """R_fine(W)"""
    penalised: list[bool] | None = None


def training_rows(entry: LabelledGroup, baseline: str) -> list[Row]:
    """The sampled programs of a group with their advantages over W_b.

    `greedy`: W_b is the group's greedy program (the paper). `group`: W_b is the mean over the sampled programs. An errored
    program enters the adaptive baseline with its coarse reward. Raises ValueError for a group without the greedy program.
    """
    pairs = list(zip(entry.group.programs, entry.labels, strict=True))
    sampled = [labels for program, labels in pairs if not program.greedy]
    if baseline == "greedy":
        references = [labels for program, labels in pairs if program.greedy]
        if not references:
            raise ValueError(f"group {entry.group.id} has no greedy program for its baseline")
    else:
        references = sampled
    coarse = sum(labels.coarse for labels in references) / len(references)
    adaptive = sum(_adaptive_or_coarse(labels) for labels in references) / len(references)
    return [
        Row(
            prompt_ids=entry.group.prompt_ids,
            token_ids=program.token_ids,
            coarse=labels.coarse - coarse,
            adaptive=0.0 if labels.adaptive is None else labels.adaptive - adaptive,
            fine=labels.fine,
            penalised=labels.penalised,
        )
        for program, labels in pairs
        if not program.greedy
    ]


def split_evenly(rows: Sequence[Row], parts: int) -> list[list[Row]]:
    """Exactly `parts` micro-batches, rows of like length together (less padding); some are empty if rows are few."""
    ordered = sorted(rows, key=lambda row: len(row.prompt_ids) + len(row.token_ids))
    return [ordered[len(rows) * i // parts : len(rows) * (i + 1) // parts] for i in range(parts)]


def _adaptive_or_coarse(labels: Labels) -> float:
    return labels.coarse if labels.adaptive is None else labels.adaptive
