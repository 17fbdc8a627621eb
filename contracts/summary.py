"""The schema of summary.json: what a run came to. Written when a stage ends, so that an interrupted run has one too."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from contracts.files import write_in_one_move

JudgedBy = Literal["hidden tests", "visible tests", "hidden and visible tests"]
"""What decides a program's outcome: of each problem the hidden tests, where it has some."""


class Gap(msgspec.Struct, kw_only=True):
    """Programs for problems with hidden tests, by the tests that training sees and by those that it doesn't."""

    programs: int
    """Judged by both."""
    visible: float
    """Share that passes the visible tests."""
    both: float
    """Share that passes the hidden ones as well."""
    overfit: int
    """Programs that pass the visible tests and not the hidden ones."""


class Figures(msgspec.Struct, kw_only=True):
    """What programs came to: all of them, or those of one difficulty or split."""

    problems: int
    """With a program at least: estimates are over these."""
    programs: int
    pass_at_k: dict[str, float]
    """k → mean over problems of 1 − C(n−c, k)/C(n, k) (Chen et al. 2021, arXiv 2107.03374)."""
    intervals: dict[str, tuple[float, float]]
    """k → where the 95 % interval of that over problems begins and ends."""
    outcomes: dict[str, int]
    """Outcome → programs."""
    errors: dict[str, int]
    """Exception class or kind of error → programs, the commonest first."""
    gap: Gap | None = None
    """None: no problem has hidden tests."""


class Evaluation(msgspec.Struct, kw_only=True):
    """Held-out problems judged by hidden tests at one way of decoding."""

    temperature: float
    """0: greedy."""
    samples_per_problem: int
    pass_at_k: dict[str, float]
    """k → mean over problems of 1 − C(n−c, k)/C(n, k) (Chen et al. 2021, arXiv 2107.03374)."""
    standard_error: float
    """Of pass@1, over problems."""
    outcomes: dict[str, float]
    """Outcome → share of programs."""
    passed: list[int] = []
    """Programs that passed, problem by problem, in the problem set's order; empty in summaries from before it was kept."""
    intervals: dict[str, tuple[float, float]] = {}
    """As in `Figures`; empty, like what follows, in summaries from before it was kept."""
    errors: dict[str, int] = {}
    """Exception class or kind of error → programs, the commonest first."""
    by_difficulty: dict[str, Figures] = {}
    """Only where problems are of more than one difficulty."""
    gap: Gap | None = None


class StageResult(msgspec.Struct, kw_only=True):
    """A model's held-out evaluation."""

    pass_at_1: float
    """At the recipe's first temperature."""
    problems: int
    judged_by: JudgedBy
    evaluations: dict[str, Evaluation]
    """"greedy" or "T=1.0" → result."""


class Lag(msgspec.Struct, kw_only=True):
    """Policy lag of all trained samples, in optimizer steps."""

    mean: float = 0.0
    maximum: int = 0
    bound: int | None = None
    """What it can be at most; None: nothing bounds it."""
    formula: str = ""


class Summary(msgspec.Struct, kw_only=True):
    """summary.json."""

    name: str
    status: Literal["running", "interrupted", "failed", "done"] = "running"
    seed: int = 0
    steps: int = 0
    """Optimizer steps of the online stage so far."""
    start: StageResult | None = None
    """After the warm start."""
    control: StageResult | None = None
    """After as many supervised steps from the same start."""
    final: StageResult | None = None
    """After online RLTF."""
    versions_published: int = 0
    samples_labelled: int = 0
    """Programs that entered the buffer, greedy ones not counted."""
    samples_trained: int = 0
    samples_evicted: dict[str, int] = {}
    """Reason → programs."""
    outcomes: dict[str, int] = {}
    """Outcome → labelled programs of the online stage."""
    errors: dict[str, int] = {}
    """Exception class or kind of error → labelled programs."""
    lag: Lag = msgspec.field(default_factory=Lag)
    seconds: dict[str, float] = {}
    """Stage → wall time."""
    step_seconds: float | None = None
    """Median wall time between two optimizer steps of the online stage."""
    problems: dict[str, int] = {}
    """Counts of training and held-out problems, of those dropped and why, and of characters cut from prompts."""
    model: dict[str, str | int] = {}
    """Architecture and number of parameters."""
    versions: dict[str, str] = {}
    """Library → version."""
    error: str | None = None
    """Why the run failed."""


def write_summary(summary: Summary, path: Path) -> None:
    """Write the summary in one move: a reader sees the old one or the new one."""
    write_in_one_move(path, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def read_summary(path: Path) -> Summary:
    """Read a run's summary. Raises msgspec.ValidationError where it is not one."""
    return msgspec.json.decode(path.read_bytes(), type=Summary)
