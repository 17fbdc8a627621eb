"""One optimizer step: labelled groups and corpus programs in, new weights and metrics out. Knows no Ray, Redis or DeepSpeed."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from contracts import metrics as m
from contracts.config import Recipe
from contracts.records import LabelledGroup
from learner.advantages import Row, has_variance, split_evenly, training_rows
from learner.engine import Engine
from learner.frozen import Frozen
from learner.objectives import OBJECTIVES
from learner.objectives.common import Count, divergence, supervised_loss, token_shares
from learner.objectives.feedback import Figures, Losses
from learner.step_metrics import StepMetrics, global_metrics, local_sums, merge, watched
from learner.tensors import feedback_of
from models.packing import packed_logprobs, plan_rows
from models.scoring import Scores, TokenBatch, collate, score, token_logprobs


class MiniBatch(NamedTuple):
    """What an update is made from: this rank's rows, and counts over all ranks."""

    rows: list[Row]
    supervised: list[list[Row]]
    """Micro-batches of corpus programs, as many as every rank runs, some of them empty where its share is smaller."""
    sampled: Count
    imitated: Count
    parts: int
    """Micro-batches of rows that each rank runs, likewise."""
    turns: float
    """Micro-batches of rows that are not empty, over all ranks."""
    supervised_turns: float


class Trainer:
    """Turns a rank's share of a global batch into one optimizer step."""

    def __init__(self, engine: Engine, recipe: Recipe, pad: int, frozen: Frozen | None = None) -> None:
        self.engine = engine
        self._recipe = recipe
        self._config = recipe.objective
        self._pad = pad
        self._frozen = frozen

    def step(self, entries: Sequence[LabelledGroup], supervised: Sequence[Row], step: int) -> StepMetrics:
        """Train on this rank's groups and corpus programs; returns the global step's metrics, the same on every rank.

        Rank r of R holds every R-th of the global batch's groups and programs, from its r-th on.
        `step`: optimizer steps made before this one, from which the groups' lag is reckoned.
        """
        groups, imitated = map(int, self.engine.sum_over_ranks([len(entries), len(supervised)]))
        online = groups > 0
        if online and not self._config.sl:
            supervised, imitated = [], 0
        updates = self._recipe.learner.updates if online else 1
        dealt = zip(self._dealt(entries, groups, updates), self._dealt_corpus(supervised, imitated, updates), strict=True)
        batches = [self._mini_batch(rows, corpus) for rows, corpus in dealt]
        if updates > 1 and self._config.correction == "decoupled":
            batches = [batch._replace(rows=self._with_proximal(batch)) for batch in batches]
        sl_weight = self._config.sl if online else 1.0  # a weight beside other terms; alone it has no meaning
        rate, norms, figures = self.engine.learning_rate(), list[float | None](), Figures()
        for batch in batches:
            if not batch.parts and not batch.supervised:  # all groups were skipped: there is nothing to go by
                continue
            merge(figures, self._accumulate(batch, sl_weight, online), 1 / updates)
            norms.append(self.engine.step())
        return self._metrics(entries, figures, step) | self._update_metrics(norms, updates) | {m.LR.name: rate}

    def _dealt(self, entries: Sequence[LabelledGroup], groups: int, updates: int) -> list[list[Row]]:
        """Rows by update: an even share of each of the step's `groups` goes to each, whatever the number of ranks."""
        dealt: list[list[Row]] = [[] for _ in range(updates)]
        for number, entry in zip(itertools.count(self.engine.rank, self.engine.ranks), entries, strict=False):
            if self._config.skip_zero_variance and not has_variance(entry, self._config):
                continue
            rows = training_rows(entry, self._recipe)
            for i, row in enumerate(rows):
                dealt[(i * groups + number) * updates // (len(rows) * groups)].append(row)
        return dealt

    def _dealt_corpus(self, supervised: Sequence[Row], imitated: int, updates: int) -> list[list[Row]]:
        """Likewise for the step's `imitated` corpus programs."""
        dealt: list[list[Row]] = [[] for _ in range(updates)]
        for number, row in zip(itertools.count(self.engine.rank, self.engine.ranks), supervised, strict=False):
            dealt[number * updates // imitated].append(row)
        return dealt

    def _mini_batch(self, rows: list[Row], supervised: list[Row]) -> MiniBatch:
        engine, size, capacity = self.engine, self._recipe.learner.micro_batch, self._recipe.learner.pack_tokens
        packed = _packed(supervised, capacity) if capacity else []
        shares = torch.zeros(2, engine.ranks)  # what micro-batches are made of: programs, or packed rows, one in each
        shares[:, engine.rank] = torch.tensor([len(rows), len(packed) if capacity else len(supervised)])
        sizes = size, 1 if capacity else size
        local = [_tokens(rows), _tokens(supervised), len(supervised), *shares.flatten().tolist()]
        tokens, sl_tokens, sl_programs, *counts = engine.sum_over_ranks(local)
        by_rank = counts[: engine.ranks], counts[engine.ranks :]
        parts, sl_parts = (math.ceil(max(each) / size) for each, size in zip(by_rank, sizes, strict=True))
        padding: list[list[Row]] = [[]] * (sl_parts - len(packed))
        return MiniBatch(
            rows,
            packed + padding if capacity else split_evenly(supervised, sl_parts),
            sampled=Count(tokens, sum(by_rank[0])),
            imitated=Count(sl_tokens, sl_programs),
            parts=parts,
            turns=sum(min(n, parts) for n in by_rank[0]),
            supervised_turns=sum(min(n, sl_parts) for n in by_rank[1]),
        )

    def _accumulate(self, batch: MiniBatch, sl_weight: float, online: bool) -> Figures:
        """Forward and backward over a mini-batch, micro-batch by micro-batch."""
        parts = [(part, True) for part in split_evenly(batch.rows, batch.parts)]
        parts += [(part, False) for part in batch.supervised]
        alternate = online and self._config.kind == "rltf_reference" and self._config.reference.alternate
        kinds = (batch.turns > 0) + (batch.supervised_turns > 0)
        figures = Figures()
        for number, (part, sampled) in enumerate(parts, start=1):
            count = batch.sampled if sampled else batch.imitated
            if alternate:  # each is a mean over its own tokens, and both kinds weigh the same
                turns = kinds * (batch.turns if sampled else batch.supervised_turns)
                count = Count(_tokens(part) * turns, len(part) * turns)
            if part and sampled:
                tokens = self._collate(part)
                scores = score(self.engine.model, tokens, _temperatures(part, tokens))
                losses = self._policy_losses(part, tokens, scores, count)
            elif part:
                losses = supervised_loss(self._corpus_logprobs(part), sl_weight, count.tokens)
            else:  # a rank with fewer programs than others takes part with a loss of nothing
                losses = Losses({"sl": token_logprobs(self.engine.model, self._collate(part)).sum() * 0.0}, {})
            self.engine.backward(torch.stack(list(losses.terms.values())).sum(), last=number == len(parts))
            merge(figures, {f"loss/{name}": term.item() for name, term in losses.terms.items()} | losses.figures)
        return figures

    def _corpus_logprobs(self, rows: list[Row]) -> Tensor:
        """[B, T] of corpus programs, 0 on padding; [N] of all their tokens where they are packed."""
        if not self._recipe.learner.pack_tokens:
            return token_logprobs(self.engine.model, self._collate(rows))
        pairs = [(row.prompt_ids, row.token_ids) for row in rows]
        return packed_logprobs(self.engine.model, pairs, self.engine.model.device)

    def _policy_losses(self, rows: list[Row], batch: TokenBatch, scores: Scores, count: Count) -> Losses:
        """The objective's loss on sampled programs, the leash to the reference, and what a user watches."""
        config, frozen, logprobs = self._config, self._frozen, scores.logprobs
        critic = frozen.critic_weights(batch, [row.outcome for row in rows]) if frozen else None
        feedback = feedback_of(rows, batch, critic)
        shares = token_shares(feedback.mask.to(logprobs.dtype), config.mean, count)
        losses = OBJECTIVES[config.kind].loss(logprobs, feedback, config, shares)
        reference = frozen.reference_logprobs(batch, _temperatures(rows, batch)) if frozen else None
        if reference is not None:
            apart = divergence(logprobs, reference)
            losses.terms["kl"] = config.kl * (shares * apart).sum()
            losses.figures["kl_reference"] = apart.sum().item()
        as_sampled = config.scores_as_sampled or self._recipe.sampling.temperature == 1.0
        return losses._replace(figures=losses.figures | watched(scores, feedback, as_sampled=as_sampled))

    def _with_proximal(self, batch: MiniBatch) -> list[Row]:
        """The batch's rows with their log-probs under the weights as they are now."""
        found = []
        for part in split_evenly(batch.rows, batch.parts):
            tokens = self._collate(part)
            with torch.no_grad():
                logprobs = token_logprobs(self.engine.model, tokens, _temperatures(part, tokens)).tolist()
            for row, values in zip(part, logprobs, strict=False):  # a part without rows has a dummy's
                found.append(dataclasses.replace(row, proximal=values[: len(row.token_ids)]))
        return found

    def _collate(self, rows: list[Row]) -> TokenBatch:
        padded = rows or [Row([self._pad], [self._pad])]
        prompts, programs = [row.prompt_ids for row in padded], [row.token_ids for row in padded]
        return collate(prompts, programs, self._pad, self.engine.model.device)

    def _update_metrics(self, norms: Sequence[float | None], updates: int) -> StepMetrics:
        """norms: those of the updates that were tried, None for one that was skipped."""
        made = [norm for norm in norms if norm is not None]
        found: StepMetrics = {m.GRAD_NORM.name: sum(made) / updates} if len(made) == len(norms) else {}
        skipped = len(norms) - len(made)
        if self._recipe.deepspeed.precision != "fp32":
            found[m.SKIPPED.name] = skipped / updates
        return found | {m.UPDATES.name: {"made": len(made), "skipped": skipped}}

    def _metrics(self, entries: Sequence[LabelledGroup], figures: Figures, step: int) -> StepMetrics:
        engine = self.engine
        sums = local_sums(entries, figures, step, engine.rank, engine.ranks, self._config)
        totals = engine.sum_over_ranks(list(sums.values()))
        return global_metrics(dict(zip(sums, totals, strict=True)), engine.ranks)


def _packed(rows: Sequence[Row], capacity: int) -> list[list[Row]]:
    planned = plan_rows([len(row.prompt_ids) + len(row.token_ids) for row in rows], capacity)
    return [[rows[index] for index in row] for row in planned]


def _tokens(rows: Sequence[Row]) -> int:
    return sum(len(row.token_ids) for row in rows)


def _temperatures(rows: Sequence[Row], batch: TokenBatch) -> Tensor:
    return torch.tensor([row.temperature for row in rows] or [1.0], device=batch.program_ids.device)
