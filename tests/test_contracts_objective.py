"""Objectives in recipes: what makes no sense together is refused, with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.errors import UserError
from contracts.objective import BASELINES
from contracts.recipe import load_recipe, parse_recipe, write_recipe


def refusal(tree: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        parse_recipe({"name": "t", **tree})
    return str(caught.value)


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "grpo", "baseline": "greedy"}, "kind=grpo with baseline=greedy", "set objective.baseline=group"),
    ({"kind": "grpo", "baseline": "leave_one_out"}, "kind=grpo with baseline=leave_one_out", "set objective.baseline=group"),
    ({"kind": "rloo", "baseline": "group"}, "kind=rloo with baseline=group", "set objective.baseline=leave_one_out"),
    ({"kind": "rltf", "correction": "decoupled"}, "kind=rltf clips nothing", "set correction=truncated"),
    ({"kind": "rloo", "correction": "decoupled"}, "kind=rloo clips nothing", "set correction=truncated"),
    ({"kind": "grpo", "correction": "truncated"}, "kind=grpo has clipped ratios", "set correction=decoupled"),
    ({"kind": "ppo", "correction": "truncated"}, "kind=ppo has clipped ratios", "set correction=decoupled"),
    ({"kind": "rltf_reference", "correction": "truncated"}, "kind=rltf_reference has no correction", "choose kind=rltf"),
    ({"kind": "rltf_reference", "correction": "decoupled"}, "kind=rltf_reference has no correction", "choose kind=rltf"),
    ({"kind": "rltf_reference", "kl": 0.1}, "kind=rltf_reference has no correction, kl", "choose kind=rltf"),
    ({"kind": "rltf_reference", "spans": "move"}, "or spans=move", "choose kind=rltf"),
    ({"reference": {"alpha_is_one": False}}, "switches of kind=rltf_reference", "kind=rltf makes no use of them"),
    ({"kind": "rloo", "reference": {"critic": "x"}}, "switches of kind=rltf_reference", "kind=rloo makes no use"),
    ({"static": 0.5, "spans": "none"}, "static has no effect with spans=none", "set spans=add or move, or static=0"),
    ({"coarse": 0, "adaptive": 0, "spans": "move"}, "unit tests teach nothing", "set coarse, adaptive or"),
    ({"coarse": 0, "adaptive": 0, "fine": 0}, "unit tests teach nothing", "with spans=add, fine above 0"),
    ({"skip_zero_variance": True}, "skip_zero_variance is about groups", "set baseline=group or leave_one_out"),
    ({"kind": "ppo", "baseline": "greedy", "skip_zero_variance": True}, "skip_zero_variance", "set baseline=group"),
]


@pytest.mark.parametrize(("objective", "problem", "remedy"), BAD, ids=str)
def test_pieces_that_do_not_go_together_are_refused_with_the_remedy(objective: dict[str, Any], problem: str, remedy: str) -> None:
    message = refusal({"objective": objective})
    assert message.startswith("objective: ")
    assert problem in message
    assert remedy in message


UNFIT: list[tuple[dict[str, Any], str, str]] = [
    (
        {"objective": {"kind": "grpo"}, "sampling": {"top_p": 0.95}},
        "objective.kind=grpo needs the log-probs",
        "set sampling.top_p=1 and sampling.top_k=0",
    ),
    (
        {"objective": {"correction": "truncated"}, "sampling": {"top_k": 5}},
        "top_k=5",
        "set sampling.top_p=1 and sampling.top_k=0",
    ),
    (
        {"objective": {"kl": 0.1}, "sampling": {"top_p": 0.95}},
        "kl=0.1 needs the log-probs",
        "set sampling.top_p=1 and sampling.top_k=0",
    ),
    (
        {"problems": {"corpus": "verified"}, "learner": {"sl_samples": 0}},
        "there are none",
        "leave it at all",
    ),
    ({"objective": {"static": 0.5}}, "objective.static=0.5 needs findings", "set executors.analyse=true, or static=0"),
    (
        {"learner": {"updates": 33, "batch_samples": 64, "ranks": 2}, "sampling": {"samples_per_problem": 16}},
        "a rank's share of 64 programs",
        "learner.updates=33",
    ),
    (
        {"objective": {"kind": "rloo"}, "sampling": {"samples_per_problem": 1}},
        "objective.baseline=leave_one_out",
        "needs sampling.samples_per_problem of 2 or more",
    ),
    (
        {"weights": {"sync_every": 10, "hold_back": 2}, "buffer": {"max_lag": 28}},
        "hold_back=2 make samples 29 steps old",
        "buffer.max_lag=28 must be as much",
    ),
    ({"online": False}, "leaves nothing to train", "set one of them"),
]


@pytest.mark.parametrize(("tree", "problem", "remedy"), UNFIT, ids=str)
def test_objectives_that_the_rest_of_the_recipe_does_not_bear_are_refused(
    tree: dict[str, Any], problem: str, remedy: str
) -> None:
    message = refusal(tree)
    assert problem in message
    assert remedy in message


@pytest.mark.parametrize(
    "tree",
    [
        {"objective": {"kind": "rltf"}, "sampling": {"top_p": 0.95}},
        {"objective": {"kind": "rloo"}, "sampling": {"top_k": 50}},
        {"objective": {"static": 0.5}, "executors": {"analyse": True}},
        {"objective": {"kind": "rltf_reference"}},
        {"objective": {"kind": "rltf_reference"}, "learner": {"sl_samples": 0}},
        {"objective": {"kind": "rltf_reference", "reference": {"alternate": False}}, "learner": {"sl_samples": 64}},
        {
            "learner": {"updates": 32, "batch_samples": 64, "ranks": 2},
            "sampling": {"samples_per_problem": 16},
        },
        {"weights": {"sync_every": 10, "hold_back": 2}, "buffer": {"max_lag": 29}},
        {"online": False, "warmup": {"steps": 1}},
        {"online": False, "control": True},
        {"objective": {"kind": "ppo", "baseline": "greedy", "correction": "decoupled", "kl": 0.1, "spans": "move"}},
        {"objective": {"kind": "rltf", "baseline": "leave_one_out", "skip_zero_variance": True}},
    ],
    ids=str,
)
def test_what_is_next_to_a_refusal_is_taken(tree: dict[str, Any]) -> None:
    assert parse_recipe({"name": "t", **tree}).name == "t"


@pytest.mark.parametrize(
    ("kind", "baseline"),
    [("rltf", "greedy"), ("rltf_reference", "greedy"), ("grpo", "group"), ("rloo", "leave_one_out"), ("ppo", "group")],
)
def test_a_kind_alone_has_its_own_baseline_and_reads_back_the_same(kind: str, baseline: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"objective: {{kind: {kind}}}\nlearner: {{sl_samples: 0}}\n")
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert recipe.objective.baseline == baseline
    assert recipe.needs_greedy == (baseline == "greedy")
    write_recipe(recipe, tmp_path / "config.yaml")
    assert load_recipe(tmp_path / "config.yaml") == recipe
    assert (
        load_recipe(tmp_path / "mine.yaml", ("learner.sl_samples=120", f"objective.kind={kind}")).objective.baseline == baseline
    )


def test_null_takes_back_the_baseline_that_a_recipe_sets() -> None:
    tree = {"name": "t", "objective": {"baseline": None, "kind": "rloo"}}
    assert parse_recipe(tree).objective.baseline == "leave_one_out"
    assert parse_recipe({"name": "t", "objective": {"baseline": None}}).objective.baseline == "greedy"


def test_every_baseline_that_a_kind_can_have_is_taken() -> None:
    for kind, baselines in BASELINES.items():
        for baseline in baselines:
            tree = {"name": "t", "learner": {"sl_samples": 0}, "objective": {"kind": kind, "baseline": baseline}}
            assert parse_recipe(tree).objective.baseline == baseline
