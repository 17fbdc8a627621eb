"""Two evaluations, problem by problem: read, matched, and the difference with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from contracts.errors import UserError
from contracts.evaluation import EvaluationSummary, decode_sample, read_evaluation
from rltf.passk import interval_over_problems
from rltf.recording import SAMPLES, SUMMARY
from rltf.tally import Count, Tally, estimates_of

_SAMPLING = ("top_p", "max_new_tokens")
"""Settings of a model's evaluation beside its way of decoding; programs from a file have none."""


class Difference(msgspec.Struct, kw_only=True):
    """How much more the second evaluation reached than the first, over the same problems."""

    problems: int
    first: float
    second: float
    low: float
    """Where the difference's 95 % interval, paired by problem, begins."""
    high: float

    @property
    def mean(self) -> float:
        """Second minus first."""
        return self.second - self.first

    @property
    def told_apart(self) -> bool:
        """Is 0 outside of the interval?"""
        return self.low > 0 or self.high < 0


@dataclass
class Side:
    """One evaluation as it was read."""

    name: str
    summary: EvaluationSummary
    settings: Mapping[str, dict[str, Count]]

    def ks(self, setting: str) -> set[int]:
        """The k that it reports at this way of decoding."""
        found = self.summary.evaluations[setting] if self.summary.evaluations else self.summary
        return {int(k) for k in found.pass_at_k}


Pairs = dict[str, tuple[Count, Count]]
"""Problem → its programs in the first and in the second evaluation."""


def read_side(path: Path) -> Side:
    """The evaluation in a folder, or a run's final one. Raises UserError where there is none that is finished."""
    final = path / "evaluations" / "final"
    folder = path if (path / SAMPLES).is_file() else final
    if not (folder / SAMPLES).is_file() or not (folder / SUMMARY).is_file():
        raise UserError(f"{path} holds no evaluation", "Name a folder that `rltf eval` made, or RUN/evaluations/STAGE")
    tally = Tally()
    try:
        summary = read_evaluation(folder / SUMMARY)
        with (folder / SAMPLES).open("rb") as lines:
            for line in lines:
                tally.add(decode_sample(line))
    except ValueError as err:  # msgspec's too
        raise UserError(f"the evaluation in {folder} cannot be read: {err}", "Make it again") from err
    if summary.status != "done":
        raise UserError(f"the evaluation in {folder} is not finished", "Go on with it: --resume")
    return Side(str(folder), summary, tally.settings)


def paired(first: Mapping[str, Count], second: Mapping[str, Count]) -> Pairs:
    """The problems that both have programs for, in the first's order."""
    common = (name for name, count in first.items() if count.scored and name in second and second[name].scored)
    return {name: (first[name], second[name]) for name in common}


def with_enough(pairs: Pairs, k: int) -> list[tuple[Count, Count]]:
    """Those that pass@k can be said of on both sides: an evaluation may report a k that few of its problems lack programs for."""
    return [pair for pair in pairs.values() if min(count.scored for count in pair) >= k]


def difference(pairs: Iterable[tuple[Count, Count]], k: int) -> Difference:
    """Of pass@k; the problems are resampled in pairs."""
    firsts, seconds = (estimates_of(counts, k) for counts in zip(*pairs, strict=True))
    low, high = interval_over_problems([b - a for a, b in zip(firsts, seconds, strict=True)], least=-1.0)
    n = len(firsts)
    return Difference(problems=n, first=sum(firsts) / n, second=sum(seconds) / n, low=low, high=high)


def check_alike(first: Side, second: Side) -> None:
    """Raises UserError where programs were sampled or judged in different ways or for different problems, and where there is
    nothing in common to compare."""
    _refuse_others("judged", *({"by": side.summary.judged_by, **side.summary.settings["judging"]} for side in (first, second)))
    _refuse_others("sampled", *({key: side.summary.settings.get(key) for key in _SAMPLING} for side in (first, second)))
    common = [setting for setting in first.settings if setting in second.settings]
    if not common:
        ways = " and ".join(", ".join(side.settings) for side in (first, second))
        raise UserError(f"the two have no way of decoding in common: {ways}", "Evaluate both alike")
    for setting in common:
        ours, theirs = first.settings[setting], second.settings[setting]
        other = [name for name, count in ours.items() if name in theirs and theirs[name].digest != count.digest]
        if other:
            names = f"{', '.join(other[:3])}{' …' if len(other) > 3 else ''}"
            raise UserError(
                f"{len(other)} problems have one id in both and another statement or other tests: {names}",
                "Evaluate both on the same problems",
            )
        if not paired(ours, theirs):
            raise UserError("the two have no problem in common", "Evaluate both on the same problems")


def _refuse_others(done: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    other = [f"{key}={ours[key]} and {theirs.get(key)}" for key in ours if ours[key] != theirs.get(key)]
    if other:
        raise UserError(f"the two were {done} in different ways: {', '.join(other)}", "Evaluate both alike")
