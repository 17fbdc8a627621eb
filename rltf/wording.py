"""What a recipe optimises and what it is measured on, in words for people who haven't read it."""

from __future__ import annotations

from contracts.objective import CLIPPED, Baseline, Kind, ObjectiveConfig
from problems.sets import ProblemSet

FEW = 10
"""Held-out problems below which no difference is claimed: an error that is estimated from fewer says little itself."""
_KINDS: dict[Kind, str] = {
    "rltf": "RLTF's own, a term of the loss for each reward",
    "rltf_reference": "RLTF's as its published code computes it",
    "grpo": "GRPO: one reward per program, in clipped ratios of probabilities",
    "rloo": "RLOO: one reward per program, times the program's log-probability",
    "ppo": "PPO without a value network: one reward per program, in clipped ratios of probabilities",
}
_BASELINES: dict[Baseline, str] = {
    "greedy": "what the greedily decoded program of the same prompt earns",
    "group": "the mean of all programs of the same prompt",
    "leave_one_out": "the mean of the other programs of the same prompt",
}


def heldout(count: int) -> str:
    """ "1 held-out problem", "150 held-out problems"."""
    return "1 held-out problem" if count == 1 else f"{count} held-out problems"


def problems_in_words(problems: ProblemSet) -> str:
    """How many are trained on, held out and, with the reason, left out."""
    reasons = {"without tests": problems.dropped_without_tests, "by problems.checked": problems.dropped_by_check}
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    dropped = f"{sum(reasons.values())} left out{f' ({why})' if why else ''}"
    return f"{len(problems.train)} problems to train on, {len(problems.heldout)} held out, {dropped}"


def warning_of_few(count: int) -> str | None:
    """What to know, and do, where few problems are held out; None where there are enough."""
    if count >= FEW:
        return None
    whose = "its" if count == 1 else "their"
    keys = "problems.heldout_fraction or problems.heldout_path (where problems are generated: problems.primer.heldout)"
    return f"{heldout(count)}: {whose} figures say little; set {keys}"


def objective_in_words(config: ObjectiveConfig) -> str:
    """The objective in a few sentences, its settings named."""
    spread = ", in standard deviations of that group" if config.kind == "grpo" and config.normalise else ""
    kl = " Groups whose programs all earned the same are left out." if config.skip_zero_variance else ""
    kl += " Every program weighs the same, however long." if config.mean == "sequence" else ""
    kl += f" A KL term of weight {config.kl:g} holds the model near the weights that it began with." if config.kl else ""
    return (
        f"{_KINDS[config.kind]} (kind={config.kind}), {_rewards(config)}. A reward counts by its distance from "
        f"{_BASELINES[config.baseline]}{spread} (baseline={config.baseline}). {_spans(config)} (spans={config.spans}). "
        f"{_correction(config)} (correction={config.correction}).{kl}"
    )


def _rewards(config: ObjectiveConfig) -> str:
    weights = {"coarse": config.coarse, "adaptive": config.adaptive}
    used = [f"{weight:g} · {name}" for name, weight in weights.items() if weight]
    if config.kind == "rltf_reference" and config.reference.adaptive_replaces_failure:
        return f"with reward {config.coarse:g} · coarse, in which the share of tests passed takes the place of the failure reward"
    if not used:
        return "with no reward for whole programs"
    return f"with rewards {' and '.join(used)}" if config.kind.startswith("rltf") else f"with reward {' + '.join(used)}"


def _spans(config: ObjectiveConfig) -> str:
    if config.spans == "add" and not config.fine and not config.static:
        return "No use is made of where an error was"
    places = "the tokens of a located error" + (" or a static finding" if config.static else "")
    return {
        "add": f"On {places} a reward of their own is added",
        "move": f"A bad program's blame is gathered on {places}",
        "none": "No use is made of where an error was",
    }[config.spans]


def _correction(config: ObjectiveConfig) -> str:
    weights = "importance weights" + (f" of at most {config.correction_cap:g}" if config.correction_cap else " without a bound")
    clipped = "Ratios are clipped around the policy that sampled; nothing else is done about policy lag"
    return {
        "none": clipped if config.kind in CLIPPED else "Nothing is done about policy lag",
        "truncated": f"Policy lag is corrected by {weights}",
        "decoupled": f"Ratios are clipped around the weights at a step's start, and {weights} correct the lag up to there",
    }[config.correction]
