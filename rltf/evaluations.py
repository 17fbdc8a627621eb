"""A run's held-out evaluations: each is made once, however often the run is killed and resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray

from contracts import logs
from contracts.config import Recipe
from contracts.records import Problem
from rltf.cluster import Cluster
from rltf.counted import Counted, counts_in
from rltf.course import Course
from rltf.evaluate import about, drawn, evaluate, metrics_of, plan, programs_in_all
from rltf.monitor import read_metrics
from rltf.recording import Recording
from rltf.runs import RunFolder
from rltf.totals import Totals


class Evaluations:
    """Makes them one by one: samples and counts in RUN/evaluations, the result in the summary, a row of metrics.jsonl."""

    def __init__(self, recipe: Recipe, folder: RunFolder, totals: Totals, course: Course) -> None:
        self._recipe = recipe
        self._folder = folder
        self._totals = totals
        self._course = course

    def make(self, stage: str, model: str, cluster: Cluster, heldout: Sequence[Problem]) -> None:
        """Evaluate what a model folder holds: start, control or final. What was done before a kill is not done again."""
        name, course, recipe = f"evaluate {stage}", self._course, self._recipe
        if course.record.result(stage) is not None and (row := self._row_of(name)):
            course.monitor.post(row)  # the endpoint of a resumed run knows nothing of it
            return
        folder, problems = self._folder.evaluations / stage, drawn(heldout, recipe)
        asked = about(problems, len(heldout), recipe, model)
        batches, programs = plan(problems, recipe), programs_in_all(recipe, len(problems))
        with (
            course.stage(name, programs, "program"),
            Recording(folder, asked, programs) as recording,
        ):
            done = recording.resume([batch.keys for batch in batches])
            with Counted(folder, done) as counted:
                self._totals.evaluations[stage] = counted.counts
                if done < len(batches):
                    cluster.start_learner(model, recipe.learner.optimizer, 1)
                    ray.get(cluster.publish(0))
                for samples, counts in evaluate(cluster, batches[done:]):
                    counted.add(samples, counts)
                    recording.add(samples)
                    course.progress.update(recording.tally.programs)
                    course.pulse.progress(self._totals.values)
            summary = recording.finish()
        course.record.evaluated(stage, summary.result)
        course.monitor.record(name, {**self._totals.values(), **metrics_of(stage, summary)})
        course.progress.note(", ".join([f"{stage}: held-out pass@1 {summary.pass_at_k['1']:.3f}", *asked.notes]))
        logs.info("evaluated", evaluation=stage, pass_at_1=summary.pass_at_k["1"])

    def _row_of(self, name: str) -> dict[str, Any] | None:
        rows = [row for row in read_metrics(self._folder.path) if row["stage"] == name]
        return {key: value for key, value in rows[-1].items() if key not in ("time", "stage")} if rows else None


def count_again(folder: RunFolder, totals: Totals) -> None:
    """Take up what the evaluations of a resumed run have counted: they went on after its totals were saved."""
    for evaluation in folder.evaluations.glob("*"):
        totals.evaluations[evaluation.name] = counts_in(evaluation)
