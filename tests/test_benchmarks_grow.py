"""The growth benchmark's own parts: halves that share nothing, mutants that are other programs, the same program renamed."""

from __future__ import annotations

from benchmarks.grow import MUTANTS, counted, halves, mutants, renamed
from benchmarks.grow import Set as Grown
from contracts.records import Problem
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig
from problems.grow import distinct

CONFIG = ExecutorsConfig()
TESTS = (UnitTest("1 2\n", "3\n"), UnitTest("5 -5\n", "0\n"))
RIGHT = tuple(f"a, b = map(int, input().split())\nprint(a + b + {at} - {at})" for at in range(6))
PROBLEM = Problem(id="a", question="", tests=TESTS, solutions=(*RIGHT, "print(3)", f"{RIGHT[0]}  # again"))


def test_references_and_judged_solutions_share_nothing() -> None:
    ((half, rest),) = halves([PROBLEM], CONFIG, 0)
    assert (len(half.solutions), len(rest)) == (3, 3)
    assert {*half.solutions, *rest} == set(RIGHT)
    ((few, none),) = halves([Problem(id="b", question="", tests=TESTS, solutions=RIGHT[:2])], CONFIG, 0)
    assert (len(few.solutions), none) == (2, [])


def test_mutants_are_other_programs() -> None:
    made = mutants(PROBLEM, 0)
    assert 5 < len(made) <= MUTANTS
    assert distinct([*PROBLEM.solutions, *made]) == [*distinct(PROBLEM.solutions), *made]
    assert mutants(PROBLEM, 0) == made


def test_renamed_programs_do_the_same() -> None:
    program = renamed("def f(a):\n    s = sum(a)\n    return s + len(a)\nx = 3")
    names: dict[str, object] = {}
    exec(program, names)
    assert "x_" in names
    assert eval("f([1, 2])", names) == 5


def test_programs_that_pass_what_they_see_and_fail_the_rest_are_counted() -> None:
    problem = Problem(id="a", question="", tests=TESTS, hidden_tests=(UnitTest("2 2\n", "4\n"), UnitTest("0 3\n", "3\n")))
    learnt = "a, b = map(int, input().split())\nprint(3 if b == 2 else 0 if a == 5 else b)"
    found = counted(Grown("", [problem], [[RIGHT[0], learnt, "print(3)"]], 1), CONFIG)
    assert (found.visible, [id_ for id_, _ in found.failing], found.tests, found.failed_tests) == (2, ["a"], 4, 1)
