"""Baselines: what a program's reward is compared with. Plain Python over one group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from contracts.objective import Baseline, ObjectiveConfig


class Reward(NamedTuple):
    """One program's rewards (RLTF, section 3.3)."""

    coarse: float
    adaptive: float | None
    """None for a program that raised an error."""

    @property
    def graded(self) -> float:
        """R_adaptive, and R_coarse of a program that raised an error: what such a program enters a baseline with."""
        return self.coarse if self.adaptive is None else self.adaptive

    def total(self, config: ObjectiveConfig) -> float:
        """The one reward of group estimators: coarse · R_coarse + adaptive · R_adaptive, graded."""
        return config.coarse * self.coarse + config.adaptive * self.graded


def relative(values: Sequence[float], greedy: float | None, baseline: Baseline) -> list[float]:
    """Each value minus its baseline: the greedy program's, the mean of all, or the mean of the others (RLOO, arXiv 2402.14740).

    Raises ValueError where there is no greedy program to compare with, or no other program.
    """
    if baseline == "greedy":
        if greedy is None:
            raise ValueError("no greedy program for the baseline")
        return [value - greedy for value in values]
    mean = sum(values) / len(values)
    if baseline == "group":
        return [value - mean for value in values]
    if len(values) < 2:
        raise ValueError("leave-one-out needs two programs or more")
    return [(value - mean) * len(values) / (len(values) - 1) for value in values]


def relative_rewards(sampled: Sequence[Reward], greedy: Reward | None, baseline: Baseline) -> tuple[list[float], list[float]]:
    """Coarse and graded rewards, each minus its own baseline. Raises ValueError as `relative` does."""
    coarse = relative([reward.coarse for reward in sampled], greedy.coarse if greedy else None, baseline)
    return coarse, relative([reward.graded for reward in sampled], greedy.graded if greedy else None, baseline)


def one_reward(
    sampled: Sequence[Reward], greedy: Reward | None, config: ObjectiveConfig, scale: float = 1.0
) -> list[dict[str, float]]:
    """Advantages of the one reward of group estimators, told apart by the terms that it is the sum of."""
    coarse, graded = relative_rewards(sampled, greedy, config.baseline)
    return [
        {"coarse": scale * config.coarse * a, "adaptive": scale * config.adaptive * b}
        for a, b in zip(coarse, graded, strict=True)
    ]
