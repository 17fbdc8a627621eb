"""`rltf problems grow`: whose answers become tests, what is dropped, and what is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from contracts.errors import UserError
from contracts.records import Outcome, Problem
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.answers import MOST_BYTES, Answer, Answers
from executors.judge import Executor
from problems.apps import write_folder
from problems.read import read_problems
from problems.write import write_problems
from rltf.grow import REASONS, GrowReport, grow_all, grow_problems
from rltf.growing import Grower, GrowSettings
from tests.cli import rltf

CONFIG = ExecutorsConfig(cpu_seconds=0.8)
MAXIMUM = ("input(); print(max(map(int, input().split())))", "input()\nprint(sorted(map(int, input().split()))[-1])")
ROWS = ("5 1 9", "7 7", "4 0 8 4", "6")
TESTS = tuple(UnitTest(f"{len(row.split())}\n{row}\n", f"{max(map(int, row.split()))}\n") for row in ROWS)
PROBLEM = Problem(id="a", question="The greatest.", tests=TESTS, solutions=MAXIMUM)
CALLED = Problem(
    id="c",
    question="The first two.",
    fn_name="f",
    tests=tuple(UnitTest([text], text[:2]) for text in ("abc", "cb", "bacab", "a", "")),
    solutions=("def f(s): return s[:2]", "class Solution:\n    def f(self, s):\n        return ''.join(list(s)[:2])"),
)
ASSERTED = Problem(
    id="m",
    question="The greatest and the least.",
    fn_name="g",
    test_setup="",
    tests=tuple(UnitTest(f"assert g({row}) == ({max(row)}, {min(row)})", None) for row in ([1, 2], [5, 3, 4], [9, 9, 2, 7])),
    solutions=("def g(a): return max(a), min(a)",),
)


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    with Answers(CONFIG.model_copy(update={"cpu_seconds": 0.2}), RewardsConfig(), hash_seed=1) as asked:
        yield asked


@pytest.fixture(scope="module")
def grower() -> Iterator[Grower]:
    with Grower(CONFIG, GrowSettings(per_problem=10)) as made:
        yield made


def test_answers_come_as_they_were_given(answers: Answers) -> None:
    printing = "x = int(input())\nif x == 3:\n    while True: pass\nprint(6 // x, 'z' * (x == 4) * 70000)"
    assert answers.answers(PROBLEM, ["1", "0", "3", "4", "6"], printing) == [
        Answer("6 \n"),
        Answer(problem="error"),
        Answer(problem="slow"),
        Answer(problem="unusable"),
        Answer("1 \n"),
    ]
    returning = "def f(x):\n    return [{1: {x}}, (x, True), x.y if x == 2 else 0, print if x == 3 else None][:x]"
    assert answers.answers(CALLED, [[1], [2], [3], [4]], returning) == [
        Answer([{1: {1}}]),
        Answer(problem="error"),
        Answer([{1: {3}}, (3, True), 0]),
        Answer([{1: {4}}, (4, True), 0, None]),
    ]
    assert answers.answers(ASSERTED, [[[2, 1]]], ASSERTED.solutions[0]) == [Answer((2, 1))]
    digits = "def f(n): return [{10 ** n}]"
    assert answers.answers(CALLED, [[4299], [4300]], digits) == [Answer([{10**4299}]), Answer(problem="unusable")]
    assert answers.answers(PROBLEM, ["1"], "print(") == [Answer(problem="error")]
    assert answers.answers(CALLED, [[1]], "def f(x): return print") == [Answer(problem="unusable")]
    assert MOST_BYTES < 70_000


def test_after_two_slow_answers_the_rest_is_not_run(answers: Answers) -> None:
    assert answers.answers(PROBLEM, ["1", "2", "3"], "while True: pass") == [
        Answer(problem="slow"),
        Answer(problem="slow"),
        Answer(problem="unrun"),
    ]


def test_hashes_and_random_numbers_are_others_than_a_verdict_s(answers: Answers) -> None:
    text = "import random\nprint(hash('a'), random.random())"
    (answer,) = answers.answers(PROBLEM, [""], text)
    with Executor(CONFIG, RewardsConfig()) as judge, Answers(CONFIG, RewardsConfig()) as same:
        (usual,) = same.answers(PROBLEM, [""], text)
        problem = Problem(id="r", question="", tests=(UnitTest("", usual.value),))
        assert judge.judge(problem, text).outcome is Outcome.PASS
    one, other = answer.value.split(), usual.value.split()
    assert one[0] != other[0]
    assert one[1] != other[1]


@pytest.mark.parametrize("problem", [PROBLEM, CALLED])
def test_independent_references_make_hidden_tests(grower: Grower, problem: Problem) -> None:
    made, report = grower.grow(problem)
    assert (report.references, report.grown, report.reason) == (2, 10, None)
    assert (made.tests, len(made.hidden_tests)) == (problem.tests, 10)
    inputs = [test.input for test in problem.tests]
    for test in made.hidden_tests:
        assert test.input not in inputs
        wanted = test.input[0][:2] if problem is CALLED else f"{max(map(int, test.input.splitlines()[1].split()))}\n"
        assert test.expected == wanted
    assert report.proposed == 30
    assert sum(report.dropped.values()) - report.dropped.get("duplicate", 0) == 20
    assert grower.grow(problem) == (made, report)


def test_one_reference_is_enough_only_where_it_is_trusted(grower: Grower) -> None:
    one = msgspec.structs.replace(PROBLEM, solutions=(MAXIMUM[0], f"{MAXIMUM[0]}  # again", "print(9)"))
    made, report = grower.grow(one)
    assert made is one
    assert (report.references, report.grown, report.single_reference) == (1, 0, True)
    assert report.reason == "too few independent references that pass its tests"
    with Grower(CONFIG, GrowSettings(per_problem=10, trust_one=True, visible=True)) as trusting:
        made, report = trusting.grow(one)
        assert (report.grown, report.single_reference) == (10, True)
        assert (made.tests[:4], len(made.tests), made.hidden_tests) == (TESTS, 14, ())
        made, report = trusting.grow(ASSERTED)
        assert report.grown >= 3
        assert all(test.input.startswith("assert g([") and test.expected is None for test in made.tests)
        with Executor(CONFIG, RewardsConfig()) as judge:
            assert judge.judge(made, ASSERTED.solutions[0]).outcome is Outcome.PASS
            assert judge.judge(made, "def g(a): return a[0], a[-1]").outcome is Outcome.FAILURE


SAME = "input()\na = list(map(int, input().split()))\n"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (f"{SAME}print(max(a) if max(a) in (9, 7, 8, 6) else -1)", "disagree"),
        (f"{SAME}assert max(a) in (9, 7, 8, 6)\nprint(max(a))", "error"),
        (f"{SAME}while max(a) not in (9, 7, 8, 6): pass\nprint(max(a))", "slow"),
        (f"{SAME}print(max(a) if max(a) in (9, 7, 8, 6) else '')", "disagree"),
        (f"{SAME}print(max(a) + (hash('a') % 1000 != {{}}) * (max(a) not in (9, 7, 8, 6)))", "flaky"),
    ],
)
def test_what_references_do_not_agree_on_is_dropped(grower: Grower, other: str, reason: str) -> None:
    if reason == "flaky":
        with Answers(CONFIG, RewardsConfig(), hash_seed=1) as asked:
            other = other.format(asked.answers(PROBLEM, [""], "print(hash('a') % 1000)")[0].value.strip())
    made, report = grower.grow(msgspec.structs.replace(PROBLEM, solutions=(MAXIMUM[0], other)))
    assert report.references == 2
    assert report.dropped[reason] > 0
    if reason == "disagree":
        assert (made.hidden_tests, report.reason) == ((), "references disagree")
        assert report.dropped["disputed"] > 0
        assert report.dropped["disagree"] + report.dropped["disputed"] == 30
    assert set(report.dropped) <= set(REASONS)
    assert all(test.expected.strip() in ("9", "7", "8", "6") for test in made.hidden_tests)


COUNTS = ("def f(s): return {c: s.count(c) for c in s}", "def f(s): return {c: s.count(c) for c in sorted(s)}")


def test_tests_are_grown_that_are_read_as_they_were_judged(grower: Grower, tmp_path: Path) -> None:
    words = ("a1b2", "1ab", "22b", "b1", "a12", "abba21", "11a", "1a2", "2b2a")
    tests = tuple(UnitTest([word], {letter: word.count(letter) for letter in word}) for word in words)
    made, report = grower.grow(Problem(id="d", question="", fn_name="f", tests=tests, solutions=COUNTS))
    assert report.dropped["unusable"] > 0  # of digits alone: a reader takes these keys for numbers
    assert "disagree" not in report.dropped
    assert report.grown >= 5
    write_problems(tmp_path / "d.jsonl", [made])
    assert read_problems(tmp_path / "d.jsonl")[0][0].hidden_tests == made.hidden_tests


@pytest.mark.parametrize("exponent", [400, 5000])
def test_problems_of_numbers_beyond_a_floats_range_are_left_as_they_are(grower: Grower, exponent: int) -> None:
    tests = tuple(UnitTest([number], number + 1) for number in (1, 5, 17, 10**exponent))
    solutions = ("def f(n): return n + 1", "def f(n):\n    n += 1\n    return n")
    problem = Problem(id="n", question="", fn_name="f", tests=tests, solutions=solutions)
    made, report = grower.grow(problem)
    assert made is problem
    assert (report.references, report.reason) == (2, "its tests hold numbers beyond a float's range")


def test_the_order_of_keys_is_no_disagreement(grower: Grower) -> None:
    words = ("ab", "ba", "abb", "bab", "aab", "bbb", "aaab")
    tests = tuple(UnitTest(f"assert f({word!r}) == { {letter: word.count(letter) for letter in word} }", None) for word in words)
    problem = Problem(id="d", question="", fn_name="f", test_setup="", tests=tests, solutions=COUNTS)
    made, report = grower.grow(problem)
    assert (report.grown, report.reason) == (10, None)
    other = "def f(s): return {c: float(s.count(c)) for c in s}"
    made, report = grower.grow(msgspec.structs.replace(problem, solutions=(COUNTS[0], other)))
    assert (made.hidden_tests, report.reason) == ((), "references disagree")


def test_a_few_hidden_tests_are_not_all_that_a_problem_is_judged_by(grower: Grower) -> None:
    few = Problem(
        id="f",
        question="",
        tests=(UnitTest("1\n", "1\n"), UnitTest("5\n", "5\n")),
        solutions=("print(input())", "print(int(input()))"),
    )
    made, report = grower.grow(few)
    assert (report.grown, report.reason) == (0, "too few tests: 1")
    assert made is few
    judged = msgspec.structs.replace(few, hidden_tests=(UnitTest("1\n", "1\n"),))
    made, report = grower.grow(judged)
    assert report.grown == 1
    assert made.hidden_tests == (UnitTest("1\n", "1\n"), UnitTest("3\n", "3\n"))


def test_a_set_is_grown_from_the_command_line(tmp_path: Path) -> None:
    source, output = tmp_path / "set", tmp_path / "grown.jsonl"
    write_folder(source, [PROBLEM, CALLED, Problem(id="z", question="", tests=TESTS, solutions=MAXIMUM[:1])])
    asked = ("problems", "grow", str(source), str(output), "--per-problem=8", "--cores=2", "--cpu-seconds=0.8")
    done = rltf(*asked)
    assert done.returncode == 0, done.stderr
    problems, _ = read_problems(output)
    assert [(problem.id, len(problem.tests), len(problem.hidden_tests)) for problem in problems] == [
        ("a", 4, 8),
        ("c", 5, 8),
        ("z", 4, 0),
    ]
    report = msgspec.json.decode((tmp_path / "grown.jsonl.grow.json").read_bytes(), type=GrowReport)
    assert {id_: grown.grown for id_, grown in report.problems.items()} == {"a": 8, "c": 8, "z": 0}
    assert report.settings == GrowSettings(per_problem=8)
    assert [words[-1] for words in map(str.split, done.stdout.splitlines()) if words[:2] == ["tests", "grown"]] == ["16"]
    before = output.stat().st_mtime_ns
    again = rltf(*asked)
    assert (again.returncode, output.stat().st_mtime_ns) == (2, before)
    assert again.stderr == f"error: {output} exists already. Remove it or write elsewhere\n"


def test_bad_input_is_refused_before_anything_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rltf.grow.grow_all", None)
    source, unnamed = tmp_path / "m.jsonl", tmp_path / "u.jsonl"
    write_problems(source, [ASSERTED])
    write_problems(unnamed, [msgspec.structs.replace(PROBLEM, id="a/b")])
    for path, output, said in (
        (source, tmp_path / "folder", "which an APPS folder cannot hold"),
        (unnamed, tmp_path / "folder", "'a/b' cannot name a folder"),
        (unnamed, tmp_path / "out.json", "ends in .jsonl or .jsonl.gz"),
        (unnamed, tmp_path / "out.gz", "ends in .jsonl or .jsonl.gz"),
        (source, tmp_path / "no" / "out.jsonl", "no folder"),
        (source, source, "exists already"),
        (tmp_path / "nope", tmp_path / "out", "nope"),
    ):
        with pytest.raises(UserError, match=said):
            grow_problems(path, output, CONFIG, GrowSettings(), Console(quiet=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.jsonl", "u.jsonl"]


def test_the_same_tests_grow_on_any_number_of_cores_and_nothing_is_left_when_it_is_stopped(tmp_path: Path) -> None:
    problems = [msgspec.structs.replace(PROBLEM, id=str(at)) for at in range(3)]
    asked = GrowSettings(per_problem=5)
    one, two = (list(grow_all(problems, CONFIG.model_copy(update={"cores": cores}), asked)) for cores in (1, 2))
    assert one == two
    assert len({made.hidden_tests for made, _ in one}) == 3
    write_folder(tmp_path / "set", problems)
    with pytest.raises(KeyboardInterrupt):
        grow_problems(tmp_path / "set", tmp_path / "out.jsonl", CONFIG, asked, Interrupting(quiet=True))
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


class Interrupting(Console):
    """Ctrl-C, when the last problem has been reported."""

    def print(self, *objects: Any, **settings: Any) -> None:
        if "done" in str(objects):
            raise KeyboardInterrupt
        super().print(*objects, **settings)
