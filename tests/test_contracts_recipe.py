"""Recipes: reading, overriding, refusing, writing."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import load_recipe, parse_recipe, write_recipe

RECIPES = [
    path
    for path in sorted((Path(__file__).resolve().parent.parent / "recipes").glob("*.yaml"))
    if not path.name.startswith("ablation-")
]


def write(tmp_path: Path, text: str, name: str = "mine.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(tree: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        parse_recipe(tree)
    return str(caught.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_is_valid_and_its_resolved_copy_reads_back_the_same(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    write_recipe(recipe, tmp_path / "config.yaml")
    assert load_recipe(tmp_path / "config.yaml") == recipe
    written = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    assert set(written) == set(Recipe.model_fields), "every default is spelled out"


def test_recipes_are_found() -> None:
    assert "local.yaml" in [path.name for path in RECIPES]


@given(
    seed=st.integers(0, 2**40),
    template=st.text(st.characters(codec="utf-8", exclude_characters="{}")),
    lr=st.floats(1e-300, 1e300),
    temperatures=st.lists(st.floats(0.01, 10), min_size=1, max_size=3, unique=True),
    url=st.none() | st.text(st.characters(codec="ascii", categories=["L", "N"])).map("redis://{}".format),
)
def test_any_values_survive_writing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, template: str, lr: float, temperatures: list[float], url: str | None
) -> None:
    recipe = parse_recipe(
        {
            "name": "r",
            "seed": seed,
            "prompt": {"template": template},
            "learner": {"optimizer": {"lr": lr}},
            "eval": {"temperatures": temperatures},
            "buffer": {"url": url},
        }
    )
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    write_recipe(recipe, path)
    assert load_recipe(path) == recipe


def test_a_recipe_without_a_name_has_its_files(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, "steps: 5\n", "ablation.yaml")).name == "ablation"
    assert load_recipe(write(tmp_path, "", "empty.yaml")) == Recipe(name="empty")


def test_overrides_come_last_and_are_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, "steps: 5\nlearner: {ranks: 2, optimizer: {lr: 0.1}}\n")
    overrides = (
        "steps=7",
        "steps=8",
        "learner.optimizer.lr=2e-5",
        "control=yes",
        "eval.k=[1, 2]",
        "buffer.url=null",
        "prompt.template={question}=",
        "name='12'",
    )
    with pytest.raises(UserError, match=r"prompt\.template="):  # YAML reads {question} as a mapping: quoting says that it is text
        load_recipe(path, overrides)
    recipe = load_recipe(path, tuple(text.replace("={question}=", "='{question}='") for text in overrides))
    assert (recipe.steps, recipe.learner.optimizer.lr, recipe.control, recipe.eval.k) == (8, 2e-5, True, (1, 2))
    assert (recipe.buffer.url, recipe.prompt.template, recipe.name) == (None, "{question}=", "12")
    assert recipe.learner.ranks == 2, "what is beside an overridden key stays"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stpes=3", "unknown key stpes=3. Did you mean steps?"),
        ("learner.rank=2", "unknown key learner.rank=2. Did you mean ranks?"),
        ("learner.optimizer.learning_rate=1", "unknown key learner.optimizer.learning_rate=1. There are: lr, weight_decay"),
        ("steps=many", "steps='many' is not valid: it must be a whole number. Mend it in"),
        ("steps=2.5", "steps=2.5 is not valid: it must be a whole number"),
        ("steps=", "steps has no value. Give it one, or leave the key out"),
        ("online=perhaps", "online='perhaps' is not valid: it must be true or false"),
        ("output=5", "output=5 is not valid: it must be a path, as text. Quote it, on the command line as \"output='…'\""),
        ("learner.optimizer.lr=0", "learner.optimizer.lr=0 is not valid: Input should be greater than 0"),
        ("eval.temperatures=[1.0, -1]", "eval.temperatures.1=-1 is not valid: "),
        ("eval.temperatures=[0.6, 0.6]", "eval: temperatures [0.6, 0.6] holds one twice"),
        ("weights.transport=tcp", "weights.transport='tcp' is not valid: Input should be 'auto', 'gloo', 'nccl' or 'ipc'"),
        ("learner=3", "learner=3: learner is a section. Its keys: learner.ranks"),
        ("name=a/b", "name: 'a/b' is no name: it may hold letters, digits, dots, _ and -, and begins with a letter or a digit"),
        ("name=..", "name: '..' is no name: "),
        ("steps.more=3", "override 'steps.more=3': steps is a value, not a section"),
        ("steps", "override 'steps' has no value. Write key.path=value"),
        ("=3", "override '=3' has no value"),
        ("steps=[1", "override 'steps=[1' is not YAML. Quote the value"),
        ("name=2024-13-45", "override 'name=2024-13-45' is not YAML. Quote the value"),
        ("eval.k=[9]", "k=9 needs at least as many samples per problem, there are 8"),
        ("eval.k=[]", "eval.k=[] is not valid: it must not be empty"),
        ("eval.k=5", "eval.k=5 is not valid: it must be a list. Write eval.k=[5]"),
        ("model.lora={targets: 5}", "model.lora.targets=5 is not valid: it must be a list. Write model.lora.targets=[5]"),
        ("problems.split=trian", "problems.split='trian' is not valid: it must be a list. Write problems.split=[trian]"),
        ("eval.temperatures=[]", "eval.temperatures="),
    ],
)
def test_a_bad_override_is_named_with_its_value(tmp_path: Path, override: str, said: str) -> None:
    path = write(tmp_path, "steps: 5\n")
    with pytest.raises(UserError) as caught:
        load_recipe(path, (override,))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"steps: [1\n", r"mine\.yaml is not YAML: .*line 2"),
        (b"steps: 5\n\tcontrol: true\n", r"mine\.yaml is not YAML: .*line 2"),
        (b"name: \xff\n", r"mine\.yaml is not UTF-8: .*Save it as UTF-8"),
        (b"name: 2024-13-45\n", r"mine\.yaml is not YAML: month"),
        (b"- 1\n", r"mine\.yaml holds no keys"),
        (b"steps: 5\n5: steps\n", r"5=.*is not valid"),
    ],
)
def test_bad_yaml_is_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_lists_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(tmp_path / "nope.yaml")
    assert str(tmp_path / "nope.yaml") in caught.value.message
    assert [f"recipes/{path.name}" for path in RECIPES] == re.findall(r"recipes/[\w.-]+", caught.value.remedy)


def test_a_recipe_that_cannot_be_read_is_named() -> None:
    with pytest.raises(UserError, match=r"^/proc/self/mem cannot be read: "):
        load_recipe(Path("/proc/self/mem"))


DETERMINISTIC = {
    "name": "r",
    "deterministic": True,
    "actors": {"in_flight": 1},
    "sampling": {"samples_per_problem": 4, "problems_per_batch": 32},
}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"sampling": {"samples_per_problem": 1}, "objective": {"baseline": "group"}}, "samples_per_problem of 2 or more"),
        ({"learner": {"ranks": 7}}, "6 groups per step cannot be shared by learner.ranks=7"),
        ({"buffer": {"capacity": 119}}, "buffer.capacity=119 holds less than a step's 120 samples"),
        ({"buffer": {"on_exhausted": "reshuffle"}}, "buffer: on_exhausted=reshuffle draws groups again: set max_uses"),
        ({"buffer": {"overflow": "block", "max_uses": 0}}, "overflow=block with max_uses=0 would block for ever"),
        ({"model": {"width": 100}}, "model: width 100 must be a multiple of 8"),
        ({"deepspeed": {"precision": "bf16"}}, "precision=bf16 needs a zero_stage of 1 or more: set deepspeed.zero_stage=1"),
        ({"deepspeed": {"precision": "fp16", "zero_stage": 1}}, "deepspeed.precision=fp16 needs GPUs: set learner.num_gpus"),
        (DETERMINISTIC | {"actors": {"in_flight": 2}}, "deterministic=true needs actors.count=1"),
        (DETERMINISTIC | {"executors": {"count": 2}}, "deterministic=true needs actors.count=1"),
        (DETERMINISTIC | {"buffer": {"capacity": 255}}, "deterministic=true needs a buffer.capacity of 256"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(section: dict[str, Any], said: str) -> None:
    assert said in refusal({"name": "r"} | section)


def test_settings_at_the_edge_of_contradiction_are_fine() -> None:
    parse_recipe({"name": "r", "buffer": {"capacity": 120}, "learner": {"ranks": 6}})
    parse_recipe({"name": "r", "buffer": {"on_exhausted": "reshuffle", "max_uses": 0}})
    parse_recipe({"name": "r", "deepspeed": {"precision": "bf16", "zero_stage": 1}})
    parse_recipe({"name": "r", "deepspeed": {"precision": "fp16", "zero_stage": 1}, "learner": {"num_gpus": 0.5}})
    assert parse_recipe(DETERMINISTIC).groups_per_step == 32


@pytest.mark.parametrize(("samples", "n", "groups_"), [(128, 20, 6), (128, 4, 32), (10, 4, 2), (3, 8, 1)])
def test_batches_are_whole_groups(samples: int, n: int, groups_: int) -> None:
    tree = {"name": "r", "learner": {"batch_samples": samples}, "sampling": {"samples_per_problem": n}}
    assert parse_recipe(tree).groups_per_step == groups_


def test_the_greedy_program_is_sampled_where_the_baseline_asks_for_it() -> None:
    assert parse_recipe({"name": "r", "objective": {"baseline": "greedy"}}).needs_greedy
    assert not parse_recipe({"name": "r", "objective": {"baseline": "group"}}).needs_greedy


def test_recipes_are_frozen() -> None:
    recipe = Recipe(name="r")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.steps = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        recipe.learner.optimizer.lr = 1.0  # type: ignore[misc]


def sections(of: type[BaseModel]) -> list[type[BaseModel]]:
    """A section and all below it."""
    children = [field.annotation for field in of.model_fields.values()]
    below = [child for child in children if isinstance(child, type) and issubclass(child, BaseModel)]
    return [of, *(section for child in below for section in sections(child))]


def test_every_key_is_explained() -> None:
    assert len(sections(Recipe)) >= 19
    unexplained = [
        f"{section.__name__}.{name}"
        for section in sections(Recipe)
        for name, field in section.model_fields.items()
        if not (field.description or "").strip()
    ]
    assert unexplained == []


def test_no_section_hides_in_a_type_that_the_search_for_near_names_cannot_walk() -> None:
    hidden = [
        name
        for section in sections(Recipe)
        for name, field in section.model_fields.items()
        for part in typing.get_args(field.annotation)
        if isinstance(part, type) and issubclass(part, BaseModel)
    ]
    assert hidden == []


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("learner.lr=0.1", "Did you mean learner.optimizer.lr or warmup.optimizer.lr or critic.optimizer.lr?"),
        ("problems=folder", "problems is a section. Its keys: problems.path, problems.heldout_path"),
        ("problems.heldout_fraction=0", "problems.heldout_fraction=0 is not valid"),
    ],
)
def test_typical_slips_are_answered_with_the_key_that_was_meant(override: str, said: str) -> None:
    recipe = Path(__file__).resolve().parent.parent / "recipes" / "local.yaml"
    with pytest.raises(UserError) as caught:
        load_recipe(recipe, (override,))
    assert said in str(caught.value)


def test_an_ablations_recipe_is_sent_to_its_own_command() -> None:
    path = RECIPES[0].with_name("ablation-local.yaml")
    with pytest.raises(UserError, match=r"ablation-local\.yaml is a recipe for `rltf ablate`"):
        load_recipe(path)
