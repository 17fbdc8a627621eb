"""Held-out evaluation on the run's own samplers and executors."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Literal

import ray

from contracts.config import Recipe
from contracts.records import Outcome, Problem, Verdict
from contracts.summary import Evaluation, StageResult
from rltf.cluster import Cluster
from rltf.passk import mean_and_error, pass_at_k

PROGRAMS_PER_BATCH = 128


def evaluate(cluster: Cluster, problems: Sequence[Problem], tell: Callable[[int], None]) -> StageResult:
    """pass@k on held-out problems, greedily and at each of the recipe's temperatures. `tell` hears of programs judged."""
    recipe = cluster.recipe
    verdicts: dict[str, list[list[Verdict]]] = {}
    waiting = deque((setting, batch) for setting in settings(recipe) for batch in _batches(setting, problems, recipe))
    judging: deque[tuple[str, Any]] = deque()
    done = turn = 0
    while waiting or judging:
        while waiting and len(judging) < 2 * len(cluster.samplers):
            (setting, batch), sampler = waiting.popleft(), cluster.samplers[turn % len(cluster.samplers)]
            payload, _ = sampler.sample.options(num_returns=2).remote(**_request(setting, batch, recipe))
            judging.append((setting, cluster.executors[turn % len(cluster.executors)].judge.remote(payload)))
            turn += 1
        setting, future = judging.popleft()
        groups = ray.get(future)
        verdicts.setdefault(setting, []).extend(groups)
        done += sum(len(group) for group in groups)
        tell(done)
    results = {setting: summarise(groups, setting, recipe.eval.k) for setting, groups in verdicts.items()}
    return StageResult(
        pass_at_1=results[settings(recipe)[1]].pass_at_k["1"],
        problems=len(problems),
        judged_by=_judged_by(problems),
        evaluations=results,
    )


def settings(recipe: Recipe) -> list[str]:
    """The ways of decoding: greedy, then the temperatures."""
    return ["greedy", *(f"T={temperature}" for temperature in recipe.eval.temperatures)]


def programs_in_all(recipe: Recipe, problems: int) -> int:
    """Programs that an evaluation runs."""
    return problems * (1 + recipe.eval.samples * len(recipe.eval.temperatures))


def summarise(groups: Sequence[Sequence[Verdict]], setting: str, ks: Sequence[int]) -> Evaluation:
    """The evaluation of one way of decoding; `groups` holds one list of verdicts per problem."""
    samples = len(groups[0])
    passed = [sum(verdict.outcome is Outcome.PASS for verdict in group) for group in groups]
    estimates = {k: [pass_at_k(samples, c, k) for c in passed] for k in sorted({1, *ks}) if k <= samples}
    outcomes = Counter(verdict.outcome.value for group in groups for verdict in group)
    return Evaluation(
        temperature=_temperature(setting),
        samples_per_problem=samples,
        pass_at_k={str(k): mean_and_error(values)[0] for k, values in estimates.items()},
        standard_error=mean_and_error(estimates[1])[1],
        outcomes={outcome.value: outcomes[outcome.value] / outcomes.total() for outcome in Outcome},
        passed=passed,
    )


def _batches(setting: str, problems: Sequence[Problem], recipe: Recipe) -> list[tuple[int, tuple[Problem, ...]]]:
    per_problem = 1 if setting == "greedy" else recipe.eval.samples
    size = max(1, PROGRAMS_PER_BATCH // per_problem)
    return [(number, tuple(problems[start : start + size])) for number, start in enumerate(range(0, len(problems), size))]


def _request(setting: str, batch: tuple[int, tuple[Problem, ...]], recipe: Recipe) -> dict[str, Any]:
    """What a sampler is asked; draws are the same for every evaluated model."""
    number, problems = batch
    greedy = setting == "greedy"
    how = recipe.sampling.model_copy(
        update={
            "temperature": _temperature(setting) or 1.0,
            "samples_per_problem": 0 if greedy else recipe.eval.samples,
            "top_p": 1.0,
            "top_k": 0,
        }
    )
    return {
        "batch": number,
        "ids": [problem.id for problem in problems],
        "seed": f"{recipe.seed}/eval/{setting}/{number}",
        "greedy": greedy,
        "sampling": how,
    }


def _temperature(setting: str) -> float:
    return 0.0 if setting == "greedy" else float(setting.removeprefix("T="))


def _judged_by(problems: Sequence[Problem]) -> Literal["hidden tests", "visible tests", "hidden and visible tests"]:
    hidden = [bool(problem.hidden_tests) for problem in problems]
    if all(hidden):
        return "hidden tests"
    return "hidden and visible tests" if any(hidden) else "visible tests"
