"""The objectives' closed forms in plain Python, one token after the other: what the learner is held against.

Written from the formulas of the papers: RLTF (arXiv 2307.04349, section 3.3), GRPO (2402.03300), RLOO (2402.14740), PPO
(1707.06347), the decoupled form (2110.00641) and the estimator k3 of a KL divergence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.objective import CLIPPED, ObjectiveConfig


@dataclass(frozen=True)
class Case:
    """One program: log-probs of its tokens, advantages by term, fine and static feedback."""

    logprobs: list[float]
    behaviour: list[float]
    advantages: dict[str, float] = field(default_factory=dict)
    fine: float = 0.0
    penalised: list[bool] = field(default_factory=list)
    static: float = 0.0
    findings: list[bool] = field(default_factory=list)
    proximal: list[float] | None = None
    critic: list[float] | None = None
    reference: list[float] | None = None


def advantages(
    sampled: Sequence[tuple[float, float | None]], greedy: tuple[float, float | None] | None, config: ObjectiveConfig
) -> list[dict[str, float]]:
    """Weighted advantages of programs with these (R_coarse, R_adaptive or None for an error)."""
    coarse = [c for c, _ in sampled]
    graded = [c if a is None else a for c, a in sampled]
    greedy_coarse, greedy_graded = (0.0, 0.0) if greedy is None else (greedy[0], greedy[0] if greedy[1] is None else greedy[1])

    def over_baseline(values: list[float], of_greedy: float, i: int) -> float:
        if config.baseline == "greedy":
            return values[i] - of_greedy
        others = values if config.baseline == "group" else values[:i] + values[i + 1 :]
        return values[i] - math.fsum(others) / len(others)

    spread = 1.0
    if config.kind == "grpo" and config.normalise:
        totals = [config.coarse * c + config.adaptive * a for c, a in zip(coarse, graded, strict=True)]
        mean = math.fsum(totals) / len(totals)
        spread = math.sqrt(math.fsum((total - mean) ** 2 for total in totals) / len(totals)) + 1e-4
    found = []
    for i, (_, adaptive) in enumerate(sampled):
        a = config.coarse * over_baseline(coarse, greedy_coarse, i) / spread
        b = config.adaptive * over_baseline(graded, greedy_graded, i) / spread
        if config.kind == "rltf_reference" and config.reference.adaptive_replaces_failure:
            a, b = config.coarse * over_baseline(graded, greedy_graded, i), 0.0
        elif config.kind in ("rltf", "rltf_reference") and adaptive is None:
            b = 0.0
        found.append({"coarse": a, "adaptive": b})
    return found


def token_advantages(case: Case, config: ObjectiveConfig) -> dict[str, list[float]]:
    """Term → what each token is rewarded with."""
    length = len(case.logprobs)
    penalised, findings = case.penalised or [False] * length, case.findings or [False] * length
    cap = config.alpha_cap
    if config.kind == "rltf_reference" and config.reference.alpha_is_one:
        cap = 1.0

    def alpha(span: list[bool]) -> float:
        ratio = length / sum(span)
        return ratio if cap is None else min(ratio, cap)

    share = [1.0] * length
    if config.spans == "move" and math.fsum(case.advantages.values()) < 0:
        located = [p or (config.static > 0 and f) for p, f in zip(penalised, findings, strict=True)]
        if any(located):
            left = length - alpha(located) * sum(located)
            share = [alpha(located) if here else left / (length - sum(located)) for here in located]
    terms = {name: [value * each for each in share] for name, value in case.advantages.items()}
    if config.spans == "add":
        for name, reward, span in (
            ("fine", config.fine * case.fine, penalised),
            ("static", config.static * case.static, findings),
        ):
            terms[name] = [reward * alpha(span) if here else 0.0 for here in span]
    return terms


def factor(
    x: float, held: float, behaviour: float, proximal: float | None, advantage: float, config: ObjectiveConfig
) -> tuple[float, float, bool]:
    """What the token's advantage is multiplied with at log-prob `x`, its slope in x, and whether anything was cut.

    `held`: the log-prob where the constants of the loss are taken.
    """
    if config.kind not in CLIPPED:
        weight, cut = _weight(held - behaviour, config) if config.correction == "truncated" else (1.0, False)
        return weight * x, weight, cut
    weight, cut, around = 1.0, False, behaviour
    if config.correction == "decoupled":
        around = held if proximal is None else proximal
        weight, cut = _weight(around - behaviour, config)
    ratio = math.exp(x - around)
    if advantage > 0 and ratio > 1 + config.clip_high:
        return weight * (1 + config.clip_high), 0.0, True
    if advantage < 0 and ratio < 1 - config.clip_low:
        return weight * (1 - config.clip_low), 0.0, True
    return weight * ratio, weight * ratio, cut


def _weight(difference: float, config: ObjectiveConfig) -> tuple[float, bool]:
    weight = math.exp(difference)
    if config.correction_cap is None or weight <= config.correction_cap:
        return weight, False
    return config.correction_cap, True


@dataclass(frozen=True)
class Result:
    """A loss by term, its slope in each log-prob, and what is counted beside it."""

    terms: dict[str, float]
    slopes: list[list[float]]
    advantage: float
    advantage_size: float
    cut: int

    @property
    def total(self) -> float:
        return math.fsum(self.terms.values())


def losses(
    cases: Sequence[Case], config: ObjectiveConfig, tokens: float, programs: float, held: Sequence[list[float]] | None = None
) -> Result:
    """The loss of `cases` as part of a batch of that many tokens and programs; `held`: log-probs that constants are taken at."""
    terms: dict[str, float] = {}
    slopes, everything, cuts = [], [], 0
    for number, case in enumerate(cases):
        at = case.logprobs if held is None else held[number]
        by_term = token_advantages(case, config)
        slopes.append([0.0] * len(at))
        for t, x in enumerate(case.logprobs):
            share = 1 / tokens if config.mean == "token" else 1 / (len(case.logprobs) * programs)
            weighted = share if case.critic is None else share * case.critic[t]
            total = math.fsum(values[t] for values in by_term.values())
            proximal = None if case.proximal is None else case.proximal[t]
            value, slope, cut = factor(x, at[t], case.behaviour[t], proximal, total, config)
            for name, values in by_term.items():
                terms[name] = terms.get(name, 0.0) - weighted * value * values[t]
            slopes[-1][t] -= weighted * slope * total
            everything.append(total)
            cuts += cut
            if case.reference is not None:
                apart = case.reference[t] - x
                terms["kl"] = terms.get("kl", 0.0) + config.kl * share * (math.exp(apart) - apart - 1)
                slopes[-1][t] += config.kl * share * (1 - math.exp(apart))
    return Result(terms, slopes, math.fsum(everything), math.fsum(map(abs, everything)), cuts)
