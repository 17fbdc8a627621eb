"""What a token's advantage is multiplied with: log-probs (REINFORCE), or clipped ratios of probabilities (PPO).

With θ the weights being trained, b those that sampled the program and x those at the step's start:

    REINFORCE                       log p_θ                                           its gradient: ∇ log p_θ
    truncated importance sampling   min(p_θ / p_b, C) · log p_θ                       the weight is a constant
    PPO (arXiv 1707.06347)          min(r A, clip(r, 1 − ε_low, 1 + ε_high) A) / A    r = p_θ / p_b
    decoupled (arXiv 2110.00641)    min(p_x / p_b, C) · the same with r = p_θ / p_x   the weight is a constant

Clip-higher is ε_high > ε_low (DAPO, arXiv 2503.14476). The decoupled form is what AReaL (arXiv 2505.24298) trains with.
"""

from __future__ import annotations

import torch
from torch import Tensor

from contracts.objective import ObjectiveConfig
from learner.objectives.credit import token_advantages
from learner.objectives.feedback import Feedback, Figures, Losses


def reinforce(logprobs: Tensor, feedback: Feedback, config: ObjectiveConfig, shares: Tensor) -> Losses:
    """−Σ shares · weight · A_t · log p_θ(w_t), by term."""
    factor, cut = logprobs, torch.zeros_like(feedback.mask, dtype=torch.bool)
    if config.correction == "truncated":
        weight, cut = importance_weights(logprobs.detach(), feedback.behaviour, config.correction_cap)
        factor = weight * logprobs
    return _losses(factor, cut, token_advantages(feedback, config), feedback, shares)


def clipped(logprobs: Tensor, feedback: Feedback, config: ObjectiveConfig, shares: Tensor) -> Losses:
    """−Σ shares · weight · min(r A_t, clip(r) A_t), by term: which of the two it is, the sum of all terms decides."""
    terms = token_advantages(feedback, config)
    weight, cut = torch.ones_like(logprobs), torch.zeros_like(feedback.mask, dtype=torch.bool)
    around = feedback.behaviour
    if config.correction == "decoupled":
        around = logprobs.detach() if feedback.proximal is None else feedback.proximal
        weight, cut = importance_weights(around, feedback.behaviour, config.correction_cap)
    ratio = (logprobs - around).exp()
    clamped = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    advantage = torch.stack(list(terms.values())).sum(0)
    beyond = clamped * advantage < ratio * advantage
    return _losses(weight * torch.where(beyond, clamped, ratio), cut | beyond, terms, feedback, shares)


def importance_weights(numerator: Tensor, behaviour: Tensor, cap: float | None) -> tuple[Tensor, Tensor]:
    """[B, T] exp(numerator − behaviour), at most `cap`, and where the cap cut."""
    weight = (numerator - behaviour).exp()
    return (weight, torch.zeros_like(weight, dtype=torch.bool)) if cap is None else (weight.clamp(max=cap), weight > cap)


def _losses(factor: Tensor, cut: Tensor, terms: dict[str, Tensor], feedback: Feedback, shares: Tensor) -> Losses:
    weighted = shares if feedback.critic is None else shares * feedback.critic
    advantage = torch.stack(list(terms.values())).sum(0)
    figures: Figures = {
        "advantage": advantage.sum().item(),
        "advantage_size": advantage.abs().sum().item(),
        "cut": (cut & (feedback.mask > 0)).sum().item(),
    }
    return Losses({name: -(weighted * factor * advantages).sum() for name, advantages in terms.items()}, figures)
