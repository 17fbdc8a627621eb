"""The figures of one optimizer step: sums on each rank, then shares and means of the sums over ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts import metrics as m
from contracts.histograms import SUM, bounds, counted
from contracts.objective import ObjectiveConfig
from contracts.records import LabelledGroup, Outcome
from learner.advantages import has_variance
from learner.objectives.common import divergence
from learner.objectives.feedback import Feedback, Figures
from models.scoring import Scores

StepMetrics = dict[str, float | dict[str, float]]


def terms_of(config: ObjectiveConfig) -> list[str]:
    """The terms that the total is the sum of."""
    return ["sl", "coarse", "fine", "adaptive"] + ["static"] * (config.static > 0) + ["kl"] * (config.kl > 0)


def watched(scores: Scores, feedback: Feedback, *, as_sampled: bool) -> Figures:
    """Sums over a micro-batch's tokens. `as_sampled`: scored at the temperature that they were sampled at, so that ratios of
    probabilities mean something."""
    mask, logprobs = feedback.mask, scores.logprobs.detach()
    figures = {"scored": mask.sum().item(), "entropy": scores.entropy.sum().item()}
    if as_sampled:
        ratio = (logprobs - feedback.behaviour).exp() * mask
        figures |= {
            "ratio": ratio.sum().item(),
            "ratio_squared": ratio.square().sum().item(),
            "ratio_max": ratio.max().item(),
            "kl_behaviour": divergence(feedback.behaviour, logprobs).sum().item(),
        }
    return figures


def merge(figures: Figures, more: Mapping[str, float], loss_share: float = 1.0) -> None:
    """Add sums and keep largest values, in place; losses, which are means already, count for `loss_share`."""
    for name, value in more.items():
        if name.endswith("_max"):
            figures[name] = max(figures.get(name, value), value)
        else:
            share = loss_share if name.startswith("loss/") else 1.0
            figures[name] = figures.get(name, 0.0) + share * value


def local_sums(
    entries: Sequence[LabelledGroup], figures: Figures, step: int, rank: int, ranks: int, config: ObjectiveConfig
) -> dict[str, float]:
    """One rank's sums, with the same keys on every rank. `step`: optimizer steps made before this one."""
    sampled = [
        (program, verdict, labels, step - entry.group.policy_version)
        for entry in entries
        for program, verdict, labels in zip(entry.group.programs, entry.verdicts, entry.labels, strict=True)
        if not program.greedy
    ]
    ran = [labels.adaptive for _, _, labels, _ in sampled if labels.adaptive is not None]
    sums = {f"loss/{term}": figures.get(f"loss/{term}", 0.0) for term in terms_of(config)}
    sums |= {name: figures.get(name, 0.0) for name in FIGURES}
    sums |= {f"{name}/{other}": 0.0 for name in ("lag", "ratio_max") for other in range(ranks)}
    sums |= {f"{m.LAG.name}/{bound}": 0.0 for bound in bounds(m.LAG)}
    sums |= {f"{m.LAG.name}/{key}": lags for key, lags in counted(m.LAG, (lag for *_, lag in sampled)).items()}
    sums[f"lag/{rank}"] = max((lag for *_, lag in sampled), default=0)
    sums[f"ratio_max/{rank}"] = figures.get("ratio_max", 0.0)
    return sums | {
        "groups": len(entries),
        "zero_variance": sum(not has_variance(entry, config) for entry in entries),
        "programs": len(sampled),
        "passed": sum(verdict.outcome is Outcome.PASS for _, verdict, _, _ in sampled),
        "truncated": sum(program.truncated for program, *_ in sampled),
        "coarse": sum(labels.coarse for _, _, labels, _ in sampled),
        "adaptive": sum(ran),
        "ran": len(ran),
        "tokens": sum(len(program.token_ids) for program, *_ in sampled),
        "penalised": sum(sum(labels.penalised) for _, _, labels, _ in sampled),
        "static": sum(sum(labels.static) for _, _, labels, _ in sampled),
        "surprise": -sum(sum(program.logprobs) for program, *_ in sampled),
    }


_PER_TOKEN = {
    "advantage": m.ADVANTAGE_MEAN,
    "advantage_size": m.ADVANTAGE_SIZE,
    "entropy": m.POLICY_ENTROPY,
    "cut": m.CLIPPED,
}
"""Figure → the metric that is its mean over the tokens that were scored."""
_RATIOS = {"ratio": m.RATIO_MEAN, "kl_behaviour": m.KL_BEHAVIOUR}
"""Likewise, where they were scored as they were sampled."""
FIGURES = ("scored", "ratio_squared", "kl_reference", *_PER_TOKEN, *_RATIOS)


def global_metrics(sums: Mapping[str, float], ranks: int) -> StepMetrics:
    """What the step's metrics are, from the sums over all ranks; counters hold the step's own counts."""
    losses = {name.removeprefix("loss/"): value for name, value in sums.items() if name.startswith("loss/")}
    found: StepMetrics = {m.LOSS.name: {**losses, "total": sum(losses.values())}}
    programs, tokens, scored = sums["programs"], sums["tokens"], sums["scored"]
    if programs:
        found |= {
            m.TRAINED.name: int(programs),
            m.LEARNER_TOKENS.name: int(tokens),
            m.LAG.name: _lags(sums),
            m.LAG_MEAN.name: sums[f"{m.LAG.name}/{SUM}"] / programs,
            m.LAG_MAX.name: max(sums[f"lag/{rank}"] for rank in range(ranks)),
            m.PASS_RATE.name: sums["passed"] / programs,
            m.TRUNCATED.name: sums["truncated"] / programs,
            m.REWARD_COARSE.name: sums["coarse"] / programs,
            m.ZERO_VARIANCE.name: sums["zero_variance"] / sums["groups"],
            m.PENALISED.name: sums["penalised"] / tokens,
            m.STATIC.name: sums["static"] / tokens,
            m.ENTROPY.name: sums["surprise"] / tokens,
        }
    if sums["ran"]:
        found[m.REWARD_ADAPTIVE.name] = sums["adaptive"] / sums["ran"]
    if scored:
        found |= {metric.name: sums[name] / scored for name, metric in _PER_TOKEN.items()}
    if sums["ratio"]:
        found |= {metric.name: sums[name] / scored for name, metric in _RATIOS.items()}
        found[m.RATIO_MAX.name] = max(sums[f"ratio_max/{rank}"] for rank in range(ranks))
        found[m.EFFECTIVE.name] = sums["ratio"] ** 2 / (scored * sums["ratio_squared"])
    if "kl" in losses and scored:
        found[m.KL_REFERENCE.name] = sums["kl_reference"] / scored
    return found


def _lags(sums: Mapping[str, float]) -> dict[str, float]:
    """The histogram of lags, over all ranks."""
    keys = [key for key in bounds(m.LAG) if sums[f"{m.LAG.name}/{key}"]]
    return {**{key: int(sums[f"{m.LAG.name}/{key}"]) for key in keys}, SUM: sums[f"{m.LAG.name}/{SUM}"]}
