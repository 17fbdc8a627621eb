"""Which tokens a program's advantage falls on: spans that add a term, or that gather what there is.

`add` (RLTF, section 3.3): L_fine = −α · R_fine · Σ_{t=S..E} log p(w_t), α = T / (E − S + 1), beside the whole program's terms.
`move`: a negative advantage A is gathered on the located tokens, A_t = α · A there and the rest evenly elsewhere, so that
Σ_t A_t = T · A whatever α is; without `alpha_cap` nothing is left elsewhere. A group estimator keeps its sum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from contracts.objective import ObjectiveConfig
from learner.objectives.feedback import Feedback


def alpha(span: Tensor, mask: Tensor, cap: float | None) -> Tensor:
    """[B] T / (E − S + 1), at most `cap`; it makes a short range weigh as much as a long one."""
    ratio = mask.sum(1) / span.sum(1).clamp(min=1)
    return ratio if cap is None else ratio.clamp(max=cap)


def token_advantages(feedback: Feedback, config: ObjectiveConfig) -> dict[str, Tensor]:
    """Term → [B, T] advantage of each token; 0 on padding."""
    share = _moved(feedback, config) if config.spans == "move" else feedback.mask.to(feedback.fine.dtype)
    terms = {name: values.unsqueeze(1) * share for name, values in feedback.advantages.items()}
    if config.spans == "add":
        spans = {
            "fine": (config.fine * feedback.fine, feedback.penalised),
            "static": (config.static * feedback.static, feedback.findings),
        }
        for name, (reward, span) in spans.items():
            terms[name] = (reward * alpha(span, feedback.mask, config.alpha_cap)).unsqueeze(1) * span
    return terms


def _moved(feedback: Feedback, config: ObjectiveConfig) -> Tensor:
    """[B, T] what share of a program's advantage each token takes; T in all, one each where nothing is moved."""
    located = feedback.penalised | feedback.findings if config.static else feedback.penalised
    inside, mask = located.to(feedback.fine.dtype), feedback.mask.to(feedback.fine.dtype)
    length, size = mask.sum(1), inside.sum(1)
    factor = alpha(inside, mask, config.alpha_cap)
    rest = (length - factor * size) / (length - size).clamp(min=1)
    moved = factor.unsqueeze(1) * inside + rest.unsqueeze(1) * (mask - inside)
    negative = torch.stack(list(feedback.advantages.values())).sum(0) < 0
    return torch.where((negative & (size > 0)).unsqueeze(1), moved, mask)
