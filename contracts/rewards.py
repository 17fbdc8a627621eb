"""The reward table: which feedback a verdict earns (RLTF, section 3.3; the values are the published runs')."""

from __future__ import annotations

from contracts.records import Outcome, Verdict
from contracts.sections import RewardsConfig


def coarse_reward(verdict: Verdict, table: RewardsConfig) -> float:
    """R_coarse: pass +1.0, failure −0.3, runtime error −0.6, syntax error −1.0 unless the recipe says otherwise.

    Raises ValueError for SANDBOX_ERROR, which is never scored.
    """
    match verdict.outcome:
        case Outcome.PASS:
            return table.passed
        case Outcome.FAILURE:
            return table.failure
        case Outcome.RUNTIME_ERROR:
            return table.runtime_error
        case Outcome.SYNTAX_ERROR:
            return table.syntax_error
    raise ValueError("a SANDBOX_ERROR is never scored")


def adaptive_reward(verdict: Verdict, table: RewardsConfig) -> float | None:
    """R_adaptive = −0.3 + 1.3 · N_pass / (N_pass + N_fail); None for a program that did not run on every test."""
    if verdict.outcome not in (Outcome.PASS, Outcome.FAILURE):
        return None
    return table.failure + (table.passed - table.failure) * verdict.passed / verdict.total
