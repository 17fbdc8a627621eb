"""Which programs of an evaluation are sampled together, and what a run shows of its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.recipe import parse_recipe
from contracts.records import Problem, Test
from rltf.evaluate import about, drawn, metrics_of, plan, programs_in_all
from tests.fake_evaluation import recorded, sample


@given(
    samples=st.integers(1, 60),
    together=st.tuples(st.integers(1, 6), st.integers(2, 5)),
    problems=st.integers(0, 9),
    baseline=st.sampled_from(["greedy", "group"]),
)
def test_every_program_is_planned_once_and_no_batch_is_larger_than_a_sampler_can_hold(
    samples: int, together: tuple[int, int], problems: int, baseline: str
) -> None:
    recipe = parse_recipe(
        {
            "name": "r",
            "eval": {"samples": samples, "k": [1], "temperatures": [1.0, 0.5]},
            "sampling": {"problems_per_batch": together[0], "samples_per_problem": together[1]},
            "objective": {"baseline": baseline},
        }
    )
    asked = [Problem(id=str(number), question="", tests=(Test("", ""),)) for number in range(problems)]
    batches = plan(asked, recipe)
    assert max((len(batch.keys) for batch in batches), default=0) <= recipe.rows_at_once
    keys = [key for batch in batches for key in batch.keys]
    assert len(set(keys)) == len(keys) == programs_in_all(recipe, problems)
    assert len({(batch.setting, batch.number) for batch in batches}) == len(batches), "each has draws of its own"
    for setting, count in (("greedy", 1), ("T=1.0", samples), ("T=0.5", samples)):
        wanted = {(setting, problem.id, index) for problem in asked for index in range(count)}
        assert {key[:3] for key in keys if key[0] == setting} == wanted


def test_of_too_many_problems_some_are_drawn_by_the_seed_and_keep_their_order() -> None:
    """The set is sorted by difficulty, as APPS's test problems are."""
    parts = (("interview", 12), ("competition", 5), ("introductory", 4))
    everything = [
        Problem(id=f"{name} {number}", question="", tests=(Test("", ""),), difficulty=name)
        for name, count in parts
        for number in range(count)
    ]
    for seed, wanted in ((0, [2, 11, 13, 14, 18, 19, 20]), (1, [2, 4, 10, 15, 16, 17, 19])):
        recipe = parse_recipe({"name": "r", "seed": seed, "eval": {"max_problems": 7}})
        chosen = drawn(everything, recipe)
        assert [everything.index(problem) for problem in chosen] == wanted
        said = about(chosen, len(everything), recipe, "m")
        assert (said.problems, said.notes) == (7, (f"7 of 21 problems, drawn by seed {seed}",))
    whole = parse_recipe({"name": "r", "eval": {"max_problems": 21}})
    assert drawn(everything, whole) == everything
    assert about(everything, 21, whole, "m").notes == ()


@pytest.mark.parametrize("hidden", [True, False])
def test_an_evaluations_metrics_name_every_setting_k_and_difficulty(tmp_path: Path, hidden: bool) -> None:
    """At T=1.0 one of two easy programs passes and none of two hard ones; of all four, two pass the visible tests."""
    visible = {("a", 0): True, ("a", 1): True, ("b", 0): False, ("b", 1): False} if hidden else {}
    rows = [
        sample(problem, index, outcome, difficulty=difficulty, visible=visible.get((problem, index)))
        for problem, difficulty, outcomes in (("a", "easy", ("pass", "failure")), ("b", "hard", ("failure", "failure")))
        for index, outcome in enumerate(outcomes)
    ]
    rows += [sample("a", 0, "pass", setting="greedy"), sample("b", 0, "pass", setting="greedy", difficulty="hard")]
    found = metrics_of("final", recorded(tmp_path, rows, ks=(1, 2)))
    gap = {"eval_visible_hidden_gap_ratio": {"final": 1 / 4}} if hidden else {}
    assert found == {
        "eval_pass_at_k_ratio": {"final|T=1.0|1": 0.25, "final|T=1.0|2": 0.5, "final|greedy|1": 1.0},
        "eval_pass_at_1_by_difficulty_ratio": {"final|easy": 0.5, "final|hard": 0.0},
        **gap,
    }
