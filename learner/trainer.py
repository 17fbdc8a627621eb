"""One optimizer step: labelled groups and corpus programs in, new weights and metrics out. Knows no Ray, Redis or DeepSpeed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from contracts import metrics as m
from contracts.config import Recipe
from contracts.records import LabelledGroup
from learner.advantages import Row, split_evenly, training_rows
from learner.engine import Engine
from learner.objective import Feedback, Metrics, rltf_loss, sl_loss
from learner.step_metrics import StepMetrics, global_metrics, local_sums
from models.scoring import TokenBatch, collate, token_logprobs

LossOf = Callable[[list[Row], TokenBatch, Tensor], tuple[Tensor, Metrics]]


class Trainer:
    """Turns a rank's share of a global batch into one optimizer step."""

    def __init__(self, engine: Engine, recipe: Recipe, pad: int) -> None:
        self.engine = engine
        self._recipe = recipe
        self._pad = pad

    def step(self, entries: Sequence[LabelledGroup], supervised: Sequence[Row], step: int) -> StepMetrics:
        """Train on this rank's groups and corpus programs; returns the global step's metrics, the same on every rank.

        `step`: optimizer steps made before this one, from which the groups' lag is reckoned.
        """
        rows = [row for entry in entries for row in training_rows(entry, self._recipe.objective.baseline)]
        tokens, sl_tokens, groups, programs = self.engine.sum_over_ranks(
            [_tokens(rows), _tokens(supervised), len(entries), len(supervised)]
        )
        rate = self.engine.learning_rate()
        ranks, n = self.engine.ranks, self._recipe.sampling.samples_per_problem
        sl_weight = self._recipe.objective.sl if groups else 1.0  # a weight beside other terms; alone it has no meaning

        def rltf(part: list[Row], batch: TokenBatch, logprobs: Tensor) -> tuple[Tensor, Metrics]:
            return rltf_loss(logprobs, batch.program_mask, _feedback(part, batch.program_ids), self._recipe.objective, tokens)

        def sl(_part: list[Row], _batch: TokenBatch, logprobs: Tensor) -> tuple[Tensor, Metrics]:
            return sl_loss(logprobs, sl_weight, sl_tokens)

        parts: list[tuple[list[Row], LossOf]] = [
            (part, rltf) for part in self._micro_batches(rows, math.ceil(groups / ranks) * n)
        ]
        parts += [(part, sl) for part in self._micro_batches(supervised, math.ceil(programs / ranks))]
        losses: Counter[str] = Counter()
        for number, (part, loss_of) in enumerate(parts, start=1):
            losses.update(self._backward(part, loss_of, last=number == len(parts)))
        norm = self.engine.step()
        return self._metrics(entries, losses, step) | {m.GRAD_NORM.name: norm, m.LR.name: rate}

    def _backward(self, rows: list[Row], loss_of: LossOf, *, last: bool) -> Metrics:
        """One micro-batch forward and backward. A rank with fewer programs than others takes part with a loss of nothing."""
        padded = rows or [Row([self._pad], [self._pad])]
        prompts, programs = [row.prompt_ids for row in padded], [row.token_ids for row in padded]
        batch = collate(prompts, programs, self._pad, self.engine.model.device)
        logprobs = token_logprobs(self.engine.model, batch)
        loss, parts = loss_of(rows, batch, logprobs) if rows else (logprobs.sum() * 0.0, Metrics())
        self.engine.backward(loss, last=last)
        return parts

    def _micro_batches(self, rows: Sequence[Row], largest_share: int) -> list[list[Row]]:
        """This rank's rows in as many micro-batches as the rank with the largest share needs: the same on every rank."""
        return split_evenly(rows, math.ceil(largest_share / self._recipe.learner.micro_batch))

    def _metrics(self, entries: Sequence[LabelledGroup], losses: Counter[str], step: int) -> StepMetrics:
        engine = self.engine
        sums = local_sums(entries, losses, step, engine.rank, engine.ranks)
        totals = engine.sum_over_ranks(list(sums.values()))
        return global_metrics(dict(zip(sums, totals, strict=True)), engine.ranks)


def _tokens(rows: Sequence[Row]) -> int:
    return sum(len(row.token_ids) for row in rows)


def _feedback(rows: list[Row], like: torch.Tensor) -> Feedback:
    penalised = torch.zeros(like.shape, dtype=torch.bool, device=like.device)
    for i, row in enumerate(rows):
        if row.penalised is not None:
            penalised[i, : len(row.penalised)] = torch.tensor(row.penalised)
    return Feedback(
        coarse=torch.tensor([row.coarse for row in rows], device=like.device),
        adaptive=torch.tensor([row.adaptive for row in rows], device=like.device),
        fine=torch.tensor([row.fine for row in rows], device=like.device),
        penalised=penalised,
    )
