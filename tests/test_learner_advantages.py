"""Baselines, advantages and the sharing out of rows."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import Recipe
from contracts.objective import Baseline, ObjectiveConfig
from contracts.records import Group, LabelledGroup, Labels, Outcome, Verdict
from contracts.sections import SamplingConfig
from learner.advantages import Row, split_evenly, training_rows
from tests.factories import labelled, program


def group(*feedback: tuple[float, float | None], greedy: tuple[float, float | None] | None = None) -> LabelledGroup:
    """A group with these (coarse, adaptive) rewards; the greedy program, where there is one, comes first."""
    texts = ["abc"[: i % 3 + 1] for i in range(len(feedback))]
    programs = [program(text) for text in texts]
    rewards = list(feedback)
    if greedy is not None:
        programs.insert(0, program("gggg", greedy=True))
        rewards.insert(0, greedy)
    return LabelledGroup(
        group=Group(id="g", problem_id="p", batch=0, policy_version=0, temperature=1.0, prompt_ids=[7, 8], programs=programs),
        verdicts=[Verdict(outcome=Outcome.FAILURE, total=1) for _ in programs],
        labels=[
            Labels(
                coarse=coarse, fine=-0.3 if adaptive is None else 0.0, adaptive=adaptive, penalised=[True] * len(one.token_ids)
            )
            for (coarse, adaptive), one in zip(rewards, programs, strict=True)
        ],
    )


def rows_of(entry: LabelledGroup, baseline: Baseline = "greedy", **objective: object) -> list[Row]:
    """The group's rows under a recipe with this objective."""
    config = ObjectiveConfig(baseline=baseline, **objective)  # type: ignore[arg-type]
    return training_rows(entry, Recipe(name="t", objective=config, sampling=SamplingConfig(samples_per_problem=2)))


def advantages(rows: list[Row], term: str) -> list[float]:
    return [row.advantages[term] for row in rows]


def test_the_greedy_program_is_the_baseline_and_is_never_trained_on() -> None:
    rows = rows_of(group((1.0, 1.0), (-0.3, 0.35), (-0.6, None), greedy=(-0.3, 0.1)))
    assert [row.token_ids for row in rows] == [[97], [97, 98], [97, 98, 99]]
    assert advantages(rows, "coarse") == pytest.approx([1.3, 0.0, -0.3])
    assert advantages(rows, "adaptive") == pytest.approx([0.9, 0.25, 0.0])
    assert [row.fine for row in rows] == [0.0, 0.0, -0.3]
    assert [row.prompt_ids for row in rows] == [[7, 8]] * 3
    assert [row.penalised for row in rows] == [[True], [True] * 2, [True] * 3]


def test_an_errored_greedy_program_enters_the_adaptive_baseline_with_its_coarse_reward() -> None:
    rows = rows_of(group((1.0, 1.0), (-1.0, None), greedy=(-0.6, None)))
    assert advantages(rows, "coarse") == pytest.approx([1.6, -0.4])
    assert advantages(rows, "adaptive") == pytest.approx([1.6, 0.0])


def test_the_group_baseline_is_the_mean_over_the_sampled_programs() -> None:
    rows = rows_of(group((1.0, 1.0), (-0.3, 0.1), (-1.0, None), greedy=(5.0, 5.0)), "group")
    assert len(rows) == 3
    assert advantages(rows, "coarse") == pytest.approx([1.1, -0.2, -0.9])
    assert advantages(rows, "adaptive") == pytest.approx([1.0 - 0.1 / 3, 0.1 - 0.1 / 3, 0.0])


def test_a_group_of_equals_has_no_group_advantage() -> None:
    rows = rows_of(labelled("g", coarse=(0.5,) * 4), "group")
    assert [row.advantages for row in rows] == [{"coarse": 0.0, "adaptive": 0.0}] * 4


def test_a_missing_greedy_program_is_an_error_that_names_the_group() -> None:
    with pytest.raises(ValueError, match="group lonely: no greedy program"):
        rows_of(labelled("lonely"))


def test_labels_that_do_not_match_the_programs_are_an_error() -> None:
    entry = labelled("g")
    with pytest.raises(ValueError, match="shorter"):
        rows_of(msgspec.structs.replace(entry, labels=entry.labels[:1]), "group")


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 12))
def test_rows_are_split_into_that_many_parts_of_like_size_and_length(lengths: list[int], parts: int) -> None:
    rows = [Row([1], [i] * length) for i, length in enumerate(lengths)]
    split = split_evenly(rows, parts)
    assert len(split) == parts
    together = [row for part in split for row in part]
    assert sorted(map(id, together)) == sorted(map(id, rows))
    sizes = [len(part) for part in split]
    assert max(sizes) - min(sizes) <= 1
    assert [len(row.token_ids) for row in together] == sorted(lengths)
