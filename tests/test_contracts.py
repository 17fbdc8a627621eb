"""What the rooms agree on: records, reward table, recipes, metric names, summary.json."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import metrics
from contracts.errors import RunError, UserError
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


@pytest.mark.parametrize(
    "number", [2**63 - 1, 2**64 - 1, 2**64, -(2**63) - 1, 10**5000, -(10**5000)], ids=lambda number: f"{number:x}"[:9]
)
def test_whole_numbers_of_any_size_cross_a_border(number: int) -> None:
    tests = (UnitTest([number, {"a": [number, 1.5]}], {1: number}), UnitTest([], number))
    problem = Problem(id="p", question="", fn_name="f", tests=tests, hidden_tests=tests, solutions=("x",))
    assert decode_problems(encode([problem])) == [problem]


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
    labels_ = {label for metric in metrics.ALL for label in metric.labels}
    assert {"split", "difficulty", "outcome"} <= labels_
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


def test_a_summary_from_before_problems_were_counted_one_by_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    tree = msgspec.to_builtins(fake_run.summary())
    for result in (tree["start"], tree["control"], tree["final"]):
        for evaluation in result["evaluations"].values():
            del evaluation["passed"]
    path.write_bytes(msgspec.json.encode(tree))
    assert read_summary(path) == fake_run.summary()


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
