"""Does a recipe fit the machines that it is written for, and what will its run need in all? From memory.py's reckoning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import apply_override, parse_recipe
from rltf.memory import GB, TIGHT, Part, Sizes, checkpoint_bytes, learner_parts, sampler_parts, total
from rltf.roles import wanted

Measure = Callable[[Recipe], Sizes]
Row = Sequence[str]


class Need(NamedTuple):
    """What one actor of a kind takes of its GPU, or of main memory where it has none."""

    name: str
    actors: int
    parts: list[Part]
    budget: float | None
    """Bytes of GPU memory that it may take; None: it has no GPU."""

    @property
    def gpu(self) -> float:
        """Bytes on its GPU."""
        return total(self.parts, "gpu")

    @property
    def fits(self) -> bool:
        return self.budget is None or self.gpu <= self.budget

    @property
    def verdict(self) -> str:
        """In words."""
        if self.budget is None:
            return "in main memory"
        if not self.fits:
            return "does NOT fit"
        return "fits" if self.gpu <= TIGHT * self.budget else "tight: the reckoning is ± 20 %"


def needs(recipe: Recipe, sizes: Sizes) -> list[Need]:
    """Of a learner rank and of a sampler."""
    learner, actors = recipe.learner, recipe.actors
    return [
        Need("learner rank", learner.ranks, learner_parts(recipe, sizes), _budget(recipe, learner.num_gpus)),
        Need("sampler", actors.count, sampler_parts(recipe, sizes), _budget(recipe, actors.num_gpus)),
    ]


def main_memory(recipe: Recipe, found: Sequence[Need]) -> float:
    """Bytes of main memory over all machines: models without a GPU, offloaded optimizers, programs under test."""
    programs = recipe.executors.count * recipe.executors.cores * recipe.executors.memory_mb * 2**20
    return programs + sum(need.actors * total(need.parts, "host") for need in found)


def refuse_unfit(recipe: Recipe, sizes: Sizes, measure: Measure) -> None:
    """Raises UserError, with changes that would help, where an actor does not fit its GPU or all of them main memory."""
    found = needs(recipe, sizes)
    for need in found:
        if not need.fits:
            assert need.budget is not None
            raise UserError(
                f"a {need.name} needs about {need.gpu / GB:.3g} GB of GPU memory, the recipe gives it {need.budget / GB:.3g} GB "
                f"(hardware.gpu_memory_gb={recipe.hardware.gpu_memory_gb:g})",
                remedy(recipe, need.name, measure),
            )
    host, there = main_memory(recipe, found), recipe.hardware.memory_gb
    if there is not None and host > there * GB:
        raise UserError(
            f"the actors need about {host / GB:.3g} GB of main memory, hardware.memory_gb={there:g}",
            "Lower executors.cores or learner.ranks, set deepspeed.offload_optimizer=false, or use more machines",
        )


def remedy(recipe: Recipe, name: str, measure: Measure) -> str:
    """The first change that makes it fit; else the first ones that do so together, each of which takes less memory."""
    candidates = _learner_changes(recipe) if name == "learner rank" else _fewer_problems(recipe)
    for candidate in candidates:
        alone = _changed(recipe, [candidate], name, measure)
        if alone is not None and alone.fits:
            return f"Set {candidate}"
    together: list[str] = []
    least = next(need.gpu for need in needs(recipe, measure(recipe)) if need.name == name)
    for candidate in candidates:
        changed = _changed(recipe, [*together, candidate], name, measure)
        if changed is not None and changed.gpu < least:
            together, least = [*together, candidate], changed.gpu
            if changed.fits:
                return f"Set {' '.join(together)}"
    return "Use GPUs with more memory, or a smaller model"


def full_run(recipe: Recipe, heldout: int | None) -> list[Row]:
    """What the whole run does and takes. `heldout`: held-out problems, None where they are not there to be counted."""
    learner, sampling = recipe.learner, recipe.sampling
    steps = recipe.steps if recipe.online else 0
    each = 1 + recipe.eval.samples * len(recipe.eval.temperatures)
    judged = min(recipe.eval.max_problems, heldout if heldout is not None else recipe.eval.max_problems)
    evaluations = 1 + recipe.control + recipe.online
    online = steps * (recipe.samples_per_step + recipe.groups_per_step * recipe.needs_greedy)
    programs = online + evaluations * judged * each
    more = "" if recipe.buffer.max_uses == 1 or not steps else " or more: samplers go on while groups are used again"
    least = "" if heldout is not None else "at most "
    return [
        ("GPUs", _gpus(recipe)),
        ("CPU cores", str(wanted(recipe)["CPU"])),
        ("warm-start steps", f"{recipe.warmup.steps:,} of {recipe.warmup.batch} programs"),
        ("control steps", f"{recipe.steps if recipe.control else 0:,}"),
        ("optimizer steps", f"{steps:,} of {recipe.samples_per_step} sampled and {learner.sl_samples} corpus programs"),
        ("programs to sample", f"{online:,} to learn from{more}"),
        ("programs to evaluate", f"{least}{evaluations} x {judged * each:,} for {judged:,} problems"),
        ("tokens at most", f"{programs * sampling.max_new_tokens:,}"),
    ]


def disk(recipe: Recipe, sizes: Sizes) -> Row:
    return "disk for checkpoints", f"{checkpoint_bytes(recipe, sizes) / GB:.1f} GB"


def _gpus(recipe: Recipe) -> str:
    learner, actors, whole = recipe.learner, recipe.actors, wanted(recipe)["GPU"]
    if not whole:
        return "none"
    shares = f"{learner.ranks} x {learner.num_gpus:g} to learn, {actors.count} x {actors.num_gpus:g} to sample"
    return f"{whole} of {recipe.hardware.gpu_memory_gb:g} GB: {shares}"


def _budget(recipe: Recipe, gpus: float) -> float | None:
    """An actor computes on one GPU, or on a share of one."""
    return recipe.hardware.gpu_memory_gb * GB * min(1.0, gpus) if gpus else None


def _learner_changes(recipe: Recipe) -> list[str]:
    """In this order: those that cost nothing but time first, what changes the training last."""
    return [
        "learner.micro_batch=1",
        "learner.activation_checkpointing=true",
        _half_precision(recipe),
        "deepspeed.zero_stage=2",
        "deepspeed.offload_optimizer=true",
        "deepspeed.zero_stage=3",
        "model.lora.rank=16",
    ]


def _half_precision(recipe: Recipe) -> str:
    return "deepspeed.precision=bf16" + ("" if recipe.deepspeed.zero_stage else " deepspeed.zero_stage=2")


def _fewer_problems(recipe: Recipe) -> list[str]:
    halved = []
    problems = recipe.sampling.problems_per_batch // 2
    while problems:
        halved.append(f"sampling.problems_per_batch={problems}")
        problems //= 2
    return [*halved, _half_precision(recipe)]


def _changed(recipe: Recipe, overrides: Sequence[str], name: str, measure: Measure) -> Need | None:
    """What it needs with these overrides; None where the recipe refuses them."""
    tree = recipe.model_dump(mode="json")
    for override in " ".join(overrides).split():
        apply_override(tree, override)
    try:
        changed = parse_recipe(tree)
    except UserError:
        return None
    return next(need for need in needs(changed, measure(changed)) if need.name == name)
