"""What an evaluation came to, for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from contracts.evaluation import EvaluationSummary
from contracts.summary import Evaluation, Figures, Gap
from rltf.progress import Progress
from rltf.record import SHOWN

_ERRORS_SHOWN = 8


def show(summary: EvaluationSummary, progress: Progress, folder: Path) -> None:
    """pass@k with intervals by way of decoding and by difficulty, the commonest errors, and what else has to be known."""
    ks = list(summary.pass_at_k)
    progress.note(f"{summary.problems} problems, judged by {summary.judged_by}; in brackets 95 % intervals over problems")
    rows = [_row(setting, found, ks) for setting, found in summary.evaluations.items()] or [_row(summary.main, summary, ks)]
    progress.table("pass@k", ["decoding", *(f"pass@{k}" for k in ks), *SHOWN], rows)
    of = f" at {summary.main}" if summary.evaluations else ""
    for what, parts in (("difficulty", summary.by_difficulty), ("split", summary.by_split)):
        if len(parts) > 1:
            parted = [[name, str(part.problems), *_row("", part, ks)[1:]] for name, part in parts.items()]
            progress.table(f"by {what}{of}", [what, "problems", *(f"pass@{k}" for k in ks), *SHOWN], parted)
    if summary.errors:
        common = list(summary.errors.items())[:_ERRORS_SHOWN]
        shares = [[kind, str(count), f"{count / summary.programs:.1%}"] for kind, count in common]
        progress.table(f"errors of {summary.programs} programs{of}", ["error", "programs", "share"], shares)
    if summary.gap:
        progress.note(f"{gap_in_words(summary.gap)}{of}")
    for note in summary.notes:
        progress.note(note)
    progress.note(f"evaluation: {folder / 'summary.json'}")


def gap_in_words(gap: Gap) -> str:
    """How far the visible tests alone flatter."""
    return (
        f"visible tests: {gap.visible:.1%} pass, hidden ones too: {gap.both:.1%}; {gap.overfit} of {gap.programs} programs pass "
        "the visible tests and fail the hidden ones"
    )


def _row(name: str, found: Evaluation | Figures, ks: list[str]) -> list[str]:
    shares = _shares(found)
    rates = [_rate(found, k) for k in ks]
    return [name, *rates, *(f"{shares[outcome.value]:.2f}" for outcome in SHOWN.values())]


def _rate(found: Evaluation | Figures, k: str) -> str:
    if k not in found.pass_at_k:
        return ""
    low, high = found.intervals[k]
    return f"{found.pass_at_k[k]:.3f} ({low:.3f} … {high:.3f})"


def _shares(found: Evaluation | Figures) -> Mapping[str, float]:
    if isinstance(found, Evaluation):
        return found.outcomes
    return {outcome: count / found.programs for outcome, count in found.outcomes.items()}
