"""GRPO (arXiv 2402.03300): the clipped objective, with advantages normalised within the group.

    A(W_i) = (R(W_i) − mean R) / (std R + ε),     R = coarse · R_coarse + adaptive · R_adaptive

The standard deviation is the population's. `normalise=false` leaves it out (Dr. GRPO, arXiv 2503.20783).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from contracts.objective import ObjectiveConfig
from learner.objectives.baselines import Reward, one_reward
from learner.objectives.surrogates import clipped as loss

__all__ = ["EPSILON", "advantages", "loss"]

EPSILON = 1e-4


def advantages(sampled: Sequence[Reward], greedy: Reward | None, config: ObjectiveConfig) -> list[dict[str, float]]:
    """The reward's distance from the group's mean, in standard deviations."""
    spread = statistics.pstdev([reward.total(config) for reward in sampled]) + EPSILON
    return one_reward(sampled, greedy, config, 1 / spread if config.normalise else 1.0)
