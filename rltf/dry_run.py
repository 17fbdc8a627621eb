"""`rltf train --dry-run`: will this recipe work? Found out without a network, a GPU or a download, in about a minute.

The model's memory is reckoned at full size (rltf/memory.py), then two steps are made through the whole real loop with one block
of it (rltf/reduced.py), and what the full run will need is listed.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from contracts import metrics as m
from contracts.config import Recipe
from contracts.errors import RunError, UserError
from contracts.sections import ProblemsConfig
from models.load import check_context
from models.tiny import train_tokenizer
from problems.hub import resolved
from problems.sets import ProblemSet, load_problem_set
from rltf.fitting import disk, full_run, main_memory, needs, refuse_unfit
from rltf.memory import GB, Sizes
from rltf.monitor import read_metrics
from rltf.progress import Progress
from rltf.reduced import Base, find_base, precision_here, shortest, small_recipe, tiny_config, write_model
from rltf.sizes import measure
from rltf.train import Run

PRIMER = 60
"""Generated problems, of which the shortest are taken."""


class Plan(NamedTuple):
    """What is known of a recipe before its two steps."""

    base: Base | None
    sizes: Sizes
    problems: ProblemSet
    """Few and short."""
    heldout: int | None
    """Held-out problems of the full run; None: they are not there."""
    notes: list[str]
    """What is otherwise than in the full run."""


def dry_run(recipe: Recipe, console: Console) -> None:
    """Print the reckoning, make two steps, print what the full run will need. Leaves nothing behind.

    Raises UserError where the recipe does not fit its machines, where its model is unknown and where its problems are malformed,
    and RunError where a loss is not finite.
    """
    with Progress(console) as progress:
        plan = prepare(recipe, progress)
        progress.stage("two steps through the whole loop")
        for step, losses in enumerate(two_steps(recipe, plan), 1):
            progress.note(f"step {step}: " + " · ".join(f"{name} {value:.4g}" for name, value in losses.items()) + " (finite)")
        rows = [*full_run(recipe, plan.heldout), disk(recipe, plan.sizes)]
        progress.table(f"{recipe.name}: what the full run will need", ["", "in all"], rows)
        if missing := _missing(recipe):
            progress.note(f"not tried: {', '.join(missing)}: not on this machine, and the run itself would end there")


def prepare(recipe: Recipe, progress: Progress) -> Plan:
    """Everything but the steps: model, memory, problems. Raises as `dry_run` does."""
    progress.stage("model")
    base = find_base(recipe)
    config = base.config if base else tiny_config(recipe)
    check_context(config, recipe.context)
    sizes = measure(config, recipe)
    notes = _model_notes(recipe, base)
    progress.note(f"{config.model_type}, {sizes.parameters:,} parameters, {sizes.trained:,} of them trained")
    _show_memory(recipe, sizes, progress)
    refuse_unfit(recipe, sizes, lambda changed: measure(config, changed))
    progress.stage("problems")
    problems, heldout, more = _problems(recipe, progress)
    for note in notes + more:
        progress.note(note)
    return Plan(base, sizes, problems, heldout, notes + more)


def two_steps(recipe: Recipe, plan: Plan) -> list[dict[str, float]]:
    """Two optimizer steps by the real actors on this machine: the losses of each, by term.

    Raises RunError where one is not finite.
    """
    with tempfile.TemporaryDirectory(prefix="rltf-") as name, _local_ray():
        scratch = Path(name)
        if plan.base is None:
            texts = [text for problem in plan.problems.train for text in problem.corpus]
            small = small_recipe(recipe, plan.problems, None, train_tokenizer(texts, 512, recipe.context), scratch)
        else:
            tokenizer = write_model(plan.base, plan.problems, scratch / "model", recipe.seed)
            small = small_recipe(recipe, plan.problems, scratch / "model", tokenizer, scratch)
        with Progress(Console(file=io.StringIO())) as quiet:
            Run(small, quiet).execute()
        rows: list[dict[str, Any]] = [row for row in read_metrics(small.folder) if row["stage"] == "online"]
    found = [row[m.LOSS.name] for row in rows]
    numbers = [value for losses in found for value in losses.values()]
    if len(found) != small.steps or None in numbers:  # what is not finite is null in JSON
        raise RunError(f"losses are not finite: {found}", "Lower the learning rate, or choose another deepspeed.precision")
    return found


def _model_notes(recipe: Recipe, base: Base | None) -> list[str]:
    """What of the model is not as in the full run, and how to get what is missing."""
    notes = []
    if base is not None and base.folder is None:
        notes.append(
            f"model.path={recipe.model.path} is not on this machine: its shape is taken from model.architecture, a tokenizer is "
            f"made on the spot, and its vocabulary is small. {_how_to_get(recipe.model.path)}"
        )
    if recipe.prompt.chat and (base is None or base.tokenizer is None or not base.tokenizer.chat_template):
        notes.append("prompt.chat is off in the trial: the tokenizer has no chat template")
    if precision_here(recipe) != recipe.deepspeed.precision:
        notes.append(
            f"deepspeed.precision={recipe.deepspeed.precision} needs a GPU: the trial computes in {precision_here(recipe)}"
        )
    if not recipe.online:
        notes.append("the recipe does not train online: the trial makes its two steps all the same")
    if recipe.objective.reference.critic is not None:
        notes.append("the trial has no critic")
    return notes


def _how_to_get(path: str | None) -> str:
    return f"Where there is a network: hf download {path}" if path and path.count("/") == 1 else "Name its folder"


def _show_memory(recipe: Recipe, sizes: Sizes, progress: Progress) -> None:
    found = needs(recipe, sizes)
    rows = []
    for name, where in dict.fromkeys((part.name, part.where) for need in found for part in need.parts):
        sizes_of_it = [sum(part.size for part in need.parts if (part.name, part.where) == (name, where)) for need in found]
        rows.append([f"{name} (main memory)" if where == "host" else name, *map(_gigabytes, sizes_of_it)])
    rows += [
        ["in all on its GPU", *(_gigabytes(need.gpu) for need in found)],
        ["the recipe gives it", *(_gigabytes(need.budget or 0) for need in found)],
        ["", *(need.verdict for need in found)],
    ]
    progress.table("memory at full size, GB each", ["", *(f"{need.actors} x {need.name}" for need in found)], rows)
    progress.note(f"main memory of all actors and programs: {main_memory(recipe, found) / GB:.1f} GB")


def _gigabytes(size: float) -> str:
    return f"{size / GB:.2f}" if size else ""


def _problems(recipe: Recipe, progress: Progress) -> tuple[ProblemSet, int | None, list[str]]:
    """A few short problems, how many held-out ones the full run has, and what is missing."""
    config = recipe.problems
    missing = _missing(recipe)
    few = config.primer.model_copy(update={"train": PRIMER, "heldout": PRIMER})
    config = ProblemsConfig(primer=few) if missing else config.model_copy(update={"primer": few})
    with tempfile.TemporaryDirectory(prefix="rltf-") as scratch:
        whole = load_problem_set(config, Path(scratch), recipe.seed)
    if missing:
        where = "docs/problems.md says how to get it; the trial has generated problems instead"
        return shortest(whole, recipe.prompt), None, [f"{' and '.join(missing)} not on this machine: {where}"]
    if config.path is not None:
        progress.note(f"{len(whole.train)} problems to train on ({_difficulties(whole)}), {len(whole.heldout)} held out")
    generated = config.path is None and config.heldout_path is None
    return shortest(whole, recipe.prompt), recipe.problems.primer.heldout if generated else len(whole.heldout), []


def _missing(recipe: Recipe) -> list[str]:
    """The problems that it names and that are not on this machine."""
    config = recipe.problems
    named = {"path": config.path, "heldout_path": config.heldout_path, "checked": config.checked}
    return [f"problems.{key}={path}" for key, path in named.items() if path is not None and not _is_there(path)]


def _is_there(path: Path) -> bool:
    try:
        return resolved(path).exists()
    except UserError:  # a file of the hub that cannot be had
        return False


def _difficulties(problems: ProblemSet) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(p.difficulty for p in problems.train).most_common())


@contextmanager
def _local_ray() -> Iterator[None]:
    """A local Ray, whatever cluster this machine belongs to. What it and its actors' torch write goes with it.

    Its folder is in /tmp wherever other temporary files are: sockets lie deep in it, and their paths may have 107 characters.
    """
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="rltf-", dir="/tmp") as folder:
        os.environ |= {"RAY_TMPDIR": folder, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
        os.environ.pop("RAY_ADDRESS", None)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
