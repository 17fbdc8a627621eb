"""What is optimised: the sections of a recipe that choose an objective and its pieces (docs/objective.md has the formulas).

A combination that makes no sense is refused here, with the remedy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from contracts.sections import Section
from contracts.values import Positive

Kind = Literal["rltf", "rltf_reference", "grpo", "rloo", "ppo"]
Baseline = Literal["greedy", "group", "leave_one_out"]
Weight = Annotated[float, Field(ge=0)]

BASELINES: dict[Kind, tuple[Baseline, ...]] = {
    "rltf": ("greedy", "group", "leave_one_out"),
    "rltf_reference": ("greedy", "group", "leave_one_out"),
    "grpo": ("group",),
    "rloo": ("leave_one_out",),
    "ppo": ("group", "leave_one_out", "greedy"),
}
"""Objective → the baselines that it can have, its own first."""
CLIPPED: tuple[Kind, ...] = ("grpo", "ppo")


class ReferenceConfig(Section):
    """What the published implementation does otherwise than the paper; each takes part where kind=rltf_reference."""

    adaptive_replaces_failure: bool = True
    """R_adaptive takes the place of the failure reward in L_coarse; there is no L_adaptive."""
    alternate: bool = True
    """Supervised and RL micro-batches take turns: each is a mean over its own tokens, and both kinds weigh the same."""
    alpha_is_one: bool = True
    """α is 1 whatever the range."""
    critic: Path | None = None
    """A token classifier's folder (labels: pass, failure, runtime error, syntax error), frozen: each token's reward is multiplied
    by its probability of the true outcome."""


class ObjectiveConfig(Section):
    """L_total = sl · L_sl and an objective made of coarse, fine, adaptive and static feedback (RLTF, section 3.3)."""

    kind: Kind = "rltf"
    """`rltf`: the paper's. `rltf_reference`: as its published code computes it. `grpo`, `rloo`, `ppo`: one reward per program,
    coarse · R_coarse + adaptive · R_adaptive, and the estimator of that name."""
    baseline: Baseline = "greedy"
    """W_b: the greedily decoded program of the same prompt, the mean of the group, or the mean of the group's others; null or
    unset: the objective's own."""
    spans: Literal["add", "move", "none"] = "add"
    """Where an error was: `add` L_fine and L_static to the other terms, `move` a program's negative advantage onto the located
    tokens without changing its sum, or make no use of it."""
    sl: Weight = 1.0
    """Weight of L_sl."""
    coarse: Weight = 1.0
    """Weight of R_coarse."""
    fine: Weight = 1.0
    """Weight of L_fine (spans=add)."""
    adaptive: Weight = 1.0
    """Weight of R_adaptive."""
    static: Weight = 0.0
    """Weight of L_static (spans=add); with spans=move, above 0: findings are located tokens too."""
    alpha_cap: Annotated[float, Field(ge=1)] | None = None
    """Upper bound of α = T / (E − S + 1); unset: none, as in the paper."""
    mean: Literal["token", "sequence"] = "token"
    """Every token weighs the same, or every program (each the mean of its tokens)."""
    normalise: bool = True
    """grpo: divide advantages by the group's standard deviation."""
    skip_zero_variance: bool = False
    """Leave out groups whose programs all earned the same reward; a step of such groups alone changes no weight."""
    clip_low: Annotated[float, Field(gt=0, le=1)] = 0.2
    """grpo, ppo: ratios below 1 − this are clipped."""
    clip_high: Positive = 0.28
    """grpo, ppo: ratios above 1 + this are clipped; more than `clip_low`: clip-higher."""
    correction: Literal["none", "truncated", "decoupled"] = "none"
    """What is done about the lag of samples, from their stored behaviour log-probs. `truncated` (rltf, rloo): importance weights.
    `decoupled` (grpo, ppo): clip around the weights at the step's start, and weigh by their ratio to the behaviour policy."""
    correction_cap: Annotated[float, Field(ge=1)] | None = 2.0
    """Upper bound of the importance weights of `correction`; unset: none."""
    kl: Weight = 0.0
    """Weight of the KL divergence from the stage's first weights, which are kept as a frozen copy."""
    reference: ReferenceConfig = ReferenceConfig()
    """Switches of kind=rltf_reference."""

    @property
    def scores_as_sampled(self) -> bool:
        """Are programs scored at the temperature that they were sampled at, to compare one policy with another?"""
        return self.kind in CLIPPED or self.correction != "none" or self.kl > 0

    @model_validator(mode="before")
    @classmethod
    def _own_baseline(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("baseline") is None:
            kind = data.get("kind", "rltf")
            return data | {"baseline": BASELINES[kind][0] if kind in BASELINES else "greedy"}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.baseline not in BASELINES[self.kind]:
            own = BASELINES[self.kind][0]
            raise ValueError(
                f"kind={self.kind} with baseline={self.baseline}: set objective.baseline={own} (null means the same)"
            )
        if self.kind == "rltf_reference" and (self.correction != "none" or self.kl or self.spans == "move"):
            raise ValueError("kind=rltf_reference has no correction, kl or spans=move: choose kind=rltf for them")
        if self.correction == "decoupled" and self.kind not in CLIPPED:
            raise ValueError(f"kind={self.kind} clips nothing, so correction=decoupled means nothing: set correction=truncated")
        if self.correction == "truncated" and self.kind in CLIPPED:
            raise ValueError(
                f"kind={self.kind} has clipped ratios: set correction=decoupled, which weighs them up to correction_cap"
            )
        if self.kind != "rltf_reference" and self.reference != ReferenceConfig():
            raise ValueError(f"reference holds switches of kind=rltf_reference: kind={self.kind} makes no use of them")
        if not self.coarse and not self.adaptive and (self.spans != "add" or not (self.fine or self.static)):
            raise ValueError("with these weights unit tests teach nothing: set coarse, adaptive or, with spans=add, fine above 0")
        if self.static and self.spans == "none":
            raise ValueError("static has no effect with spans=none: set spans=add or move, or static=0")
        if self.skip_zero_variance and self.baseline == "greedy":
            raise ValueError("skip_zero_variance is about groups as baselines: set baseline=group or leave_one_out")
        return self
