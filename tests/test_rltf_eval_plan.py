"""Which programs of an evaluation are sampled together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.recipe import parse_recipe
from contracts.records import Problem, Test
from rltf.evaluate import plan, programs_in_all


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
