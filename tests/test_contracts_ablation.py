"""Ablation recipes: what is read, in which order values win, what is refused and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_ablation import ARMS, ROOT, recipe

from contracts.ablation import chosen_seeds, leaves, load_ablation
from contracts.errors import UserError

RECIPES = sorted((ROOT / "recipes").glob("ablation-*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_arm_of_every_recipe_is_valid(path: Path) -> None:
    ablation = load_ablation(path)
    assert ablation.warm_start(0) is not None
    for arm in ablation.arms:
        run = ablation.run(arm, 0)
        assert run.online != run.control, "only arms without online training pay for supervised steps"


def test_recipes_are_found() -> None:
    assert [path.name for path in RECIPES] == ["ablation-lag.yaml", "ablation-local.yaml", "ablation-misconceptions.yaml"]


def test_the_local_arms_differ_in_what_they_say() -> None:
    ablation = load_ablation(ROOT / "recipes" / "ablation-local.yaml")
    base = leaves(ablation.run("all", 0).model_dump())
    changed = {
        arm: {key: value for key, value in leaves(ablation.run(arm, 0).model_dump()).items() if value != base[key]}
        for arm in ablation.arms
    }
    assert all(values.pop("name") for arm, values in changed.items() if arm != "all")
    assert changed["all"] == {}
    assert changed["coarse"] == {"objective.fine": 0, "objective.adaptive": 0}
    assert changed["offline"] == {"weights.sync_every": 1_000_000, "buffer.max_lag": 1_000_000}
    assert changed["sl-verified"] == {"online": False, "control": True, "problems.corpus": "verified"}
    assert changed["rloo+move"] == {"objective.kind": "rloo", "objective.baseline": "leave_one_out", "objective.spans": "move"}


def test_offline_never_publishes_between_the_first_and_the_last_step() -> None:
    run = load_ablation(ROOT / "recipes" / "ablation-local.yaml", ("steps=100000",)).run("offline", 0)
    assert run.weights.sync_every >= run.steps


def test_arms_win_over_the_command_line_which_wins_over_set_which_wins_over_the_base(tmp_path: Path) -> None:
    arms = {"a": {"about": "", "set": {"objective": {"sl": 0.9}}}, "b": {"about": ""}}
    given: dict[str, Any] = {"set": {"objective": {"sl": 0.7, "alpha_cap": 4.0}, "steps": 9}, "arms": arms}
    ablation = recipe(tmp_path, "objective.sl=0.8", "name=other", "parallel=3", **given)
    a, b = ablation.run("a", 0), ablation.run("b", 0)
    assert (a.objective.sl, b.objective.sl) == (0.9, 0.8)
    assert (b.objective.alpha_cap, b.steps, b.objective.baseline) == (4.0, 9, "group")
    assert (ablation.name, ablation.parallel) == ("other", 3)
    assert ablation.folder == (Path("runs") / "other").absolute()


def test_a_section_in_set_changes_only_the_keys_that_it_names(tmp_path: Path) -> None:
    ablation = recipe(tmp_path, set={"problems.primer": {"misunderstood": 0.5}})
    assert ablation.run("coarse", 0).problems.primer.bug_rate == 0.7, "the base's"
    assert ablation.run("coarse", 0).problems.primer.misunderstood == 0.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"default": ["coarse", "fine"]}, "default names fine, and the arms are sl, coarse, coarse+fine"),
        ({"seeds": [1, 1]}, "seeds [1, 1] holds one twice"),
        ({"seeds": []}, "seeds=[] is not valid: it must not be empty"),
        (
            {"arms": {"a": {"about": "", "set": {"model": {"width": 8}}}}},
            "arm a sets model.width, which all arms of a seed",
        ),
        ({"arms": {"a": {"about": "", "set": {"seed": 8}}}}, "arm a sets seed, which"),
        ({"arms": {"a": {"about": "", "set": {"eval.samples": 9}}}}, "arm a sets eval.samples, which all arms of a seed share"),
        ({"arms": {"a": {"about": "", "set": {"problems": {"path": "x", "corpus": "all"}}}}}, "arm a sets problems.path, which"),
        ({"arms": {"a": {"about": "", "set": {"executors.max_tests": 9}}}}, "arm a sets executors.max_tests, which"),
        ({"arms": {"a": {"about": "", "set": {"sampling.max_new_tokens": 9}}}}, "share: set it for all arms"),
        ({"arms": {"warm-start": {"about": ""}}}, "arm warm-start has a name that means something else"),
        ({"arms": {"../a": {"about": ""}}}, "arm '../a' has no good name"),
        ({"arms": {"a": {}}}, "arms.a.about is missing"),
        ({"set": {"seed": 3}}, "set holds name or seed"),
        ({"set": 3}, "set=3 is not valid: it must be names with a value each"),
        ({"arm": {}}, "unknown key arm. An ablation's keys: name, base, set, "),
        ({"parallel": 0}, "parallel=0 is not valid: Input should be greater than or equal to 1"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        recipe(tmp_path, **changes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"objective.fien": 1}, "arm a: unknown key objective.fien=1. Did you mean fine?"),
        ({"objective.kind": "rloo"}, "arm a: objective: kind=rloo with baseline=group"),
        ({"online": False}, "arm a: online=false with control=false"),
    ],
)
def test_an_arms_bad_key_is_named_with_its_arm(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        recipe(tmp_path, arms={"a": {"about": "", "set": values}}).run("a", 0)
    assert said in str(caught.value)


FREE: list[dict[str, Any]] = [
    {"problems.corpus": "verified"},
    {"executors": {"analyse": True, "cores": 2}},
    {"sampling.temperature": 0.9},
]


@pytest.mark.parametrize("values", FREE, ids=str)
def test_what_no_held_out_verdict_depends_on_an_arm_may_set(tmp_path: Path, values: dict[str, Any]) -> None:
    run = leaves(recipe(tmp_path, arms={"a": {"about": "", "set": values}}).run("a", 0).model_dump())
    assert leaves(values).items() <= run.items()


def test_an_arm_may_leave_out_bad_problems_where_others_are_held_out(tmp_path: Path) -> None:
    arms = {"a": {"about": "", "set": {"problems.checked": "findings.json"}}}
    with pytest.raises(UserError, match=r"arm a sets problems\.checked, on which it depends which problems are held out"):
        recipe(tmp_path, "problems.path=train", arms=arms).run("a", 0)
    run = recipe(tmp_path, "problems.path=train", "problems.heldout_path=test", arms=arms).run("a", 0)
    assert run.problems.checked == Path("findings.json")


def test_runs_at_the_same_time_cannot_have_one_port(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        recipe(tmp_path, "monitor.prometheus_port=9100", parallel=2).chosen(None)
    assert str(caught.value) == (
        "monitor.prometheus_port=9100 can serve one run at a time, and parallel=2 are wanted. "
        "Set parallel=1, or leave monitor.prometheus_port unset: each run takes a free one"
    )
    recipe(tmp_path, "monitor.prometheus_port=9100", parallel=1).chosen(None)
    recipe(tmp_path, "monitor.prometheus_port=0", parallel=2).chosen(None)
    assert recipe(tmp_path, parallel=2).run("sl", 0).monitor.prometheus_port is None
    arms = {"a": {"about": "", "set": {"monitor.prometheus_port": 9100}}}
    with pytest.raises(UserError, match=r"arm a: monitor\.prometheus_port=9100 can serve one run"):
        recipe(tmp_path, parallel=2, arms=arms).chosen(None)


def test_prometheus_finds_an_ablations_runs_where_it_finds_others(tmp_path: Path) -> None:
    ablation = recipe(tmp_path, f"output={tmp_path / 'runs'}")
    start = ablation.warm_start(1)
    assert start is not None
    for run in (start, ablation.run("sl", 0), ablation.run("coarse", 1)):
        assert run.monitor.targets == tmp_path / "runs" / ".prometheus"
        assert run.folder.is_relative_to(ablation.folder)


def test_a_place_of_ones_own_for_target_files_is_kept(tmp_path: Path) -> None:
    arms = {"a": {"about": "", "set": {"monitor.targets": "/mine"}}, "b": {"about": ""}}
    ablation = recipe(tmp_path, "monitor.targets=/ours", arms=arms)
    start = ablation.warm_start(0)
    assert start is not None
    assert [run.monitor.targets for run in (start, ablation.run("a", 0), ablation.run("b", 0))] == [
        Path("/ours"), Path("/mine"), Path("/ours"),
    ]  # fmt: skip


def test_what_the_options_name(tmp_path: Path) -> None:
    ablation = recipe(tmp_path, default=["coarse"])
    assert ablation.chosen(None) == ("coarse",)
    assert ablation.chosen("every") == ("sl", "coarse", "coarse+fine")
    assert ablation.chosen("coarse+fine, sl,sl") == ("coarse+fine", "sl")
    assert recipe(tmp_path).chosen(None) == ("sl", "coarse", "coarse+fine")
    with pytest.raises(UserError, match="there is no arm fine"):
        ablation.chosen("sl,fine")
    assert chosen_seeds("0, 2,0") == (0, 2)
    with pytest.raises(UserError, match="--seeds 0,x: x is no seed"):
        chosen_seeds("0,x")


def test_a_missing_base_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"base": "nope.yaml", "arms": ARMS}))
    with pytest.raises(UserError, match=f"no recipe at {tmp_path / 'nope.yaml'}"):
        load_ablation(path).warm_start(0)


def test_a_runs_recipe_is_sent_to_its_own_command(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("steps: 5\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"run\.yaml is no ablation: .*A run's recipe is for `rltf train`"):
        load_ablation(path)
