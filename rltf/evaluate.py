"""Held-out evaluation on the run's own samplers and executors."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import ray

from contracts import metrics as m
from contracts.config import Recipe
from contracts.counts import Counts, add
from contracts.evaluation import EvaluationSummary, Sample
from contracts.metrics import Value, labelled
from contracts.records import Group, Problem, decode_groups
from executors.both import Judged
from rltf.cluster import Cluster
from rltf.judged import digest_of, judged_by, judging, sample_of
from rltf.recording import Key
from rltf.summing import About, temperature_of


class Batch(NamedTuple):
    """What one sampler is asked at once."""

    setting: str
    number: int
    problems: tuple[Problem, ...]
    digests: tuple[str, ...]
    """The problems', in their order."""
    first: int
    """Index of each problem's first program: where a sampler cannot write all of them at once, other batches have the rest."""
    each: int
    """Programs per problem."""

    @property
    def keys(self) -> list[Key]:
        """Its programs, in order."""
        return [
            (self.setting, problem.id, index, digest)
            for problem, digest in zip(self.problems, self.digests, strict=True)
            for index in range(self.first, self.first + self.each)
        ]


def drawn(problems: Sequence[Problem], recipe: Recipe) -> Sequence[Problem]:
    """All of them, or `eval.max_problems` drawn by the recipe's seed, in their order: sets may be sorted by difficulty."""
    most = recipe.eval.max_problems
    if len(problems) <= most:
        return problems
    places = random.Random(f"{recipe.seed}/eval/problems").sample(range(len(problems)), most)
    return [problems[at] for at in sorted(places)]


def plan(problems: Sequence[Problem], recipe: Recipe) -> list[Batch]:
    """All batches of an evaluation, in order: greedily, then at each of the recipe's temperatures.

    None has more programs than a sampler writes at once in training: its memory is made for these.
    """
    batches = []
    digests = [digest_of(problem) for problem in problems]
    for setting in settings(recipe):
        each = 1 if setting == "greedy" else recipe.eval.samples
        at_once, size = min(each, recipe.rows_at_once), max(1, recipe.rows_at_once // each)
        places = [(start, first) for start in range(0, len(problems), size) for first in range(0, each, at_once)]
        for number, (start, first) in enumerate(places):
            part = slice(start, start + size)
            batch = Batch(setting, number, tuple(problems[part]), tuple(digests[part]), first, min(at_once, each - first))
            batches.append(batch)
    return batches


def evaluate(cluster: Cluster, batches: Sequence[Batch]) -> Iterator[tuple[list[Sample], Counts]]:
    """Sample and judge these batches; yields each one's samples, and what samplers and executors counted for it."""
    waiting = deque(batches)
    judging: deque[tuple[Batch, list[Any]]] = deque()
    turn = 0
    while waiting or judging:
        while waiting and len(judging) < 2 * len(cluster.samplers):
            batch, sampler = waiting.popleft(), cluster.samplers[turn % len(cluster.samplers)]
            payload, figures = sampler.sample.options(num_returns=2).remote(**_request(batch, cluster.recipe))
            judged = cluster.executors[turn % len(cluster.executors)].judge.remote(payload)
            judging.append((batch, [payload, figures, judged]))
            turn += 1
        batch, futures = judging.popleft()
        groups, sampled, (results, counts) = ray.get(futures)
        add(counts, sampled.counts("heldout"))
        yield samples_of(batch, decode_groups(groups), results), counts


def about(problems: Sequence[Problem], of: int, recipe: Recipe, model: str, on: str = "heldout") -> About:
    """What the summary of a model's evaluation says beside its figures; `of`: how many problems these are drawn from."""
    notes = (f"{len(problems)} of {of} problems, drawn by seed {recipe.seed}",) if len(problems) < of else ()
    chosen = recipe.eval.model_dump(include={"samples", "temperatures", "top_p", "k"}) | {"seed": recipe.seed, "on": on}
    return About(
        main=settings(recipe)[1],
        model=model,
        judged_by=judged_by(problems),
        problems=len(problems),
        ks=recipe.eval.k,
        settings={**chosen, "max_new_tokens": recipe.sampling.max_new_tokens, "judging": judging(recipe.executors)},
        most_failed=recipe.executors.max_sandbox_error_rate,
        notes=notes,
    )


def metrics_of(stage: str, summary: EvaluationSummary) -> dict[str, Value]:
    """A run's metrics of an evaluation that has ended: start, control or final."""
    rates = {
        labelled(stage, setting, k): rate
        for setting, result in summary.evaluations.items()
        for k, rate in result.pass_at_k.items()
    }
    parts = {labelled(stage, name): part.pass_at_k["1"] for name, part in summary.by_difficulty.items() if part.problems}
    found: dict[str, Value] = {m.EVAL_PASS.name: rates, m.EVAL_DIFFICULTY.name: parts}
    if summary.gap:
        found[m.EVAL_GAP.name] = {stage: summary.gap.overfit / summary.gap.programs}
    return found


def settings(recipe: Recipe) -> list[str]:
    """The ways of decoding: greedy, then the temperatures."""
    return ["greedy", *(f"T={temperature}" for temperature in recipe.eval.temperatures)]


def programs_in_all(recipe: Recipe, problems: int) -> int:
    """Programs that an evaluation runs."""
    return problems * (1 + recipe.eval.samples * len(recipe.eval.temperatures))


def samples_of(batch: Batch, groups: Sequence[Group], judged: Sequence[Judged]) -> list[Sample]:
    """The lines of a batch."""
    programs = [
        (problem, digest, index, group, program)
        for problem, digest, group in zip(batch.problems, batch.digests, groups, strict=True)
        for index, program in enumerate(group.programs, start=batch.first)
    ]
    return [
        sample_of(problem, digest, batch.setting, index, result, program.code, program, len(group.prompt_ids))
        for (problem, digest, index, group, program), result in zip(programs, judged, strict=True)
    ]


def _request(batch: Batch, recipe: Recipe) -> dict[str, Any]:
    """What a sampler is asked; draws are the same for every evaluated model."""
    greedy = batch.setting == "greedy"
    how = recipe.sampling.model_copy(
        update={
            "temperature": temperature_of(batch.setting) or 1.0,
            "samples_per_problem": 0 if greedy else batch.each,
            "top_p": recipe.eval.top_p,
            "top_k": 0,
        }
    )
    return {
        "batch": batch.number,
        "ids": [problem.id for problem in batch.problems],
        "seed": f"{recipe.seed}/eval/{batch.setting}/{batch.number}",
        "greedy": greedy,
        "sampling": how,
    }
