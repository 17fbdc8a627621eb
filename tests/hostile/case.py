"""One hostile program and the verdict that it must get."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

import msgspec

from contracts.records import Category, Detail, Outcome, Problem
from contracts.records import Test as UnitTest

ADD = "a, b = map(int, input().split())\nprint(a + b)\n"
"""Answers SUM and SUMS."""

SUM = Problem(id="sum", question="", tests=(UnitTest("1 2\n", "3\n"),))
SUMS = Problem(id="sums", question="", tests=(UnitTest("1 2\n", "3\n"), UnitTest("3 4", "7"), UnitTest("-5 5\n", "0\n")))
CALLS = Problem(id="calls", question="", fn_name="add", tests=(UnitTest([1, 2], 3), UnitTest([3, 4], 7)))
ASSERTS = Problem(
    id="asserts",
    question="",
    fn_name="add",
    test_setup="",
    tests=(UnitTest("assert add(1, 2) == 3", None), UnitTest("assert add(3, 4) == 7", None)),
)


def returns(*results: object) -> Problem:
    """A call-based problem: `f(i)` must return the i-th result."""
    return Problem(id="f", question="", fn_name="f", tests=tuple(UnitTest([i], result) for i, result in enumerate(results)))


def prints(*answers: str) -> Problem:
    """A stdin problem without input."""
    return Problem(id="prints", question="", tests=tuple(UnitTest("", answer) for answer in answers))


class Wanted(NamedTuple):
    """What a verdict must say; None is asserted too, but for `error_type` and `line`."""

    outcome: Outcome
    detail: Detail | None = None
    category: Category | None = None
    error_type: str | None = None
    line: int | None = None
    """First line of the span."""


PASS = Wanted(Outcome.PASS)
FAILURE = Wanted(Outcome.FAILURE)
TIMEOUT = Wanted(Outcome.RUNTIME_ERROR, Detail.TIMEOUT, Category.GLOBAL)
MEMORY = Wanted(Outcome.RUNTIME_ERROR, Detail.MEMORY, Category.GLOBAL)
FLOOD = Wanted(Outcome.RUNTIME_ERROR, Detail.OUTPUT_LIMIT, Category.GLOBAL)
DISALLOWED = Wanted(Outcome.RUNTIME_ERROR, Detail.DISALLOWED, Category.GLOBAL)
EXIT = Wanted(Outcome.RUNTIME_ERROR, Detail.EXIT, Category.GLOBAL)
CUT_OFF = Wanted(Outcome.SYNTAX_ERROR, None, Category.GLOBAL)


def raised(error_type: str, line: int | None = None) -> Wanted:
    """An exception, in a line of the program or else in none."""
    category = Category.GLOBAL if line is None else Category.LINE
    return Wanted(Outcome.RUNTIME_ERROR, Detail.EXCEPTION, category, error_type, line)


def misspelt(line: int, error_type: str = "SyntaxError") -> Wanted:
    """A syntax error in a line."""
    return Wanted(Outcome.SYNTAX_ERROR, None, Category.LINE, error_type, line)


class Case(NamedTuple):
    """A program for a problem."""

    name: str
    wanted: Wanted
    text: str
    problem: Problem
    passed: int | None
    """Tests passed, where the outcome doesn't say it."""
    instead: Wanted
    """As right as `wanted`, where the judge may look before or after the program has done its worst."""


def case(
    name: str,
    wanted: Wanted,
    text: str,
    problem: Problem = SUM,
    passed: int | None = None,
    instead: Wanted | None = None,
) -> Case:
    """A case; its text may be indented as a whole and begin with an empty line, that is taken off.

    What fills memory or floods has seconds to do it in: on a busy machine pages take many times their usual CPU time.
    """
    if wanted.detail in (Detail.MEMORY, Detail.OUTPUT_LIMIT):
        problem = msgspec.structs.replace(problem, reference_seconds=2.0)
    return Case(name, wanted, textwrap.dedent(text.removeprefix("\n")), problem, passed, instead or wanted)
