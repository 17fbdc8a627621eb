"""What the learner makes of labelled groups before any tensor exists: rows with their advantages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts.config import Recipe
from contracts.objective import ObjectiveConfig
from contracts.records import LabelledGroup, Labels, Outcome
from learner.objectives import OBJECTIVES
from learner.objectives.baselines import Reward


@dataclass(frozen=True)
class Row:
    """One program to train on. Per-token lists have one length; None means absent."""

    prompt_ids: list[int]
    token_ids: list[int]
    advantages: Mapping[str, float] = field(default_factory=dict)
    """Term → weighted advantage over the baseline, on all tokens."""
    fine: float = 0.0
    """R_fine(W)"""
    penalised: list[bool] | None = None
    static: float = 0.0
    """R_static where static analysis found something."""
    findings: list[bool] | None = None
    behaviour: list[float] | None = None
    """Log-probs with which the tokens were sampled, at `temperature`."""
    proximal: list[float] | None = None
    """Log-probs under the weights at the step's start."""
    temperature: float = 1.0
    """At which it is scored."""
    outcome: Outcome = Outcome.PASS


def training_rows(entry: LabelledGroup, recipe: Recipe) -> list[Row]:
    """The sampled programs of a group with their advantages, as the recipe's objective has them.

    Raises ValueError, naming the group, where it lacks what the objective needs: its greedy program, another program to compare
    with, behaviour log-probs.
    """
    group, config = entry.group, recipe.objective
    judged = list(zip(group.programs, entry.labels, entry.verdicts, strict=True))
    sampled = [(program, labels, verdict) for program, labels, verdict in judged if not program.greedy]
    greedy = next((_reward(labels) for program, labels, _ in judged if program.greedy), None)
    if config.scores_as_sampled and any(len(program.logprobs) != len(program.token_ids) for program, *_ in sampled):
        raise ValueError(f"group {group.id} has no behaviour log-probs for kind={config.kind}, correction={config.correction}")
    try:
        found = OBJECTIVES[config.kind].advantages([_reward(labels) for _, labels, _ in sampled], greedy, config)
    except ValueError as err:
        raise ValueError(f"group {group.id}: {err}") from err
    return [
        Row(
            prompt_ids=group.prompt_ids,
            token_ids=program.token_ids,
            advantages=advantages,
            fine=labels.fine,
            penalised=labels.penalised,
            static=recipe.rewards.static if any(labels.static) else 0.0,
            findings=labels.static or None,
            behaviour=program.logprobs or None,
            temperature=group.temperature if config.scores_as_sampled else 1.0,
            outcome=verdict.outcome,
        )
        for (program, labels, verdict), advantages in zip(sampled, found, strict=True)
    ]


def has_variance(entry: LabelledGroup, config: ObjectiveConfig) -> bool:
    """Did the group's sampled programs earn different rewards, as far as the objective makes use of them?"""
    programs = zip(entry.group.programs, entry.labels, strict=True)
    rewards = [_reward(labels) for program, labels in programs if not program.greedy]
    return len({(config.coarse * reward.coarse, config.adaptive * reward.graded) for reward in rewards}) > 1


def split_evenly(rows: Sequence[Row], parts: int) -> list[list[Row]]:
    """Exactly `parts` micro-batches, rows of like length together (less padding); some are empty if rows are few."""
    ordered = sorted(rows, key=lambda row: len(row.prompt_ids) + len(row.token_ids))
    return [ordered[len(rows) * i // parts : len(rows) * (i + 1) // parts] for i in range(parts)]


def _reward(labels: Labels) -> Reward:
    return Reward(labels.coarse, labels.adaptive)
