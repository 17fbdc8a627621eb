"""RLTF as published (arXiv 2307.04349, section 3.3):

    L_coarse   = −(R_coarse(W) − R_coarse(W_b)) · Σ_{t=1..T} log p(w_t)
    L_fine     = −α · R_fine(W) · Σ_{t=S..E} log p(w_t),     α = T / (E − S + 1)
    L_adaptive = −(R_adaptive(W) − R_adaptive(W_b)) · Σ_{t=1..T} log p(w_t)

L_adaptive is 0 for a program that raised an error; an errored W_b enters it with its coarse reward.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.objective import ObjectiveConfig
from learner.objectives.baselines import Reward, relative_rewards
from learner.objectives.surrogates import reinforce as loss

__all__ = ["advantages", "loss"]


def advantages(sampled: Sequence[Reward], greedy: Reward | None, config: ObjectiveConfig) -> list[dict[str, float]]:
    """Relative returns of both rewards, each over its own baseline."""
    coarse, graded = relative_rewards(sampled, greedy, config.baseline)
    return [
        {"coarse": config.coarse * a, "adaptive": 0.0 if reward.adaptive is None else config.adaptive * b}
        for reward, a, b in zip(sampled, coarse, graded, strict=True)
    ]
