"""What a run came to: keeps summary.json up to date as stages end."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.records import Category, LabelledGroup, Outcome, Problem
from contracts.summary import Lag, StageResult, Summary, read_summary, write_summary
from problems.sets import ProblemSet
from rltf.examples import Example
from rltf.lag import lag_bound
from rltf.monitor import FILE
from rltf.runs import RunFolder, State
from rltf.totals import Totals
from rltf.wording import heldout

LIBRARIES = ("torch", "transformers", "deepspeed", "ray", "redis", "msgspec", "pydantic")
TITLES = {"start": "start", "control": "control", "final": "RLTF"}

SHOWN = {"syntax": Outcome.SYNTAX_ERROR, "runtime": Outcome.RUNTIME_ERROR, "failure": Outcome.FAILURE}
Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]


class _Row(msgspec.Struct):
    """As much of a row of metrics.jsonl as is summed up."""

    stage: str
    step_seconds: float = 0.0


class Record:
    """A run's summary, written after each change."""

    def __init__(self, recipe: Recipe, folder: RunFolder, state: State, *, resume: bool) -> None:
        self._recipe = recipe
        self._path = folder.path / "summary.json"
        self._step_seconds = list(_step_seconds(folder.path / FILE))
        if resume and self._path.is_file():
            self._summary = read_summary(self._path)
            self._summary.status, self._summary.error = "running", None
        else:
            versions = {name: version(name) for name in LIBRARIES}
            self._summary = Summary(name=recipe.name, seed=recipe.seed, versions=versions, lag=lag_bound(recipe))
        self.progressed(state.step, state.totals)

    def problems(self, problems: ProblemSet) -> None:
        """The problem set is there."""
        self._summary.problems |= {
            "train": len(problems.train),
            "heldout": len(problems.heldout),
            "dropped_without_tests": problems.dropped_without_tests,
            "dropped_by_check": problems.dropped_by_check,
        }
        self._write()

    def corpus(self, programs: int, kept: int) -> None:
        """The corpus's programs have been run, and those kept that pass."""
        self._summary.problems |= {"corpus_programs": programs, "corpus_programs_kept": kept}
        self._write()

    def model(self, description: dict[str, str | int]) -> None:
        """The model is there."""
        self._summary.model = description
        self._write()

    def stepped(self, seconds: float) -> None:
        """The online stage has made a step, which has taken so long."""
        self._step_seconds.append(seconds)

    def progressed(self, step: int, totals: Totals) -> None:
        """The online stage has come to a checkpoint, or to its end."""
        summary = self._summary
        bound = lag_bound(self._recipe)
        summary.steps = step
        summary.outcomes, summary.errors = totals.outcomes, totals.errors
        summary.samples_labelled = sum(summary.outcomes.values())
        summary.samples_trained = totals.trained
        summary.samples_evicted = totals.samples_evicted
        summary.versions_published = totals.published
        summary.lag = Lag(mean=totals.lag_mean, maximum=totals.lag_max, bound=bound.bound, formula=bound.formula)
        summary.problems["prompt_characters_cut"] = totals.prompt_cut
        if self._step_seconds:
            summary.step_seconds = statistics.median(self._step_seconds)
        self._write()

    def evaluated(self, stage: str, result: StageResult) -> None:
        """The evaluation `start`, `control` or `final` has ended."""
        setattr(self._summary, stage, result)
        self._write()

    def result(self, stage: str) -> StageResult | None:
        """An evaluation's result, None where it hasn't been made."""
        result: StageResult | None = getattr(self._summary, stage)
        return result

    def took(self, stage: str, seconds: float) -> None:
        """A stage's wall time; a resumed stage's times add up."""
        self._summary.seconds[stage] = self._summary.seconds.get(stage, 0.0) + seconds
        self._write()

    def finish(self, status: Literal["interrupted", "failed", "done"], err: BaseException | None = None) -> None:
        """The run has ended."""
        self._summary.status = status
        if err is not None and status == "failed":
            cause = getattr(err, "cause", err)  # Ray wraps what an actor raised
            self._summary.error = str(cause) if isinstance(cause, UserError) else f"{type(cause).__name__}: {cause}"
        self._write()

    def wants_example(self, step: int) -> bool:
        """Is this a step whose example the report keeps? About `monitor.examples` of them, spread over the run."""
        wanted = self._recipe.monitor.examples
        return wanted > 0 and step % max(1, self._recipe.steps // wanted) == 0

    def table(self) -> Table:
        """The closing table: start / control / RLTF."""
        results = {title: result for stage, title in TITLES.items() if (result := self.result(stage)) is not None}
        return results_table(results)

    def _write(self) -> None:
        write_summary(self._summary, self._path)


def _step_seconds(metrics: Path) -> Iterator[float]:
    """How long the online steps took that were made before; a last line without its end is none."""
    if not metrics.exists():
        return
    with metrics.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n") and (row := msgspec.json.decode(line, type=_Row)).stage == "online":
                yield row.step_seconds


def results_table(results: Mapping[str, StageResult]) -> Table:
    """One row per evaluated model: pass@1 at each way of decoding, and the errors at the first temperature."""
    first = next(iter(results.values()))
    settings = list(first.evaluations)
    main = next(setting for setting in settings if first.evaluations[setting].temperature > 0)
    rows = []
    for title, result in results.items():
        scores = [result.evaluations[setting] for setting in settings]
        rows.append(
            [title]
            + [f"{score.pass_at_k['1']:.3f} ± {score.standard_error:.3f}" for score in scores]
            + [f"{result.evaluations[main].outcomes[outcome]:.2f}" for outcome in SHOWN.values()]
        )
    title = f"pass@1 on {heldout(first.problems)}, judged by {first.judged_by}; shares of errors at {main}"
    return title, ["model", *settings, *SHOWN], rows


def example_of(entry: LabelledGroup, problems: Sequence[Problem], step: int) -> Example:
    """One sampled program of a group for the report: one with a located error where there is one, or else with a finding.

    Every third step a wrong answer comes first: their tests say what was expected.
    """
    programs = list(zip(entry.group.programs, entry.verdicts, entry.labels, strict=True))
    sampled = [row for row in programs if not row[0].greedy]
    located = [row for row in sampled if row[1].category is Category.LINE]
    found = [row for row in sampled if row[1].findings]
    wrong = [row for row in sampled if row[1].outcome is Outcome.FAILURE and step % 3 == 0]
    program, verdict, labels = (wrong or located or found or sampled)[0]
    return Example(
        step=step,
        policy_version=entry.group.policy_version,
        problem_id=entry.group.problem_id,
        question=next(problem.question for problem in problems if problem.id == entry.group.problem_id),
        text=program.text,
        starts=program.starts,
        ends=program.ends,
        penalised=labels.penalised,
        static=labels.static,
        findings=[finding.message for finding in verdict.findings],
        outcome=verdict.outcome,
        detail=verdict.detail,
        error_type=verdict.error_type,
        message=verdict.message,
        passed=verdict.passed,
        total=verdict.total,
        category=verdict.category,
        coarse=labels.coarse,
        fine=labels.fine,
        adaptive=labels.adaptive,
    )
