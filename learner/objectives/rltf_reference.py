"""RLTF as its published implementation computes it; each deviation from the paper is a switch of `objective.reference`.

- `adaptive_replaces_failure`: the failure reward −0.3 becomes −0.3 + 1.3 · ratio within L_coarse; no term of its own.
- `alpha_is_one`: α is 1 (the mask's length is divided by itself).
- `critic`: each token's reward is multiplied by a frozen critic's probability of the true outcome, as CodeRL does.
- `alternate`: supervised and RL micro-batches take turns, each a mean over its own tokens, both kinds with the same weight
  (learner/trainer.py).

No importance ratio, clipping or KL term. Switched off one by one, it becomes rltf.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from contracts.objective import ObjectiveConfig
from learner.objectives import rltf
from learner.objectives.baselines import Reward, relative_rewards
from learner.objectives.feedback import Feedback, Losses


def advantages(sampled: Sequence[Reward], greedy: Reward | None, config: ObjectiveConfig) -> list[dict[str, float]]:
    """Relative returns; of one reward alone where adaptive replaces failure."""
    if not config.reference.adaptive_replaces_failure:
        return rltf.advantages(sampled, greedy, config)
    _, graded = relative_rewards(sampled, greedy, config.baseline)
    return [{"coarse": config.coarse * value, "adaptive": 0.0} for value in graded]


def loss(logprobs: Tensor, feedback: Feedback, config: ObjectiveConfig, shares: Tensor) -> Losses:
    """The paper's loss, with α = 1 where that is switched on."""
    if config.reference.alpha_is_one:
        config = config.model_copy(update={"alpha_cap": 1.0})
    return rltf.loss(logprobs, feedback, config, shares)
