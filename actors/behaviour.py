"""The behaviour policy inside `generate`: temperature, cuts, greedy rows, and each sampled token's log-prob."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LogitsProcessor, TopKLogitsWarper, TopPLogitsWarper


class BehaviourPolicy(LogitsProcessor):
    """Turns raw logits into the sampling distribution and gathers behaviour log-probs as tokens are drawn.

    The log-prob of a token is that of log-softmax(logits / temperature), before any top-k or top-p cut. Only the last
    step's distribution is kept: all of them would take [B, T, V] floats.

    Where a row's logits hold NaN or plus infinity, all its log-probs are NaN, and its token is taken instead of drawn: drawing
    would end the process on a GPU. Whoever takes the log-probs looks for NaN, once per batch: a look at each step would wait for
    the GPU.
    """

    def __init__(self, temperature: float, top_p: float, top_k: int, greedy: Tensor) -> None:
        """greedy: [B] bool, rows that take the most likely token instead of sampling."""
        self._temperature = temperature
        self._cuts = [TopKLogitsWarper(top_k)] if top_k else []
        if top_p < 1:
            self._cuts.append(TopPLogitsWarper(top_p))
        self._greedy = greedy
        self._last: Tensor | None = None
        self._gathered: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """input_ids: [B, tokens so far]. scores: [B, V] raw logits. Returns [B, V] logits to sample from."""
        self._gather(input_ids)
        scores = scores.float() / self._temperature
        self._last = scores.log_softmax(-1)
        for cut in self._cuts:
            scores = cut(input_ids, scores)
        best = scores.argmax(-1, keepdim=True)
        only_best = torch.full_like(scores, -torch.inf).scatter_(-1, best, 0.0)
        certain = self._greedy | self._last[:, 0].isnan()
        return torch.where(certain.unsqueeze(-1), only_best, scores)

    def logprobs(self, output_ids: Tensor) -> Tensor:
        """[B, generated tokens] after `generate` returned `output_ids`."""
        self._gather(output_ids)
        self._last = None
        return torch.stack(self._gathered, dim=1)

    def _gather(self, ids: Tensor) -> None:
        if self._last is not None:
            self._gathered.append(self._last.gather(-1, ids[:, -1:]).squeeze(-1))
