"""What the rooms agree on: records, reward table, recipes, metric names, summary.json."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from contracts import metrics
from contracts.config import Recipe
from contracts.errors import RunError, UserError
from contracts.recipe import load_recipe, parse_recipe, write_recipe
from contracts.records import (
    SCHEMA_VERSION,
    Category,
    Detail,
    Group,
    LabelledGroup,
    Labels,
    Outcome,
    Problem,
    Program,
    SchemaError,
    Span,
    Verdict,
    decode_groups,
    decode_labelled,
    decode_problems,
    encode,
)
from contracts.records import Test as UnitTest
from contracts.records import TestResult as UnitTestResult
from contracts.rewards import adaptive_reward, coarse_reward
from contracts.sections import RewardsConfig
from contracts.summary import Summary, read_summary, write_summary
from tests import fake_run
from tests.factories import labelled

RECIPES = sorted((Path(__file__).resolve().parent.parent / "recipes").glob("*.yaml"))

# Records

texts = st.text(max_size=12)
numbers = st.floats(allow_nan=False)
counts = st.integers(0, 2**31)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
tests_ = st.lists(st.builds(UnitTest, input=plain, expected=plain), max_size=3).map(tuple)
programs_text = st.lists(texts, max_size=2).map(tuple)
problems = st.builds(
    Problem,
    id=texts,
    question=texts,
    starter_code=texts,
    fn_name=st.none() | texts,
    tests=tests_,
    hidden_tests=tests_,
    solutions=programs_text,
    corpus=programs_text,
    difficulty=texts,
    source=texts,
)
verdicts = st.builds(
    Verdict,
    outcome=st.sampled_from(Outcome),
    detail=st.none() | st.sampled_from(Detail),
    error_type=st.none() | texts,
    message=texts,
    passed=counts,
    total=counts,
    tests=st.lists(st.builds(UnitTestResult, outcome=st.sampled_from(Outcome), seconds=numbers), max_size=2).map(tuple),
    category=st.none() | st.sampled_from(Category),
    span=st.none() | st.builds(Span, counts, counts, counts, counts),
    seconds=numbers,
)
programs = st.builds(
    Program,
    text=texts,
    token_ids=st.lists(counts, max_size=3),
    logprobs=st.lists(numbers, max_size=3),
    starts=st.lists(counts, max_size=3),
    ends=st.lists(counts, max_size=3),
    truncated=st.booleans(),
    greedy=st.booleans(),
)
groups = st.builds(
    Group,
    id=texts,
    problem_id=texts,
    batch=counts,
    policy_version=counts,
    temperature=numbers,
    prompt_ids=st.lists(counts, max_size=3),
    prompt_cut=counts,
    programs=st.lists(programs, max_size=2),
)
labels = st.builds(
    Labels, coarse=numbers, fine=numbers, adaptive=st.none() | numbers, penalised=st.lists(st.booleans(), max_size=3)
)
entries = st.builds(LabelledGroup, group=groups, verdicts=st.lists(verdicts, max_size=2), labels=st.lists(labels, max_size=2))


@given(entry=entries)
def test_labelled_groups_survive_the_buffer(entry: LabelledGroup) -> None:
    assert decode_labelled(encode(entry)) == entry


@given(batch=st.lists(groups, max_size=2), problem_set=st.lists(problems, max_size=2))
def test_batches_and_problem_sets_survive_the_way_between_actors(batch: list[Group], problem_set: list[Problem]) -> None:
    assert decode_groups(encode(batch)) == batch
    assert decode_problems(encode(problem_set)) == problem_set


def test_an_entry_of_another_schema_is_refused() -> None:
    other = msgspec.structs.replace(labelled("g"), schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(SchemaError, match=f"schema {SCHEMA_VERSION + 1}, this program reads {SCHEMA_VERSION}"):
        decode_labelled(encode(other))


@pytest.mark.parametrize(
    "payload", [b"", b"\x80", b"\x93\x01\x02\x03", encode(labelled("g"))[:-1], encode([labelled("g").group])]
)
def test_what_is_no_entry_is_refused(payload: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_labelled(payload)


def test_greedy_programs_are_no_samples() -> None:
    assert labelled("g", samples=3, greedy=-0.3).samples == 3
    assert len(labelled("g", samples=3, greedy=-0.3).group.programs) == 4


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        labelled("g").group.id = "h"  # type: ignore[misc]


# Reward table


@pytest.mark.parametrize(
    ("outcome", "reward"),
    [(Outcome.PASS, 1.0), (Outcome.FAILURE, -0.3), (Outcome.RUNTIME_ERROR, -0.6), (Outcome.SYNTAX_ERROR, -1.0)],
)
def test_coarse_rewards_are_the_published_ones(outcome: Outcome, reward: float) -> None:
    assert coarse_reward(Verdict(outcome=outcome, total=3), RewardsConfig()) == reward


def test_coarse_rewards_follow_the_table() -> None:
    table = RewardsConfig(passed=2.0, failure=0.5, runtime_error=0.25, syntax_error=0.125)
    scored = [coarse_reward(Verdict(outcome=outcome), table) for outcome in list(Outcome)[:4]]
    assert scored == [2.0, 0.5, 0.25, 0.125]


def test_a_sandbox_error_is_never_scored() -> None:
    with pytest.raises(ValueError, match="SANDBOX_ERROR"):
        coarse_reward(Verdict(outcome=Outcome.SANDBOX_ERROR), RewardsConfig())
    assert adaptive_reward(Verdict(outcome=Outcome.SANDBOX_ERROR, total=3), RewardsConfig()) is None


@given(total=st.integers(1, 100), share=st.floats(0, 1))
def test_the_adaptive_reward_follows_the_share_of_passed_tests(total: int, share: float) -> None:
    passed = round(share * total)
    outcome = Outcome.PASS if passed == total else Outcome.FAILURE
    reward = adaptive_reward(Verdict(outcome=outcome, passed=passed, total=total), RewardsConfig())
    assert reward == pytest.approx(-0.3 + 1.3 * passed / total, abs=1e-12)


@pytest.mark.parametrize(("passed", "reward"), [(0, -0.3), (5, 0.35), (10, 1.0)])
def test_adaptive_rewards_at_none_half_and_all(passed: int, reward: float) -> None:
    verdict = Verdict(outcome=Outcome.PASS if passed == 10 else Outcome.FAILURE, passed=passed, total=10)
    assert adaptive_reward(verdict, RewardsConfig()) == pytest.approx(reward, abs=1e-12)


def test_the_adaptive_reward_spans_from_failure_to_passed() -> None:
    verdict = Verdict(outcome=Outcome.FAILURE, passed=1, total=4)
    assert adaptive_reward(verdict, RewardsConfig(failure=0.0, passed=2.0)) == 0.5


@pytest.mark.parametrize("outcome", [Outcome.RUNTIME_ERROR, Outcome.SYNTAX_ERROR])
def test_programs_that_raised_have_no_adaptive_reward(outcome: Outcome) -> None:
    assert adaptive_reward(Verdict(outcome=outcome, passed=4, total=5), RewardsConfig()) is None


# Recipes


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
        ("steps=many", "steps='many' is not valid: "),
        ("steps=2.5", "steps=2.5 is not valid: "),
        ("learner.optimizer.lr=0", "learner.optimizer.lr=0 is not valid: Input should be greater than 0"),
        ("eval.temperatures=[1.0, -1]", "eval.temperatures.1=-1 is not valid: "),
        ("eval.temperatures=[0.6, 0.6]", "eval: temperatures [0.6, 0.6] holds one twice"),
        ("weights.transport=tcp", "weights.transport='tcp' is not valid: Input should be 'auto', 'gloo', 'nccl' or 'ipc'"),
        ("learner=3", "learner=3 is not valid: "),
        ("name=a/b", "name='a/b' is not valid: "),
        ("name=..", "name='..' is not valid: "),
        ("steps.more=3", "override 'steps.more=3': steps is a value, not a section"),
        ("steps", "override 'steps' has no value. Write key.path=value"),
        ("=3", "override '=3' has no value"),
        ("steps=[1", "override 'steps=[1' is not YAML. Quote the value"),
        ("name=2024-13-45", "override 'name=2024-13-45' is not YAML. Quote the value"),
        ("eval.k=[9]", "k=9 needs at least as many samples per problem, there are 8"),
        ("eval.k=[]", "eval.k="),
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
        (b"name: \xff\n", r"mine\.yaml is not YAML: .*utf-8"),
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


# Errors


@pytest.mark.parametrize(("kind", "code"), [(UserError, 2), (RunError, 1)])
def test_errors_keep_both_parts_on_the_way_between_processes(kind: type[UserError], code: int) -> None:
    rebuild, parts = kind("steps=x is bad", "Mend it").__reduce__()
    copy = rebuild(*parts)
    assert type(copy) is kind
    assert (str(copy), copy.message, copy.remedy, copy.exit_code) == (
        "steps=x is bad. Mend it",
        "steps=x is bad",
        "Mend it",
        code,
    )


# Metric names


def test_metric_names_are_unique_and_say_what_they_are() -> None:
    names = [metric.name for metric in metrics.ALL]
    assert len(names) == len(set(names)) >= 20
    for metric in metrics.ALL:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert not metric.name.startswith(metrics.PREFIX), "the prefix is put before it in one place"
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_ratio") == (metric.unit == "share")
        assert metric.unit == "seconds" if re.search(r"seconds(_total)?$", metric.name) else metric.unit != "seconds"
        assert metric.help


def test_prefixed_names_are_what_prometheus_allows() -> None:
    assert all(re.fullmatch(r"rltf_[a-z0-9_]+", metrics.PREFIX + metric.name) for metric in metrics.ALL)
    labels_ = [metric.label for metric in metrics.ALL if metric.label is not None]
    assert all(re.fullmatch(r"[a-z]+", label) for label in labels_)


# summary.json


def test_a_summary_reads_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    summary = fake_run.summary()
    write_summary(summary, path)
    assert read_summary(path) == summary
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"], "written in one move"
    write_summary(Summary(name="other"), path)
    assert read_summary(path) == Summary(name="other")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"name": "r", "status": "resting"}', b'{"name": "r", "steps": "1"}'])
def test_what_is_no_summary_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(msgspec.DecodeError):
        read_summary(tmp_path / "summary.json")


def test_summaries_share_no_defaults() -> None:
    first, second = Summary(name="a"), Summary(name="b")
    first.outcomes["pass"] = 3
    first.lag.maximum = 7
    assert (second.outcomes, second.lag.maximum) == ({}, 0)
