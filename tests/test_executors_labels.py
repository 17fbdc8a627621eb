"""Labels: rewards and the penalised tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contracts.records import Category, Detail, Group, Outcome, Problem, Program, Span, Verdict
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.judge import Executor
from executors.labels import label, label_group

TABLE = RewardsConfig()


def program(*tokens: str, end: bool = True) -> Program:
    """A program of these tokens and an end token."""
    starts, ends, at = [], [], 0
    for token in (*tokens, *([""] if end else [])):
        starts.append(at)
        at += len(token)
        ends.append(at)
    return Program(
        text="".join(tokens), token_ids=list(range(len(starts))), logprobs=[-1.0] * len(starts), starts=starts, ends=ends
    )


def error(category: Category, span: Span | None = None) -> Verdict:
    return Verdict(outcome=Outcome.RUNTIME_ERROR, detail=Detail.EXCEPTION, passed=1, total=4, category=category, span=span)


def test_a_located_error_penalises_the_tokens_that_share_a_character_with_it() -> None:
    one = program("x", "=1", "\n  y", "", "/0", "\n", "z")
    assert one.text[6:9] == "y/0"
    labels = label(one, error(Category.LINE, Span(2, 2, 6, 9)), TABLE)
    assert labels.penalised == [False, False, True, False, True, False, False, False]
    assert (labels.coarse, labels.fine, labels.adaptive) == (-0.6, -0.3, None)


def test_the_expression_is_penalised_where_that_is_asked_for_and_known() -> None:
    one = program("x", " =", " y", "/", "0", "\n")
    found = error(Category.LINE, Span(1, 1, 0, 7))
    narrow = structs.replace(found, expression=Span(1, 1, 4, 7))
    whole, part = [True] * 5 + [False] * 2, [False, False, True, True, True, False, False]
    asked = RewardsConfig(span="expression")
    assert [label(one, verdict, TABLE).penalised for verdict in (found, narrow)] == [whole, whole]
    assert [label(one, verdict, asked).penalised for verdict in (found, narrow)] == [whole, part]
    assert label(one, error(Category.GLOBAL), asked).penalised == [True] * 7


def test_other_categories() -> None:
    one = program("a", "b")
    assert label(one, error(Category.GLOBAL), TABLE).penalised == [True, True, True]
    ignored = label(one, error(Category.IGNORE), TABLE)
    assert (ignored.penalised, ignored.fine) == ([False, False, False], 0.0)


def test_rewards_without_an_error() -> None:
    one = program("a")
    passed = label(one, Verdict(outcome=Outcome.PASS, passed=4, total=4), TABLE)
    assert (passed.coarse, passed.fine, passed.adaptive, passed.penalised) == (1.0, 0.0, 1.0, [False, False])
    failed = label(one, Verdict(outcome=Outcome.FAILURE, passed=1, total=4), TABLE)
    assert (failed.coarse, failed.fine, failed.penalised) == (-0.3, 0.0, [False, False])
    assert failed.adaptive is not None
    assert abs(failed.adaptive - (-0.3 + 1.3 / 4)) < 1e-12


@given(st.lists(st.text("ab\n", max_size=3), min_size=1, max_size=8), st.data())
def test_penalised_tokens_cover_the_span_and_nothing_beyond_their_ends(tokens: list[str], data: st.DataObject) -> None:
    one = program(*tokens)
    first = data.draw(st.integers(0, len(one.text)))
    last = data.draw(st.integers(first, len(one.text)))
    penalised = label(one, error(Category.LINE, Span(1, 1, first, last)), TABLE).penalised
    covered = {char for start, end, hit in zip(one.starts, one.ends, penalised, strict=True) if hit for char in range(start, end)}
    assert set(range(first, last)) <= covered
    for start, end, hit in zip(one.starts, one.ends, penalised, strict=True):
        assert hit == bool(set(range(start, end)) & set(range(first, last)))


def group(*programs: Program) -> Group:
    return Group(id="g", problem_id="p", batch=0, policy_version=3, temperature=1.0, prompt_ids=[1], programs=list(programs))


def test_programs_that_the_sandbox_failed_are_left_out() -> None:
    passed, broken = Verdict(outcome=Outcome.PASS, passed=1, total=1), Verdict(outcome=Outcome.SANDBOX_ERROR)
    labelled = label_group(group(program("b"), program("a"), program("b")), [broken, passed, broken], TABLE)
    assert [one.text for one in labelled.group.programs] == ["a"]
    assert len(labelled.verdicts) == len(labelled.labels) == 1
    assert (labelled.group.id, labelled.group.policy_version) == ("g", 3)


def test_a_missing_colon_penalises_the_token_that_took_its_place() -> None:
    problem = Problem(id="p", question="", tests=(UnitTest("", "1"),))
    one = program("x = 1\n", "if", " x", "\n    ", "print", "(x)", "\n")
    with Executor(ExecutorsConfig(), TABLE) as executor:
        labelled = label_group(group(one), [executor.judge(problem, one.text)], TABLE)
    assert labelled.labels[0].penalised == [False, True, True, True, False, False, False, False]
    assert labelled.labels[0].coarse == -1.0
