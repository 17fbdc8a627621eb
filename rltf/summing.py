"""From counted programs to an evaluation's summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from contracts.evaluation import PROGRAMS, EvaluationSummary
from contracts.records import Outcome
from contracts.summary import Evaluation, JudgedBy
from rltf.tally import Count, Tally, figures, grouped, standard_error, usable


@dataclass(frozen=True)
class About:
    """What a summary says beside what was counted."""

    main: str
    model: str | None
    judged_by: JudgedBy
    problems: int
    """Asked about."""
    ks: tuple[int, ...]
    settings: dict[str, Any]
    most_failed: float
    """Share of SANDBOX_ERRORs that is borne."""
    notes: tuple[str, ...] = ()


def summarise(tally: Tally, about: About, status: Literal["running", "interrupted", "done"]) -> EvaluationSummary:
    """What the programs counted so far come to."""
    by_problem = tally.settings.get(about.main, {})
    counts = list(by_problem.values())
    ks, incomplete, notes = usable(counts, about.ks, about.most_failed)
    notes = incomplete + notes
    by_difficulty = grouped(counts, lambda count: count.difficulty)
    by_split = grouped((count for count in counts if count.split), lambda count: count.split)
    whole = figures(counts, ks)
    without = about.problems - whole.problems
    for setting, found in tally.settings.items():
        if setting != about.main:
            notes += [f"at {setting} {note}" for note in usable(found.values(), about.ks, about.most_failed).incomplete]
    if without and status == "done":
        notes.append(f"{without} of {about.problems} problems have no program: no figure is about them")
    return EvaluationSummary(
        status=status,
        main=about.main,
        model=about.model,
        judged_by=about.judged_by,
        problems_without_programs=without,
        standard_error=standard_error(counts),
        by_difficulty={name: figures(group, ks) for name, group in by_difficulty.items()},
        by_split={name: figures(group, ks) for name, group in by_split.items()},
        evaluations={
            setting: evaluation(setting, list(found.values()), about.ks, about.most_failed)
            for setting, found in tally.settings.items()
            if setting != PROGRAMS
        },
        settings=about.settings,
        notes=[*about.notes, *notes],
        **{name: getattr(whole, name) for name in whole.__struct_fields__},
    )


def evaluation(setting: str, counts: Sequence[Count], asked: Sequence[int], most_failed: float) -> Evaluation:
    """The evaluation of one way of decoding, a count per problem."""
    ks = usable(counts, asked, most_failed).ks
    whole = figures(counts, ks)
    by_difficulty = grouped(counts, lambda count: count.difficulty)
    return Evaluation(
        temperature=temperature_of(setting),
        samples_per_problem=max(count.outcomes.total() for count in counts),
        pass_at_k=whole.pass_at_k,
        standard_error=standard_error(counts),
        outcomes={outcome.value: whole.outcomes[outcome.value] / whole.programs for outcome in Outcome},
        passed=[count.passed for count in counts],
        intervals=whole.intervals,
        errors=whole.errors,
        by_difficulty={name: figures(group, ks) for name, group in by_difficulty.items()} if len(by_difficulty) > 1 else {},
        gap=whole.gap,
    )


def temperature_of(setting: str) -> float:
    """0 for greedy decoding."""
    return 0.0 if setting == "greedy" else float(setting.removeprefix("T="))
