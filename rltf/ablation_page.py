"""An ablation as one self-contained HTML page: what can be said, and what can't; the figures; the recipe.

It can be watched while runs go on: it is written anew after each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from contracts.files import write_in_one_move
from rltf import ablation_plot, plots
from rltf.ablation_jobs import RECIPE_FILE
from rltf.ablation_results import Arm, Pair, Results, Span, by_rank, gather, half, write_results

FILE = "ablation.html"


def refresh(folder: Path) -> Path:
    """Write the figures and the page of an ablation's folder as its runs are now; returns the page's path."""
    results = gather(folder)
    write_results(results, folder)
    return write_page(results, folder)


def write_page(results: Results, folder: Path) -> Path:
    """Write folder/ablation.html in one move and return its path."""
    environment = Environment(
        loader=PackageLoader("rltf"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["span"] = span_text
    page = environment.get_template("ablation.html.j2").render(_view(results, folder))
    write_in_one_move(folder / FILE, page.encode("utf-8", errors="backslashreplace"))
    return folder / FILE


def headline(results: Results) -> list[str]:
    """What the figures say, in sentences: the best arm, what it is ahead of or behind, and from what it can't be told apart."""
    ranked = [arm for arm in by_rank(results) if results.main in arm.spans]
    if results.main is None or not ranked:
        return ["No run is done yet."]
    best, span = ranked[0], ranked[0].spans[results.main]
    over = "one seed" if span.seeds == 1 else f"{span.seeds} seeds"
    said = [f"{best.name} has the highest mean pass@1 at {results.main.replace('T=', 'T = ')}: {span_text(span)} over {over}."]
    if len(ranked) < 2:
        return said
    if all(not pair.testable for pair in results.pairs):
        return [*said, "With one seed nothing can be separated beyond evaluation error: another seed may turn any order round."]
    return [*said, *_about_best(best, results.pairs), _about_pairs(results.pairs)]


def _about_best(best: Arm, pairs: Sequence[Pair]) -> list[str]:
    """Of the best arm's pairs: those separated among all pairs, those separated only when taken alone, and those that aren't.

    On the seeds that both have it may also be behind an arm, whose other seeds went worse.
    """
    ahead = [pair for pair in pairs if pair.first == best.name]
    behind = [pair for pair in pairs if pair.second == best.name]
    kinds = (
        ("it is ahead of {} at 95 %, also after Holm's correction", _among(ahead)),
        ("it is ahead of {} when taken alone at 95 %, but not after Holm's correction", _alone(ahead)),
        ("on common seeds it is behind {} at 95 %, also after Holm's correction", _among(behind)),
        ("on common seeds it is behind {} when taken alone at 95 %, but not after Holm's correction", _alone(behind)),
        ("it cannot be told apart from {}", [pair for pair in pairs if pair in ahead + behind and not pair.separated]),
    )
    text = "; ".join(words.format(", ".join(_other(pair, best.name) for pair in those)) for words, those in kinds if those)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def _among(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.separated_among_all]


def _alone(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.separated and not pair.separated_among_all]


def _about_pairs(pairs: Sequence[Pair]) -> str:
    alone, among = sum(pair.separated for pair in pairs), sum(pair.separated_among_all for pair in pairs)
    count = "The one pair is" if len(pairs) == 1 else f"Of {len(pairs)} pairs of arms"
    if len(pairs) == 1:
        return f"{count} {'separated' if alone else 'not separated'} at 95 %."
    return f"{count}, {alone} are separated at 95 % when taken alone, and {among} after Holm's correction for their number."


def verdict(pair: Pair) -> str:
    """What may be said of a pair."""
    if not pair.testable:
        return "one seed: cannot be separated"
    if pair.separated_among_all:
        return "separated"
    return "separated only if taken alone" if pair.separated else "not separated"


def span_text(span: Span) -> str:
    """A mean and half of its interval's width: "0.512 ± 0.034"."""
    return f"{span.mean:.3f} ± {half(span):.3f}"


def _other(pair: Pair, name: str) -> str:
    return pair.second if pair.first == name else pair.first


def _view(results: Results, folder: Path) -> dict[str, Any]:
    """What the template shows."""
    text = (folder / RECIPE_FILE).read_text(encoding="utf-8")
    drawing = ablation_plot.arms(results)
    runs = [run for arm in results.arms for run in arm.runs]
    return {
        "results": results,
        "headline": headline(results),
        "arms": by_rank(results),
        "pairs": [(pair, verdict(pair)) for pair in results.pairs],
        "paired": all(run.passed for run in runs if run.rates),
        "outcomes": list(dict.fromkeys(outcome for arm in results.arms for outcome in arm.outcomes)),
        "colours": {outcome.value: colour for outcome, colour in plots.COLOURS.items()},
        "drawing": Markup(drawing) if drawing else None,
        "done": sum(run.status == "done" for run in runs),
        "runs": len(runs),
        "unfinished": [(arm.name, run) for arm in results.arms for run in arm.runs if run.status != "done"],
        "seeds": list(dict.fromkeys(sorted(run.seed for run in runs))),
        "changes": {name: arm["set"] for name, arm in yaml.safe_load(text)["arms"].items()},
        "recipe": text,
    }
