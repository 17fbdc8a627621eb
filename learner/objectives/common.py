"""Terms that go with any objective: imitation of the corpus, the leash to a reference, and how tokens share a mean."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor

from learner.objectives.feedback import Losses


class Count(NamedTuple):
    """What a mean is taken over: tokens and programs of a whole global mini-batch."""

    tokens: float
    programs: float


def token_shares(mask: Tensor, mean: Literal["token", "sequence"], count: Count) -> Tensor:
    """[B, T] what each token weighs in the mean: 1 / tokens, or 1 / (programs · tokens of its program)."""
    if mean == "token":
        return mask / count.tokens
    return mask / (mask.sum(1, keepdim=True).clamp(min=1) * count.programs)


def supervised_loss(logprobs: Tensor, weight: float, tokens: float) -> Losses:
    """L_sl = −Σ_t log p(w*_t) as a mean over corpus tokens. logprobs: [B, T], 0 on padding."""
    return Losses({"sl": -weight * logprobs.sum() / tokens}, {})


def divergence(logprobs: Tensor, other: Tensor) -> Tensor:
    """[B, T] exp(d) − d − 1 with d = other − logprobs: an estimate of KL(p ‖ other) on tokens drawn from p, never negative.

    John Schulman, "Approximating KL divergence", its estimator k3.
    """
    difference = other - logprobs
    return difference.exp() - difference - 1
