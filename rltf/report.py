"""A run as one self-contained HTML page: what came out, how it went, some programs, and what it took.

Works on a run that is still going on or was interrupted: the page says what is not there yet. Texts of programs and
problems are hostile: the template escapes everything but our own drawings, and the page forbids scripts and network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError

from contracts import metrics
from contracts.counts import summed
from contracts.errors import UserError
from contracts.files import write_in_one_move
from contracts.metrics import Metric
from contracts.objective import ObjectiveConfig
from contracts.records import Outcome
from contracts.summary import Evaluation, Figures, StageResult, Summary, read_summary
from rltf import plots
from rltf.examples import Example, read_examples
from rltf.monitor import read_metrics
from rltf.passk import interval_over_problems
from rltf.recording import SAMPLES
from rltf.tally import easiest_first
from rltf.wording import FEW, heldout, objective_in_words

FILE = "report.html"
_ERRORS_SHOWN = 15
_PARTS = {
    "config.yaml": "the recipe",
    "metrics.jsonl": "the measurements of each step",
    "summary.json": "the results",
    "examples.jsonl": "sample programs",
}


def write_report(folder: Path) -> Path:
    """Write folder/report.html in one move and return its path.

    Raises UserError where the folder holds no readable run, or an evaluation.
    """
    if (folder / SAMPLES).is_file():
        raise UserError(f"{folder} is an evaluation", "`rltf compare` reads it, `rltf report` is for runs")
    try:
        view = _view(folder)
    except (msgspec.DecodeError, yaml.YAMLError, ValidationError) as err:
        raise UserError(
            f"a file of the run in {folder} cannot be read: {err}", "Move it away to see the rest of the run"
        ) from err
    environment = Environment(
        loader=PackageLoader("rltf"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("report.html.j2").render(view)
    write_in_one_move(folder / FILE, page.encode("utf-8", errors="backslashreplace"))
    return folder / FILE


def _view(folder: Path) -> dict[str, Any]:
    """What the template shows."""
    config_path, summary_path = folder / "config.yaml", folder / "summary.json"
    all_rows = read_metrics(folder)
    rows = [row for row in all_rows if row["stage"] == "online"]
    if not any((folder / name).exists() for name in _PARTS):
        raise UserError(f"{folder} holds no run", "Name a run's folder, for example runs/local")
    config_text = config_path.read_text(encoding="utf-8") if config_path.exists() else ""
    config: dict[str, Any] = yaml.safe_load(config_text) or {}
    summary = read_summary(summary_path) if summary_path.exists() else Summary(name=config.get("name", folder.name))
    temperature = _main_temperature(config, summary)
    models = _models(summary)
    examples = read_examples(folder)
    return {
        "summary": summary,
        "step": max(summary.steps, _last(rows, metrics.STEP, 0)),
        "steps_wanted": config.get("steps"),
        "online": config.get("online", True),
        "headline": headline(summary, temperature, online=config.get("online", True)),
        "missing": [what for name, what in _PARTS.items() if not (folder / name).exists()],
        "models": list(models),
        "measured_on": heldout(summary.start.problems) if summary.start else None,
        "few": FEW,
        "scores": _scores(models),
        "mix": _outcome_shares(models, temperature),
        "difficulties": _difficulties(models, temperature),
        "gaps": _gaps(models, temperature),
        "temperature": temperature,
        "objective": _objective(config),
        "corpus": _corpus(config),
        "drawings": _drawings(models, rows, summary.lag.bound),
        "examples": [(example, list(pieces(example))) for example in examples],
        "finds": any(example.findings for example in examples),
        "colours": {outcome.value: colour for outcome, colour in plots.COLOURS.items()},
        "config_text": config_text,
        "busy": _busy(all_rows),
        **_counts(summary, rows),
    }


def _counts(summary: Summary, rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What was counted: by the summary, and before there is one by the newest measurements."""
    last = rows[-1] if rows else {}
    outcomes: dict[str, float] = dict(summary.outcomes) or summed(last, metrics.PROGRAMS, "outcome", split="train")
    errors: dict[str, float] = dict(summary.errors) or summed(last, metrics.ERRORS, "error")
    return {
        "programs": {
            "labelled": summary.samples_labelled or sum(outcomes.values()),
            "used by an optimizer step": summary.samples_trained or _last(rows, metrics.TRAINED, 0),
        },
        "outcomes": outcomes,
        "errors": dict(sorted(errors.items(), key=lambda item: -item[1])[:_ERRORS_SHOWN]),
        "evicted": dict(summary.samples_evicted) or _last(rows, metrics.EVICTED, {}),
    }


def _busy(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Busy seconds of the online stage by part: those of other stages are counted too, in the rows before."""
    online = [row["stage"] == "online" for row in rows]
    if True not in online:
        return {}
    before = _last(rows[: online.index(True)], metrics.PHASE_SECONDS, {})
    newest = _last([row for row, there in zip(rows, online, strict=True) if there], metrics.PHASE_SECONDS, {})
    return {phase: seconds - before.get(phase, 0.0) for phase, seconds in newest.items()}


def _objective(config: Mapping[str, Any]) -> str | None:
    """What was optimised, in words; None where nothing was trained online."""
    if "objective" not in config or not config.get("online", True):
        return None
    return objective_in_words(ObjectiveConfig.model_validate(config["objective"]))


def _main_temperature(config: Mapping[str, Any], summary: Summary) -> float:
    """The temperature of the run's main figure: the recipe's first, or else the first that was evaluated."""
    wanted = config.get("eval", {}).get("temperatures")
    if wanted:
        return float(wanted[0])
    results = [result for result in (summary.start, summary.control, summary.final) if result]
    sampled = [evaluation.temperature for result in results for evaluation in result.evaluations.values()]
    return next((temperature for temperature in sampled if temperature > 0), 1.0)


class Score(NamedTuple):
    """A pass rate and its standard error."""

    rate: float
    error: float

    def __str__(self) -> str:
        """Two decimals, more where the error's first digit is further behind."""
        digits = min(4, max(2, -math.floor(math.log10(self.error)))) if self.error > 0 else 2
        return f"{self.rate:.{digits}f} ± {self.error:.{digits}f}"

    def minus(self, other: Score) -> Score:
        """The difference; its error takes the two as independent, which errs on the careful side for the same problems."""
        return Score(self.rate - other.rate, (self.error**2 + other.error**2) ** 0.5)

    def is_clear(self, problems: int) -> bool:
        """A difference of more than two standard errors, over problems that are not `FEW`.

        Where all problems agree on it, it has no error: then 0 has to be outside of the interval that `rltf compare` gives it.
        """
        if problems < FEW:
            return False
        if self.error == 0:
            low, high = interval_over_problems([self.rate] * problems, least=-1.0)
            return low > 0 or high < 0
        return abs(self.rate) > 2 * self.error


def headline(summary: Summary, temperature: float, *, online: bool = True) -> str:
    """The result in a sentence; it says "rose" or "fell" only where the change is clear, and never of a few problems.

    `online` false: by the recipe's choice there is no online training.
    """
    problems = min((result.problems for result in (summary.start, summary.control, summary.final) if result), default=0)
    figure = f"Held-out pass@1 at T = {temperature}"
    start, control, final = (_score_at(result, temperature) for result in (summary.start, summary.control, summary.final))
    if start and not online:
        supervised = f" before and {control} after the control's supervised steps" if control else ""
        return f"{figure} is {start}{supervised}; the recipe asks for no online training."
    if not final:
        return (
            f"{figure} was {start} before online training; there is no result after it yet."
            if start
            else ("No model of this run has been evaluated yet.")
        )
    if not start:
        return f"{figure} is {final} after online training; there is no result from before it."
    if problems < FEW:
        supervised = f", and {control.rate:.2f} after as many supervised steps alone" if control else ""
        return (
            f"{figure} was {start.rate:.2f} before and {final.rate:.2f} after online training{supervised}: "
            f"{heldout(problems)}, too few to claim a difference."
        )
    change = final.minus(start)
    if not change.is_clear(problems):
        sentence = f"{figure} did not change by more than chance may: {start} before, {final} after online training"
    else:
        sentence = f"{figure} {'rose' if change.rate > 0 else 'fell'} from {start} to {final}"
    if not control:
        return f"{sentence}. Whether supervised steps alone would have done as much was not tried."
    lead = final.minus(control)
    ending = f"ahead by {lead}" if lead.rate > 0 else f"behind by {Score(-lead.rate, lead.error)}"
    told = f"RLTF is {ending}" if lead.is_clear(problems) else f"the two cannot be told apart (difference {lead})"
    return f"{sentence}; as many supervised steps alone reached {control}: {told}."


def _score_at(result: StageResult | None, temperature: float) -> Score | None:
    found = result.evaluations.values() if result else ()
    return next((score(evaluation) for evaluation in found if evaluation.temperature == temperature), None)


def score(evaluation: Evaluation) -> Score:
    """Its pass@1; where the recipe asks for other k only, the share of programs that pass, which is the same."""
    rate = evaluation.pass_at_k.get("1", evaluation.outcomes.get(Outcome.PASS.value, 0.0))
    return Score(rate, evaluation.standard_error)


def _models(summary: Summary) -> dict[str, StageResult]:
    """The models that were evaluated, by the name that the page calls them."""
    results = {"start": summary.start, "control": summary.control, "RLTF": summary.final}
    return {name: result for name, result in results.items() if result}


def _scores(models: Mapping[str, StageResult]) -> list[tuple[str, list[str]]]:
    """The rows of the table of pass rates: what is measured, and one cell per model."""
    ways = dict.fromkeys(way for result in models.values() for way in result.evaluations)
    table = []
    for way in ways:
        found = [result.evaluations.get(way) for result in models.values()]
        name = way.replace("T=", "T = ")
        table.append((f"pass@1, {name}", [str(score(evaluation)) if evaluation else "–" for evaluation in found]))
        for k in dict.fromkeys(k for evaluation in found if evaluation for k in evaluation.pass_at_k if k != "1"):
            rates = [evaluation.pass_at_k.get(k) if evaluation else None for evaluation in found]
            table.append((f"pass@{k}, {name}", ["–" if rate is None else f"{rate:.2f}" for rate in rates]))
    return table


def _outcome_shares(models: Mapping[str, StageResult], temperature: float) -> list[tuple[str, list[str]]]:
    """The rows of the table of outcomes at the main temperature: outcome, and one share per model."""
    found = _at(models, temperature)
    seen = [outcome.value for outcome in Outcome if any(evaluation and outcome in evaluation.outcomes for evaluation in found)]
    return [
        (name, [_percent(evaluation.outcomes.get(name, 0.0)) if evaluation else "–" for evaluation in found]) for name in seen
    ]


def _percent(share: float) -> str:
    """Rounded as pass@1's two decimals are: 0.665 is 0.67 there, and 66 % on its own."""
    return f"{float(f'{share:.2f}'):.0%}"


def _difficulties(models: Mapping[str, StageResult], temperature: float) -> list[tuple[str, list[str]]]:
    """The rows of pass@1 by difficulty at the main temperature, each rate with its 95 % interval; none where all are of one."""
    found = _at(models, temperature)
    table = []
    for name in easiest_first({name for evaluation in found if evaluation for name in evaluation.by_difficulty}):
        parts = [evaluation.by_difficulty.get(name) if evaluation else None for evaluation in found]
        count = max(part.problems for part in parts if part)
        table.append((f"{name}, {count} problem{'s' if count > 1 else ''}", [_with_interval(part) for part in parts]))
    return table


def _with_interval(part: Figures | None) -> str:
    if part is None or "1" not in part.pass_at_k:
        return "–"
    low, high = part.intervals["1"]
    return f"{part.pass_at_k['1']:.2f} ({low:.2f} … {high:.2f})"


def _gaps(models: Mapping[str, StageResult], temperature: float) -> list[tuple[str, list[str]]]:
    """The rows of what programs pass at the main temperature: visible tests, and hidden ones as well."""
    gaps = [evaluation.gap if evaluation else None for evaluation in _at(models, temperature)]
    if not any(gaps):
        return []
    return [
        ("pass the visible tests", [f"{gap.visible:.1%}" if gap else "–" for gap in gaps]),
        ("pass the hidden ones as well", [f"{gap.both:.1%}" if gap else "–" for gap in gaps]),
    ]


def _at(models: Mapping[str, StageResult], temperature: float) -> list[Evaluation | None]:
    """Each model's evaluation at a temperature."""
    return [
        next((evaluation for evaluation in result.evaluations.values() if evaluation.temperature == temperature), None)
        for result in models.values()
    ]


def _corpus(config: Mapping[str, Any]) -> str:
    """What supervised steps imitate, in words: a noisy corpus and correct solutions make very different controls."""
    problems = config.get("problems", {})
    primer = problems.get("primer", {})
    rate, misunderstood = primer.get("bug_rate"), primer.get("misunderstood")
    if problems.get("path"):
        corpus = "the problem set's own corpus where it ships one, and else its reference solutions"
    else:
        share = "some" if rate is None else f"{rate:.0%}"
        corpus = f"the generated problem set's corpus, in which {share} of the programs carry an injected bug"
        if misunderstood:
            corpus += (
                f" and, in {misunderstood:.0%} of the problem families, {primer['misconception_rate']:.0%} follow a wrong idea "
                "that is the same in all of the family's problems"
            )
    return f"those programs that pass their problem's tests of {corpus}" if problems.get("corpus") == "verified" else corpus


def _drawings(models: Mapping[str, StageResult], rows: list[dict[str, Any]], lag_bound: int | None) -> dict[str, Markup | None]:
    scores = {name: {way: score(evaluation) for way, evaluation in result.evaluations.items()} for name, result in models.items()}
    drawn = {
        "pass": plots.pass_at_1(scores) if scores else None,
        "outcomes": plots.outcome_mix(rows),
        "difficulties": plots.pass_by_difficulty(rows),
        "rewards": plots.rewards(rows),
        "lag": plots.lag(rows, lag_bound),
        "programs": plots.programs_per_second(rows),
        "seconds": plots.seconds_per_step(rows),
        "losses": plots.losses(rows),
        "advantages": plots.advantages(rows),
        "shares": plots.shares(rows),
        "entropy": plots.entropy(rows),
        "kl": plots.divergences(rows),
        "ratios": plots.ratios(rows),
        "effective": plots.effective(rows),
    }
    return {name: Markup(svg) if svg else None for name, svg in drawn.items()}


def _last(rows: list[dict[str, Any]], metric: Metric, otherwise: Any) -> Any:
    return next((row[metric.name] for row in reversed(rows) if metric.name in row), otherwise)


class Piece(NamedTuple):
    """Some of a program's text: one token that feedback marks, or all between two of them."""

    text: str
    penalised: bool = False
    static: bool = False


def pieces(example: Example) -> Iterator[Piece]:
    """The program's text, cut at its penalised tokens and those of static findings; together the pieces are the text.

    Tokens that hold parts of one character share its offsets: the first of them shows it.
    """
    shown = 0
    static = example.static or [False] * len(example.starts)
    for start, end, penalised, found in zip(example.starts, example.ends, example.penalised, static, strict=True):
        start = max(start, shown)
        if not (penalised or found) or start >= end:
            continue
        if start > shown:
            yield Piece(example.text[shown:start])
        yield Piece(example.text[start:end], penalised=penalised, static=found)
        shown = end
    if shown < len(example.text):
        yield Piece(example.text[shown:])
