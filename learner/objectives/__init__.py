"""The objectives, one file each, and the pieces they share. docs/objective.md has all formulas.

    rewards of a group ──advantages──▶ one number per program and term ──credit──▶ per token ──loss──▶ minus what is maximised

An objective is two pure functions: `advantages` over a group's rewards (plain Python), and `loss` over tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from contracts.objective import Kind, ObjectiveConfig
from learner.objectives import grpo, ppo, rloo, rltf, rltf_reference
from learner.objectives.baselines import Reward
from learner.objectives.feedback import Feedback, Losses


class Objective(Protocol):
    """What each of the files has."""

    def advantages(self, sampled: Sequence[Reward], greedy: Reward | None, config: ObjectiveConfig) -> list[dict[str, float]]:
        """Per sampled program of a group: term → its weighted advantage over the baseline."""
        ...

    def loss(self, logprobs: Tensor, feedback: Feedback, config: ObjectiveConfig, shares: Tensor) -> Losses:
        """What the terms add to the loss. logprobs: [B, T]. shares: [B, T], what a token weighs in the mean."""
        ...


OBJECTIVES: dict[Kind, Objective] = {
    "rltf": rltf,
    "rltf_reference": rltf_reference,
    "grpo": grpo,
    "rloo": rloo,
    "ppo": ppo,
}
