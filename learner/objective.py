"""The losses of RLTF (arXiv 2307.04349, section 3.3) as pure functions of tensors that return (loss, metrics).

    L_total    = L_sl + L_coarse + L_fine + L_adaptive, each with its weight from the recipe
    L_sl       = −Σ_t log p(w*_t)
    L_coarse   = −(R_coarse(W) − R_coarse(W_b)) · Σ_{t=1..T} log p(w_t)
    L_fine     = −α · R_fine(W) · Σ_{t=S..E} log p(w_t),     α = T / (E − S + 1)
    L_adaptive = −(R_adaptive(W) − R_adaptive(W_b)) · Σ_{t=1..T} log p(w_t)

All are means over tokens; the denominator is passed in, because it counts the tokens of the whole global batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from contracts.sections import ObjectiveConfig

Metrics = dict[str, float]


@dataclass(frozen=True)
class Feedback:
    """What the unit tests said about B programs of at most T tokens."""

    coarse: Tensor
    """[B] R_coarse(W) − R_coarse(W_b)"""
    adaptive: Tensor
    """[B] R_adaptive(W) − R_adaptive(W_b); 0 where W raised an error"""
    fine: Tensor
    """[B] R_fine(W)"""
    penalised: Tensor
    """[B, T] bool, the range S..E"""


def rltf_loss(
    logprobs: Tensor, mask: Tensor, feedback: Feedback, config: ObjectiveConfig, tokens: float
) -> tuple[Tensor, Metrics]:
    """L_coarse + L_fine + L_adaptive of B programs.

    logprobs: [B, T] log p(w_t), 0 on padding. mask: [B, T], 1 on tokens. tokens: sampled tokens of the global batch.
    """
    sums = logprobs.sum(1)
    length = mask.sum(1).float()
    penalised = feedback.penalised.float()
    alpha = length / penalised.sum(1).clamp(min=1)
    if config.alpha_cap is not None:
        alpha = alpha.clamp(max=config.alpha_cap)
    terms = {
        "coarse": -config.coarse * (feedback.coarse * sums).sum() / tokens,
        "fine": -config.fine * (alpha * feedback.fine * (logprobs * penalised).sum(1)).sum() / tokens,
        "adaptive": -config.adaptive * (feedback.adaptive * sums).sum() / tokens,
    }
    return torch.stack(list(terms.values())).sum(), {name: term.item() for name, term in terms.items()}


def sl_loss(logprobs: Tensor, weight: float, tokens: float) -> tuple[Tensor, Metrics]:
    """L_sl of B corpus programs. logprobs: [B, T], 0 on padding. tokens: corpus tokens of the global batch."""
    loss = -weight * logprobs.sum() / tokens
    return loss, {"sl": loss.item()}
