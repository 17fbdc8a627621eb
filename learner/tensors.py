"""Rows to tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from learner.advantages import Row
from learner.objectives.feedback import Feedback
from models.scoring import TokenBatch


def feedback_of(rows: Sequence[Row], batch: TokenBatch, critic: Tensor | None = None) -> Feedback:
    """The feedback of B rows as tensors beside their tokens."""
    like = batch.program_ids
    names = rows[0].advantages

    def column(value: Callable[[Row], float]) -> Tensor:
        return torch.tensor([value(row) for row in rows], device=like.device)

    def tokens(values: Callable[[Row], Sequence[float] | None], kind: torch.dtype) -> Tensor:
        filled = torch.zeros(like.shape, dtype=kind)
        for i, row in enumerate(rows):
            found = values(row)
            if found is not None:
                filled[i, : len(found)] = torch.tensor(found, dtype=kind)
        return filled.to(like.device)

    return Feedback(
        mask=batch.program_mask,
        advantages={name: column(lambda row, name=name: row.advantages[name]) for name in names},  # type: ignore[misc]
        fine=column(lambda row: row.fine),
        penalised=tokens(lambda row: row.penalised, torch.bool),
        static=column(lambda row: row.static),
        findings=tokens(lambda row: row.findings, torch.bool),
        behaviour=tokens(lambda row: row.behaviour, torch.float32),
        proximal=None if rows[0].proximal is None else tokens(lambda row: row.proximal, torch.float32),
        critic=critic,
    )
