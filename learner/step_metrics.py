"""The figures of one optimizer step: sums on each rank, then shares and means of the sums over ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts import metrics as m
from contracts.records import LabelledGroup, Outcome

StepMetrics = dict[str, float | dict[str, float]]
TERMS = ("sl", "coarse", "fine", "adaptive")


def local_sums(
    entries: Sequence[LabelledGroup], losses: Mapping[str, float], step: int, rank: int, ranks: int
) -> dict[str, float]:
    """One rank's sums, with the same keys on every rank. `step`: optimizer steps made before this one."""
    sampled = [
        (program, verdict, labels, step - entry.group.policy_version)
        for entry in entries
        for program, verdict, labels in zip(entry.group.programs, entry.verdicts, entry.labels, strict=True)
        if not program.greedy
    ]
    ran = [labels.adaptive for _, _, labels, _ in sampled if labels.adaptive is not None]
    sums = {f"loss/{term}": losses.get(term, 0.0) for term in TERMS}
    sums |= {f"lag/{other}": 0.0 for other in range(ranks)}
    sums[f"lag/{rank}"] = max((lag for *_, lag in sampled), default=0)
    return sums | {
        "programs": len(sampled),
        "lag": sum(lag for *_, lag in sampled),
        "passed": sum(verdict.outcome is Outcome.PASS for _, verdict, _, _ in sampled),
        "truncated": sum(program.truncated for program, *_ in sampled),
        "coarse": sum(labels.coarse for _, _, labels, _ in sampled),
        "adaptive": sum(ran),
        "ran": len(ran),
        "tokens": sum(len(program.token_ids) for program, *_ in sampled),
        "penalised": sum(sum(labels.penalised) for _, _, labels, _ in sampled),
        "surprise": -sum(sum(program.logprobs) for program, *_ in sampled),
    }


def global_metrics(sums: Mapping[str, float], ranks: int) -> StepMetrics:
    """What the step's metrics are, from the sums over all ranks; counters hold the step's own counts."""
    losses = {term: sums[f"loss/{term}"] for term in TERMS}
    found: StepMetrics = {m.LOSS.name: {**losses, "total": sum(losses.values())}}
    programs, tokens = sums["programs"], sums["tokens"]
    if programs:
        found |= {
            m.TRAINED.name: programs,
            m.LAG_MEAN.name: sums["lag"] / programs,
            m.LAG_MAX.name: max(sums[f"lag/{rank}"] for rank in range(ranks)),
            m.PASS_RATE.name: sums["passed"] / programs,
            m.TRUNCATED.name: sums["truncated"] / programs,
            m.REWARD_COARSE.name: sums["coarse"] / programs,
            m.PENALISED.name: sums["penalised"] / tokens,
            m.ENTROPY.name: sums["surprise"] / tokens,
        }
    if sums["ran"]:
        found[m.REWARD_ADAPTIVE.name] = sums["adaptive"] / sums["ran"]
    return found
