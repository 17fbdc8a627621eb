"""Advantages of every objective: closed forms over a group's rewards, and what a group must bring."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import Recipe
from contracts.objective import ObjectiveConfig
from contracts.records import LabelledGroup, Outcome
from contracts.sections import ExecutorsConfig, RewardsConfig, SamplingConfig
from learner.advantages import has_variance, training_rows
from learner.objectives import OBJECTIVES
from learner.objectives.baselines import Reward
from tests.closed_form import advantages
from tests.factories import labelled

KINDS: list[dict[str, Any]] = [
    *({"kind": kind, "baseline": b} for kind in ("rltf", "ppo") for b in ("greedy", "group", "leave_one_out")),
    {"kind": "rltf_reference"},
    {"kind": "rltf_reference", "baseline": "leave_one_out"},
    {"kind": "rltf_reference", "reference": {"adaptive_replaces_failure": False}},
    {"kind": "grpo"},
    {"kind": "grpo", "normalise": False},
    {"kind": "rloo"},
]


def found(config: ObjectiveConfig, *sampled: tuple[float, float | None], greedy: tuple[float, float | None] | None = None) -> Any:
    """One list per term."""
    rows = OBJECTIVES[config.kind].advantages([Reward(*one) for one in sampled], Reward(*greedy) if greedy else None, config)
    return {term: [row[term] for row in rows] for term in rows[0]}


def config(**fields: Any) -> ObjectiveConfig:
    return ObjectiveConfig.model_validate(fields)


reward = st.one_of(
    st.tuples(st.just(1.0), st.just(1.0)),
    st.tuples(st.just(-0.3), st.floats(-0.3, 0.97)),
    st.tuples(st.sampled_from([-0.6, -1.0]), st.none()),
)
weight = st.sampled_from([0.0, 0.5, 1.0, 2.0])


@given(st.lists(reward, min_size=2, max_size=8), reward, st.sampled_from(KINDS), weight, weight)
def test_advantages_equal_the_closed_form(
    sampled: list[tuple[float, float | None]],
    greedy: tuple[float, float | None],
    kind: dict[str, Any],
    coarse: float,
    adaptive: float,
) -> None:
    chosen = config(**kind, coarse=coarse, adaptive=adaptive)
    ours = found(chosen, *sampled, greedy=greedy)
    expected = advantages(sampled, greedy, chosen)
    for term, values in ours.items():
        assert values == pytest.approx([row[term] for row in expected], rel=1e-9, abs=1e-9)


def test_rloo_compares_with_the_mean_of_the_others_by_hand() -> None:
    ours = found(config(kind="rloo"), (1.0, 1.0), (-0.3, 0.35), (-1.0, None))
    assert ours["coarse"] == pytest.approx([1.0 + 0.65, -0.3 - 0.0, -1.0 - 0.35])
    assert ours["adaptive"] == pytest.approx([1.0 + 0.325, 0.35 - 0.0, -1.0 - 0.675]), "an error counts with its coarse reward"


def test_grpo_is_in_standard_deviations_by_hand() -> None:
    rewards = [(1.0, 1.0), (-0.3, -0.3), (-0.3, -0.3), (1.0, 1.0)]
    ours = found(config(kind="grpo", adaptive=0.0), *rewards)
    assert ours["coarse"] == pytest.approx([0.65 / 0.6501, -0.65 / 0.6501, -0.65 / 0.6501, 0.65 / 0.6501])
    assert found(config(kind="grpo", normalise=False), *rewards)["coarse"] == pytest.approx([0.65, -0.65, -0.65, 0.65])


@pytest.mark.parametrize("kind", [one for one in KINDS if one.get("baseline") != "greedy"], ids=str)
def test_a_group_of_equals_has_no_advantage(kind: dict[str, Any]) -> None:
    chosen = config(**kind)
    ours = found(chosen, *[(-0.3, 0.1)] * 3, greedy=(-0.3, 0.1) if chosen.baseline == "greedy" else None)
    assert ours["coarse"] == pytest.approx([0.0] * 3, abs=1e-9)
    assert ours["adaptive"] == pytest.approx([0.0] * 3, abs=1e-9)


def test_in_the_published_implementation_adaptive_takes_the_failure_rewards_place() -> None:
    rewards = [(1.0, 1.0), (-0.3, 0.35), (-0.6, None)]
    ours = found(config(kind="rltf_reference"), *rewards, greedy=(-0.3, 0.1))
    assert ours == {"coarse": pytest.approx([0.9, 0.25, -0.7]), "adaptive": [0.0] * 3}
    papers = found(config(), *rewards, greedy=(-0.3, 0.1))
    assert papers == {"coarse": pytest.approx([1.3, 0.0, -0.3]), "adaptive": pytest.approx([0.9, 0.25, 0.0])}
    switched_off = {"kind": "rltf_reference", "reference": {"adaptive_replaces_failure": False}}
    assert found(config(**switched_off), *rewards, greedy=(-0.3, 0.1)) == papers


def recipe(temperature: float = 1.0, **objective: Any) -> Recipe:
    return Recipe(
        name="t",
        objective=config(**objective),
        sampling=SamplingConfig(samples_per_problem=2, temperature=temperature),
        executors=ExecutorsConfig(analyse=True),
        rewards=RewardsConfig(static=-0.7),
    )


def test_rows_are_scored_as_they_were_sampled_where_ratios_are_asked_for() -> None:
    entry = labelled("g", coarse=(1.0, -0.3), greedy=-0.3)
    hot = msgspec.structs.replace(entry, group=msgspec.structs.replace(entry.group, temperature=0.6))
    for objective in (
        {"kind": "grpo"},
        {"kind": "ppo"},
        {"kind": "rloo", "correction": "truncated"},
        {"correction": "truncated"},
    ):
        rows = training_rows(hot, recipe(**objective))
        assert [(row.temperature, row.behaviour) for row in rows] == [(0.6, [-0.5, -0.5])] * 2
    for kind in ("rltf", "rloo", "rltf_reference"):
        assert [row.temperature for row in training_rows(hot, recipe(kind=kind))] == [1.0] * 2


def test_a_group_that_lacks_what_the_objective_needs_is_an_error_that_names_it() -> None:
    entry = labelled("g17", coarse=(1.0, -0.3))
    with pytest.raises(ValueError, match="group g17: no greedy program"):
        training_rows(entry, recipe())
    with pytest.raises(ValueError, match="group g17: leave-one-out needs two"):
        training_rows(labelled("g17", coarse=(1.0,)), recipe(kind="rloo"))
    bare = msgspec.structs.replace(entry.group, programs=[msgspec.structs.replace(p, logprobs=[]) for p in entry.group.programs])
    without = msgspec.structs.replace(entry, group=bare)
    for objective in ({"kind": "grpo"}, {"kind": "rloo", "correction": "truncated"}):
        with pytest.raises(ValueError, match="group g17 has no behaviour log-probs for kind="):
            training_rows(without, recipe(**objective))
    assert [row.behaviour for row in training_rows(without, recipe(kind="rloo"))] == [None, None]


def test_static_feedback_is_for_programs_with_findings() -> None:
    entry = labelled("g", coarse=(1.0, -0.3))
    labels = [msgspec.structs.replace(entry.labels[0], static=found) for found in ([], [False, False])]
    labels.append(msgspec.structs.replace(entry.labels[0], static=[False, True]))
    programs, verdicts = [entry.group.programs[0]] * 3, [entry.verdicts[0]] * 3
    group = msgspec.structs.replace(entry.group, programs=programs)
    rows = training_rows(LabelledGroup(group=group, verdicts=verdicts, labels=labels), recipe(kind="rloo", static=1.0))
    assert [(row.static, row.findings) for row in rows] == [(0.0, None), (0.0, [False, False]), (-0.7, [False, True])]


def test_variance_is_that_of_sampled_programs_rewards() -> None:
    both, coarse_alone = ObjectiveConfig(baseline="group"), ObjectiveConfig(baseline="group", adaptive=0)
    assert not has_variance(labelled("g", coarse=(-0.3, -0.3), greedy=1.0), both)
    assert has_variance(labelled("g", coarse=(-0.3, 1.0)), both)
    same_coarse = labelled("g", coarse=(-0.3, -0.3))
    labels = [msgspec.structs.replace(same_coarse.labels[0], adaptive=value) for value in (-0.3, 0.2)]
    graded = msgspec.structs.replace(same_coarse, labels=labels)
    assert has_variance(graded, both)
    assert not has_variance(graded, coarse_alone), "what the objective makes no use of is no variance"
    errored = [msgspec.structs.replace(same_coarse.labels[0], adaptive=value) for value in (-0.3, None)]
    assert not has_variance(msgspec.structs.replace(same_coarse, labels=errored), both), "an error counts with its coarse reward"


def test_outcomes_reach_the_rows_for_the_critic() -> None:
    entry = labelled("g", coarse=(1.0, -0.3))
    assert [row.outcome for row in training_rows(entry, recipe(kind="rloo"))] == [Outcome.PASS, Outcome.FAILURE]
