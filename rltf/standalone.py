"""`rltf eval`: a model's pass@k on a recipe's held-out problems, without a run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ray
from rich.console import Console

from contracts.config import Recipe
from models.load import check_model_path
from problems.sets import load_problem_set
from rltf.cluster import Cluster, connected
from rltf.evaluate import evaluate, programs_in_all
from rltf.progress import Progress
from rltf.record import decoding_table


def evaluate_model(recipe: Recipe, model: str, console: Console) -> None:
    """Sample and judge on actors as a run does, and print the table."""
    check_model_path(model, recipe.context)
    with tempfile.TemporaryDirectory() as scratch, Progress(console) as progress:
        progress.stage("problems")
        problems = load_problem_set(recipe.problems, Path(scratch), recipe.seed)
        heldout = problems.heldout[: recipe.eval.max_problems]
        progress.stage("actors")
        with connected(recipe):
            cluster = Cluster(recipe, model, problems.train, problems.heldout)
            cluster.start_learner(model, recipe.learner.optimizer, 1)
            ray.get(cluster.publish(0))
            progress.stage("evaluate", programs_in_all(recipe, len(heldout)), "program")
            result = evaluate(cluster, heldout, progress.update)
        progress.table(*decoding_table(result))
