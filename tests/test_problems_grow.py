"""Made inputs: they keep to what the inputs seen have in common, and follow from the seed alone."""

from __future__ import annotations

import ast
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.records import Problem
from contracts.records import Test as UnitTest
from problems.grow import assert_test, distinct, propose
from problems.grow.asserts import arguments_of, literal
from problems.grow.inference import learn
from problems.grow.layout import Count, Layout
from problems.grow.profile import Profile, skeleton
from problems.grow.scalars import levelled, other_number, other_word, reordered
from problems.grow.values import ValuesMutator


def stdin(*texts: str) -> Problem:
    return Problem(id="p", question="", tests=tuple(UnitTest(text, "") for text in texts))


def made(problem: Problem, count: int = 60, seed: int = 0) -> list[Any]:
    return [proposal.input for proposal in propose(problem, seed, count).inputs]


ARRAYS = ("2\n3\n5 1 9\n2\n7 7\n", "1\n4\n1 2 3 4\n")
GRAPHS = ("3 2\n1 2\n3 1\n5\n", "4 3\n1 2\n2 3\n3 4\n6\n", "2 1\n2 1\n3\n")
WORDS = ("2\n3\nabc\n4\nacba\n", "1\n2\nbb\n")
OWN_COUNT = ("2\n2 5 6\n3 1 2 3\n", "1\n1 9\n", "3\n1 2\n2 2 2\n1 1\n")


@pytest.mark.parametrize(
    ("texts", "cases", "rows", "widths", "lengths"),
    [
        (ARRAYS, True, (None, None), (1, Count(0, 0)), {}),
        (GRAPHS, False, (None, Count(0, 1), None), (2, 2, 1), {}),
        (WORDS, True, (None, None), (1, 1), {"1.0": Count(0, 0)}),
        (OWN_COUNT, False, (None, Count(0, 0)), (1, Count(1, 0, 1, 1)), {}),
        (("1 2\n", "3 4\n"), False, (None,), (2,), {}),
        (("a b c\n", "d e\n"), False, (None,), (None,), {}),
    ],
)
def test_layouts_are_recognised(texts: tuple[str, ...], cases: bool, rows: Any, widths: Any, lengths: Any) -> None:
    layout = learn(texts)
    assert layout is not None
    assert (layout.cases, layout.rows, layout.widths, layout.lengths) == (cases, rows, widths, lengths)
    for text in texts:
        blocks = layout.parse(text)
        assert blocks is not None
        assert layout.text(blocks) == text


@pytest.mark.parametrize("texts", [("1\n", "1\n2\n", "1 2\n\n\n3\n"), ("a  b\n",), ("a\tb\n",)])
def test_other_layouts_are_left_alone(texts: tuple[str, ...]) -> None:
    assert learn(texts) is None
    with pytest.raises(ValueError, match="no layout"):
        propose(stdin(*texts), 0, 10)


@pytest.mark.parametrize("text", ["3\n5 1\n", "2\n5 1 2\n", "x\n5\n", "1\n1\n1\n1\n"])
def test_an_input_of_another_shape_does_not_fit(text: str) -> None:
    layout = Layout(False, (None, None), (1, Count(0, 0)), {}, frozenset({"0.0", "1.*"}))
    assert layout.parse("2\n5 1\n") == [[[["2"]], [["5", "1"]]]]
    assert layout.parse(text) is None


arrays = st.lists(st.lists(st.integers(-50, 50), min_size=1, max_size=6), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(arrays, min_size=2, max_size=4), st.integers(0, 9))
def test_made_arrays_have_the_length_that_they_say_and_values_that_were_seen(inputs: list[list[list[int]]], seed: int) -> None:
    texts = ["".join([f"{len(one)}\n", *(f"{len(row)}\n{' '.join(map(str, row))}\n" for row in one)]) for one in inputs]
    values = [value for one in inputs for row in one for value in row]
    lengths = [len(row) for one in inputs for row in one]
    try:
        found = made(stdin(*texts), 15, seed)
    except ValueError:
        return
    layout = learn(texts)
    assert layout is not None
    for text in found:
        assert layout.parse(text) is not None
        lines = text.splitlines()
        if not layout.cases or layout.rows != (None, None):  # so few inputs may have another reading
            continue
        assert 1 <= int(lines[0]) == (len(lines) - 1) / 2 <= max(map(len, inputs))
        for size, row in zip(lines[1::2], lines[2::2], strict=True):
            numbers = list(map(int, row.split()))
            assert min(lengths) <= int(size) == len(numbers) <= max(lengths)
            assert min(values) <= min(numbers) <= max(numbers) <= max(values)


def test_all_rules_have_their_turn_and_nothing_comes_twice() -> None:
    problem = stdin(*ARRAYS, "3\n5\n4 8 4 2 6\n1\n3\n2\n9 1\n")
    proposals = propose(problem, 0, 60).inputs
    assert {proposal.rule for proposal in proposals} >= {"recombine", "value 1.*", "order 1.*", "level 1.*", "size 0.0"}
    inputs = [proposal.input for proposal in proposals]
    assert len(set(inputs)) == len(inputs) == 60
    assert not set(inputs) & {test.input for test in problem.tests}
    assert made(problem) == inputs
    assert made(problem, seed=1) != inputs


def test_what_always_holds_is_kept() -> None:
    permutations = made(stdin("3\n2 3 1\n", "4\n1 2 4 3\n", "2\n2 1\n", "5\n5 1 4 2 3\n"))
    assert len(permutations) > 20
    for text in permutations:
        size, row = text.splitlines()
        assert sorted(map(int, row.split())) == list(range(1, int(size) + 1))
    for text in made(stdin("3\n1 5 9\n", "4\n2 4 6 6\n", "2\n0 3\n", "2\n5 5\n")):
        row = list(map(int, text.split()[1:]))
        assert row == sorted(row)
    for text in made(stdin("3 7\n", "2 9\n", "8 8\n", "1 4\n")):
        low, high = map(int, text.split())
        assert low <= high


def test_trees_stay_trees() -> None:
    trees = made(stdin("4\n1 2\n1 3\n3 4\n", "3\n1 2\n2 3\n", "5\n1 2\n1 3\n1 4\n4 5\n", "6\n3 1\n1 2\n5 1\n4 2\n4 6\n"), 40)
    assert len(trees) > 5
    for text in trees:
        size, *edges = text.splitlines()
        group = {str(node): str(node) for node in range(1, int(size) + 1)}
        for edge in edges:
            one, other = (group[node] for node in edge.split())
            assert one != other
            group = {node: other if above == one else above for node, above in group.items()}
        assert len(edges) == int(size) - 1
        assert len(set(group.values())) == 1


def test_words_keep_their_letters_and_their_structure() -> None:
    for text in made(stdin("0110\n", "10\n", "111\n", "1\n")):
        assert set(text.strip()) <= {"0", "1"}
        assert 1 <= len(text.strip()) <= 4
    for text in made(stdin("(())\n", "()\n", "()()()\n", "(()())\n")):
        assert text.count("(") == text.count(")")
        assert all(text[:at].count("(") >= text[:at].count(")") for at in range(len(text)))
    profile = Profile([{"date": ["10-20-2010"]}, {"date": ["1-2-1999"]}])
    assert profile.allows({"date": ["1-9-2020"]})
    assert not profile.allows({"date": ["19-92020"]})
    assert skeleton("ab1-Ω22 c") == "a9-a9 a"


def test_few_words_that_repeat_are_a_vocabulary() -> None:
    profile = Profile([{"verb": ["add", "pop", "add"]}, {"verb": ["pop", "add", "add"]}])
    assert profile.vocabularies == {"verb": {"add", "pop"}}
    assert not profile.allows({"verb": ["dad", "pop", "add"]})
    assert profile.allows({"verb": ["pop", "pop", "add"]})


@given(st.integers(-100, 100), st.integers(-100, 100), st.integers(-100, 100), st.integers())
def test_another_number_is_another_one_within_the_ends(old: int, one: int, other: int, seed: int) -> None:
    low, high = sorted((one, other))
    found = other_number(Random(seed), old, low, high)
    assert (found is None and low == high == old) or (found != old and low <= found <= high)  # type: ignore[operator]


@given(st.text("abc", max_size=6), st.integers())
def test_words_and_orders(word: str, seed: int) -> None:
    rng = Random(seed)
    found = other_word(rng, word, "abc", min(len(word), 2), max(len(word), 4))
    assert set(found) <= set("abc")
    assert min(len(word), 2) <= len(found) <= max(len(word), 4)
    assert sorted(reordered(rng, word)) == sorted(word)
    assert set(levelled(rng, word)) <= set(word)
    assert len(levelled(rng, word)) == len(word)


ARGUMENTS: list[list[Any]] = [
    [[3, 1, 2], "ab", 4, True, {"a": 1, "b": 2}, (1.5, 2.25), {1, 2}, None],
    [[5], "cab", 9, False, {"a": 7}, (0.5,), {3}, None],
    [[2, 2, 8, 4], "b", 6, True, {"b": 3, "c": 4, "a": 9}, (9.75, 1.0, 2.0), {2, 5, 7}, None],
]


def test_made_arguments_have_the_types_and_ranges_of_those_seen() -> None:
    seen = literal(ARGUMENTS)
    mutator = ValuesMutator(ARGUMENTS)
    rng = Random(0)
    found = [arguments for rule in mutator.rules for _ in range(6) if (arguments := mutator.make(rule, rng)) is not None]
    assert len({literal(arguments) for arguments in found}) > 25
    for numbers, word, number, flag, named, reals, kinds, nothing in found:
        assert 1 <= len(numbers) <= 4
        assert all(type(value) is int and 1 <= value <= 8 for value in numbers)
        assert set(word) <= set("abc")
        assert 4 <= number <= 9
        assert isinstance(flag, bool)
        assert set(named) <= set("abc")
        assert all(1 <= value <= 9 for value in named.values())
        assert isinstance(reals, tuple)
        assert all(0.5 <= value <= 9.75 and round(value, 2) == value for value in reals)
        assert isinstance(kinds, set)
        assert kinds <= {1, 2, 3, 4, 5, 6, 7}
        assert nothing is None
    assert literal(ARGUMENTS) == seen


hashable = st.recursive(st.integers() | st.text(max_size=3), lambda inner: st.tuples(inner) | st.frozensets(inner, max_size=2))
mixed = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | hashable,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(hashable, inner, max_size=2)
        | st.sets(hashable, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(mixed, mixed), min_size=1, max_size=3), st.integers())
def test_any_plain_arguments_can_be_changed(seen: list[tuple[Any, Any]], seed: int) -> None:
    mutator = ValuesMutator(seen)
    rng = Random(seed)
    kinds = [{type(value) for value in column} for column in zip(*seen, strict=True)]
    for rule in mutator.rules:
        arguments = mutator.make(rule, rng)
        if arguments is not None:
            assert all(type(value) in column for value, column in zip(arguments, kinds, strict=True))


def test_arguments_that_are_no_plain_data_are_refused() -> None:
    with pytest.raises(ValueError, match="no plain data"):
        ValuesMutator([[1j]])


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ("assert f([1, -2], 'a') == (3,)", [[1, -2], "a"]),
        ("assert candidate({1: None}) == True", [{1: None}]),
        ("def check(candidate):\n    assert candidate(1.5) == 2\ncheck(candidate)", [1.5]),
        ("assert f() == 0", []),
        ("assert g(1) == 2", None),
        ("assert f(x) == 2", None),
        ("assert f(1) == y", None),
        ("assert f(1)", None),
        ("assert f(1) < 2", None),
        ("assert 1 < f(1) == 2", None),
        ("assert f(1, a=2) == 2", None),
        ("assert abs(f(1) - 2) < 0.1", None),
        ("x = 1\nassert f(1) == 2", None),
        ("assert f(", None),
    ],
)
def test_assertions_of_one_form_are_read(source: str, arguments: list[Any] | None) -> None:
    assert arguments_of(source, "f") == arguments


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(plain, max_size=3), plain)
def test_made_assertions_say_what_was_answered(arguments: list[Any], expected: Any) -> None:
    source = assert_test("f", arguments, expected)
    assert source is not None
    assert arguments_of(source, "f") == arguments
    exec(source, {"f": lambda *given: expected if list(given) == arguments else None})
    with pytest.raises(AssertionError):
        exec(source, {"f": lambda *_: [expected]})


def test_floats_get_a_tolerance_and_within_containers_no_assertion() -> None:
    source = assert_test("f", [1], 2000.1)
    assert source is not None
    exec(source, {"f": lambda _: 2000.1 + 1e-4})
    with pytest.raises(AssertionError):
        exec(source, {"f": lambda _: 2000.1 + 1e-2})
    assert assert_test("f", [1], [0.5]) is None
    assert assert_test("f", [1], float("nan")) is None
    assert ast.literal_eval(literal({2, 1})) == {1, 2}
    assert (literal(set()), literal((1,)), literal(frozenset({1}))) == ("set()", "(1,)", "frozenset({1})")


def test_solutions_that_differ_in_blanks_and_comments_count_once() -> None:
    assert distinct(["x = 1", "x  =  1  # one", "x = 2", "x = (", "x = 1\n\n"]) == ["x = 1", "x = 2"]


def test_assert_problems_are_grown_through_their_arguments() -> None:
    tests = ("assert f([1, 2, 3]) == 3", "assert f([4, 9]) == 9", "assert f([5, 7, 6, 2]) == 7", "assert g() == 1")
    problem = Problem(id="a", question="", fn_name="f", test_setup="", tests=tuple(UnitTest(test, None) for test in tests))
    inputs = made(problem)
    assert len(inputs) > 10
    assert all(len(given) == 1 and 2 <= len(given[0]) <= 4 and set(given[0]) <= set(range(1, 10)) for given in inputs)
    with pytest.raises(ValueError, match="no test of a form"):
        propose(Problem(id="a", question="", fn_name="f", test_setup="", tests=(UnitTest(tests[3], None),)), 0, 10)
    with pytest.raises(ValueError, match="no other input"):
        propose(stdin("1\n"), 0, 10)
