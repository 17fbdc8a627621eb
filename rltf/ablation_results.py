"""What an ablation has come to so far: read from its runs' summaries, kept as ablation.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import msgspec
import yaml

from contracts.config import Recipe
from contracts.files import write_in_one_move
from contracts.recipe import load_recipe
from contracts.records import Outcome
from contracts.summary import StageResult, Summary
from rltf.ablation_jobs import RECIPE_FILE, Job, arms_of, place_of, summary_of
from rltf.intervals import LEVEL, Interval, Scatter, difference, holm, interval, pooled_scatter
from rltf.passk import mean_and_error
from rltf.record import SHOWN, Table
from rltf.report import score

FILE = "ablation.json"


class Run(msgspec.Struct, kw_only=True):
    """One arm with one seed."""

    seed: int
    folder: str
    """Below the ablation's."""
    status: str
    """A summary's, or "missing"."""
    minutes: float = 0.0
    rates: dict[str, tuple[float, float]] = {}
    """Way of decoding → pass@1 and its standard error over problems."""
    outcomes: dict[str, float] = {}
    """Outcome → share of programs at the main figure's temperature."""
    start: dict[str, float] = {}
    """Way of decoding → pass@1 before the arm's training."""
    samples: int = 0
    """Programs per problem at the main figure's temperature."""
    passed: str = ""
    """How many of them passed, problem by problem: "8 0 3"; empty where the run's summary does not say."""


class Span(msgspec.Struct, kw_only=True):
    """A mean over seeds with its 95 % interval."""

    mean: float
    low: float
    high: float
    seeds: int


class Arm(msgspec.Struct, kw_only=True):
    """One arm over its seeds."""

    name: str
    about: str
    supervised: bool
    """Its figures are the supervised control's: it has no online training."""
    runs: list[Run]
    spans: dict[str, Span] = {}
    """Way of decoding → pass@1 over the seeds whose runs are done."""
    outcomes: dict[str, float] = {}
    """Mean over these."""
    minutes: float | None = None
    """Mean over these."""


class Pair(msgspec.Struct, kw_only=True):
    """How much more one arm reached than another in the main figure, paired by seed: `first` is the better of the two there.

    An arm's rank is by all of its own seeds, so that `first` need not be the one that ranks higher.
    """

    first: str
    second: str
    span: Span
    p: float
    p_holm: float | None
    """Corrected for the number of pairs; None where nothing is known of run-to-run scatter: one seed says nothing of others."""

    @property
    def testable(self) -> bool:
        """Can it be separated at all?"""
        return self.p_holm is not None

    @property
    def separated(self) -> bool:
        """At 95 %, taken alone."""
        return self.testable and self.p < 1 - LEVEL

    @property
    def separated_among_all(self) -> bool:
        """At 95 %, after Holm's correction."""
        return self.p_holm is not None and self.p_holm < 1 - LEVEL


class Results(msgspec.Struct, kw_only=True):
    """ablation.json."""

    name: str
    main: str | None = None
    """The main figure's way of decoding, such as "T=1.0"; None before the first run is done."""
    ways: list[str] = []
    problems: int = 0
    judged_by: str = ""
    arms: list[Arm] = []
    pairs: list[Pair] = []
    deviation: float = 0.0
    """Standard deviation of a run's main figure beyond what its arm and its seed explain, pooled over all arms."""
    df: int = 0
    """Degrees of freedom of that; 0: it is not known."""
    unequal_starts: list[int] = []
    """Seeds whose arms did not start from equal figures."""
    equal_starts: list[int] = []
    """Seeds of two arms or more that did."""


def gather(folder: Path) -> Results:
    """The results so far of an ablation's folder, all arms that were ever planned for it."""
    recipe = yaml.safe_load((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    results = Results(name=recipe["name"])
    for name, seeds in arms_of(folder).items():
        places = [place_of(folder, name, seed) for seed in seeds]
        first = load_recipe(places[0].with_suffix(".yaml"))
        arm = Arm(name=name, about=recipe["arms"][name]["about"], supervised=not first.online, runs=[])
        for seed, place in zip(seeds, places, strict=True):
            arm.runs.append(_run(seed, place, summary_of(place), first, results))
        _sum_up(arm)
        results.arms.append(arm)
    _compare(results)
    _compare_starts(results)
    return results


def write_results(results: Results, folder: Path) -> None:
    """Write ablation.json in one move."""
    write_in_one_move(folder / FILE, msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")


def result_of(summary: Summary, recipe: Recipe) -> StageResult | None:
    """What the arm is judged by: the model after online training, or the supervised control's where there is none."""
    return summary.final if recipe.online else summary.control


def main_rate(job: Job) -> float | None:
    """pass@1 of a run at its first temperature; None for a warm start."""
    summary = summary_of(job.recipe.folder)
    result = result_of(summary, job.recipe) if summary else None
    return result.pass_at_1 if result else None


def arms_table(results: Results) -> Table:
    """The closing table: the best arm first."""
    ways = results.ways
    rows = []
    for arm in by_rank(results):
        scores = [f"{arm.spans[way].mean:.3f} ± {half(arm.spans[way]):.3f}" if way in arm.spans else "–" for way in ways]
        shares = [f"{arm.outcomes.get(outcome, 0.0):.2f}" if arm.outcomes else "–" for outcome in SHOWN.values()]
        done = sum(run.status == "done" for run in arm.runs)
        rows.append([arm.name, f"{done}/{len(arm.runs)}", *scores, *shares])
    title = f"pass@1 on {results.problems} held-out problems: mean over seeds ± half a 95 % interval; errors at {results.main}"
    return title, ["arm", "seeds", *ways, *SHOWN], rows


def by_rank(results: Results) -> list[Arm]:
    """Arms by their main figure, the best first; those without one last."""
    return sorted(results.arms, key=lambda arm: -arm.spans[results.main].mean if results.main in arm.spans else 1.0)


def half(span: Span) -> float:
    """Half of the interval's width."""
    return (span.high - span.low) / 2


def _run(seed: int, place: Path, summary: Summary | None, recipe: Recipe, results: Results) -> Run:
    """One run's figures; the results learn from the first which ways of decoding there are."""
    run = Run(seed=seed, folder=f"seed{seed}/{place.name}", status=summary.status if summary else "missing")
    result = result_of(summary, recipe) if summary else None
    if not summary or summary.status != "done" or not result:
        return run
    main = f"T={recipe.eval.temperatures[0]}"
    if results.main is None:
        results.main, results.ways = main, [main, *(way for way in result.evaluations if way != main)]
        results.problems, results.judged_by = result.problems, result.judged_by
    run.minutes = sum(summary.seconds.values()) / 60
    run.rates = {way: (score(found).rate, score(found).error) for way, found in result.evaluations.items()}
    run.outcomes = result.evaluations[main].outcomes
    if judged := result.evaluations.get(results.main or main):
        run.samples, run.passed = judged.samples_per_problem, " ".join(map(str, judged.passed))
    if summary.start:
        run.start = {way: score(found).rate for way, found in summary.start.evaluations.items()}
    return run


def _sum_up(arm: Arm) -> None:
    done = [run for run in arm.runs if run.rates]
    if not done:
        return
    for way in done[0].rates:
        rates = [run.rates[way] for run in done if way in run.rates]
        arm.spans[way] = _span(interval([rate for rate, _ in rates], [error for _, error in rates]))
    arm.minutes = sum(run.minutes for run in done) / len(done)
    arm.outcomes = {
        outcome.value: sum(run.outcomes.get(outcome.value, 0.0) for run in done) / len(done)
        for outcome in Outcome
        if any(outcome.value in run.outcomes for run in done)
    }


def _compare(results: Results) -> None:
    """All pairs of arms with a common seed. None is corrected for the others where none can be separated anyway."""
    main = results.main
    if main is None:
        return
    runs = {arm.name: {run.seed: run for run in arm.runs if main in run.rates} for arm in by_rank(results)}
    scatter = pooled_scatter({(name, seed): run.rates[main][0] for name, those in runs.items() for seed, run in those.items()})
    results.deviation, results.df = scatter
    found = [(first, second, _between(runs[first], runs[second], main, scatter)) for first, second in combinations(runs, 2)]
    known = [(first, second, between) for first, second, between in found if between]
    corrected = holm([between.p for *_, between in known]) if scatter.df else [None] * len(known)
    for (first, second, between), p in zip(known, corrected, strict=True):
        if between.mean < 0:
            first, second, between = second, first, between._replace(mean=-between.mean)
        results.pairs.append(Pair(first=first, second=second, span=_span(between), p=between.p, p_holm=p))


def _between(first: Mapping[int, Run], second: Mapping[int, Run], main: str, scatter: Scatter) -> Interval | None:
    """How much more the first arm's runs, by seed, reached than the second's; None where they have no seed in common."""
    common = [(run, second[seed]) for seed, run in first.items() if seed in second]
    if not common:
        return None
    changes = [ours.rates[main][0] - theirs.rates[main][0] for ours, theirs in common]
    return difference(changes, [_paired_error(ours, theirs, main) for ours, theirs in common], scatter)


def _paired_error(first: Run, second: Run, main: str) -> float:
    """Standard error, over problems, of the difference between two runs' evaluations.

    By problem where the runs say how each went, as hard problems are hard for both; else as if they were of different problems.
    """
    ours, theirs = ([int(count) / run.samples for count in run.passed.split()] for run in (first, second))
    if ours and len(ours) == len(theirs):
        return mean_and_error([a - b for a, b in zip(ours, theirs, strict=True)])[1]
    return math.hypot(first.rates[main][1], second.rates[main][1])


def _compare_starts(results: Results) -> None:
    starts: dict[int, list[dict[str, float]]] = {}
    for run in (run for arm in results.arms for run in arm.runs if run.start):
        starts.setdefault(run.seed, []).append(run.start)
    for seed, those in sorted(starts.items()):
        if len(those) > 1:
            (results.equal_starts if _all_equal(those) else results.unequal_starts).append(seed)


def _all_equal(items: Sequence[object]) -> bool:
    return all(item == items[0] for item in items)


def _span(found: Interval) -> Span:
    return Span(mean=found.mean, low=found.low, high=found.high, seeds=found.seeds)
