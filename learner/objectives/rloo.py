"""RLOO (arXiv 2402.14740): REINFORCE over programs, each compared with the mean of its group's others.

A(W_i) = R(W_i) − Σ_{j≠i} R(W_j) / (n − 1),     R = coarse · R_coarse + adaptive · R_adaptive
"""

from __future__ import annotations

from learner.objectives.baselines import one_reward as advantages
from learner.objectives.surrogates import reinforce as loss

__all__ = ["advantages", "loss"]
