"""`rltf eval RECIPE --model`: a model's pass@k on a recipe's problems, without a run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from rich.console import Console

from contracts.config import Recipe
from contracts.evaluation import EvaluationSummary
from models.load import check_model_path
from problems.sets import load_problem_set
from rltf.cluster import Cluster
from rltf.eval_tables import show
from rltf.evaluate import about, drawn, evaluate, plan, programs_in_all
from rltf.joining import connected
from rltf.locks import alone_in
from rltf.progress import Progress
from rltf.recording import Recording, begin_folder
from rltf.reserving import reserve
from rltf.roles import roles_of
from rltf.runs import anchored

On = Literal["heldout", "train"]


def evaluate_model(recipe: Recipe, model: str, on: On, folder: Path, console: Console, *, resume: bool) -> EvaluationSummary:
    """Sample and judge on actors as a run does; write the evaluation's folder and print its tables.

    `recipe` names the model, too, and `check_folder` has found nothing against `folder`. Raises UserError where the samples to go
    on from are of something else, and what sampling and judging raise.
    """
    recipe = anchored(recipe)
    check_model_path(model, recipe.context, recipe.prompt)
    with tempfile.TemporaryDirectory() as scratch, alone_in(folder, "the evaluation"), Progress(console) as progress:
        progress.stage("problems")
        problems = load_problem_set(recipe.problems, Path(scratch), recipe.seed)
        everything = problems.heldout if on == "heldout" else problems.train
        chosen = drawn(everything, recipe)
        if not resume:
            begin_folder(folder, recipe)
        batches, programs = plan(chosen, recipe), programs_in_all(recipe, len(chosen))
        with Recording(folder, about(chosen, len(everything), recipe, model, on), programs) as recording:
            rest = batches[recording.resume([batch.keys for batch in batches]) :]
            if rest:
                progress.stage("actors")
                with connected(recipe):
                    path = recipe.model.path or model
                    files = [Path(path)] if Path(path).is_dir() else []
                    places = reserve(recipe.ray, roles_of(recipe, learns=False), files, progress.note)
                    cluster = Cluster(recipe, path, problems, places, run=recipe.name)
                    progress.stage("evaluate", programs, "program")
                    for samples, _ in evaluate(cluster, rest):
                        recording.add(samples)
                        progress.update(recording.tally.programs)
            summary = recording.finish()
    show(summary, progress, folder)
    return summary
