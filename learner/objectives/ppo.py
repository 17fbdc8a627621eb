"""PPO's clipped objective (arXiv 1707.06347) without a value network: any of the baselines takes its place.

A(W) = R(W) − R(W_b),     R = coarse · R_coarse + adaptive · R_adaptive
"""

from __future__ import annotations

from learner.objectives.baselines import one_reward as advantages
from learner.objectives.surrogates import clipped as loss

__all__ = ["advantages", "loss"]
