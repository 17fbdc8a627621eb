"""One optimizer step: labelled groups and corpus programs in, new weights and metrics out. Knows no Ray, Redis or DeepSpeed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch

from contracts import metrics as m
from contracts.config import Recipe
from contracts.records import LabelledGroup
from learner.advantages import Row, split_evenly, training_rows
from learner.engine import Engine
from learner.objective import Feedback, Metrics, rltf_loss, sl_loss
from learner.step_metrics import StepMetrics, global_metrics, local_sums
from models.scoring import TokenBatch, collate, token_logprobs


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
        objective = self._recipe.objective
        rows = [row for entry in entries for row in training_rows(entry, objective.baseline)]
        tokens, sl_tokens, groups, programs = self.engine.sum_over_ranks(
            [_tokens(rows), _tokens(supervised), len(entries), len(supervised)]
        )
        rate = self.engine.learning_rate()
        terms: Counter[str] = Counter()
        ranks, n = self.engine.ranks, self._recipe.sampling.samples_per_problem
        batches = [(part, False) for part in self._micro_batches(rows, math.ceil(groups / ranks) * n)]
        batches += [(part, True) for part in self._micro_batches(supervised, math.ceil(programs / ranks))]
        for i, (micro, is_supervised) in enumerate(batches):
            batch = self._collate(micro)
            logprobs = token_logprobs(self.engine.model, batch)
            if not micro:  # this rank has fewer programs than others: it takes part with a loss of nothing
                loss, parts = logprobs.sum() * 0.0, Metrics()
            elif is_supervised:
                loss, parts = sl_loss(logprobs, objective.sl, sl_tokens)
            else:
                feedback = _feedback(micro, batch.program_ids)
                loss, parts = rltf_loss(logprobs, batch.program_mask, feedback, objective, tokens)
            self.engine.backward(loss, last=i + 1 == len(batches))
            terms.update(parts)
        norm = self.engine.step()
        return self._metrics(entries, terms, step) | {m.GRAD_NORM.name: norm, m.LR.name: rate}

    def _micro_batches(self, rows: Sequence[Row], largest_share: int) -> list[list[Row]]:
        """This rank's rows in as many micro-batches as the rank with the largest share needs: the same on every rank."""
        return split_evenly(rows, math.ceil(largest_share / self._recipe.learner.micro_batch))

    def _collate(self, micro: list[Row]) -> TokenBatch:
        rows = micro or [Row([self._pad], [self._pad])]
        return collate([row.prompt_ids for row in rows], [row.token_ids for row in rows], self._pad, self.engine.model.device)

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
