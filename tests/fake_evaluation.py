"""Evaluations without models: samples as they would be recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contracts.evaluation import EvaluationSummary, Sample
from contracts.records import Outcome
from rltf.recording import Recording
from rltf.summing import About


def sample(problem: str, index: int = 0, outcome: str = "pass", **changes: Any) -> Sample:
    """One program's line, decoded at T = 1.0 unless it says otherwise."""
    fields = {"difficulty": "easy", "split": "", "source": "", "setting": "T=1.0", "code": f"{problem} {index}"}
    fields["problem_digest"] = f"of {problem}"
    return Sample(problem_id=problem, index=index, outcome=Outcome(outcome), **(fields | changes))


def about(**changes: Any) -> About:
    """A summary of programs at T = 1.0 for as many problems as `problems` says."""
    fields: dict[str, Any] = {
        "main": "T=1.0",
        "model": "m",
        "judged_by": "visible tests",
        "problems": 2,
        "ks": (1,),
        "settings": {"k": [1], "judging": {"compare": "strict", "cpu_seconds": 2.0}},
        "most_failed": 0.05,
    }
    return About(**(fields | changes))


def write_evaluation(
    folder: Path, outcomes: Mapping[str, Sequence[str]], hard: Sequence[str] = (), of: str = "of", **changes: Any
) -> Path:
    """A finished evaluation: problem → its programs' outcomes; `hard` problems are of another difficulty, `of` of another set."""
    samples = [
        sample(problem, index, outcome, difficulty="hard" if problem in hard else "easy", problem_digest=f"{of} {problem}")
        for problem, found in outcomes.items()
        for index, outcome in enumerate(found)
    ]
    with Recording(folder, about(**({"problems": len(outcomes)} | changes)), len(samples)) as recording:
        recording.add(samples)
        recording.finish()
    return folder


def recorded(folder: Path, samples: Sequence[Sample], **changes: Any) -> EvaluationSummary:
    """The summary of these samples."""
    with Recording(folder, about(**changes), len(samples)) as recording:
        recording.add(samples)
        return recording.finish()
