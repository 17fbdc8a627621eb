"""What references' answers to one input come to: whether they agree, and the test that they make."""

from __future__ import annotations

import math
from typing import Any

from contracts.records import Problem, Test, TestKind
from executors.answers import as_judged
from executors.compare import Mode, same_output, same_value
from problems.grow import assert_test
from problems.grow.asserts import literal
from problems.io_tests import read_back


def agree(problem: Problem, answer: Any, first: Any, mode: Mode) -> bool:
    """Is an answer the first one, as the test that the first one makes would judge it?"""
    match problem.kind:
        case TestKind.STDIN:
            return same_output(answer, first, mode)
        case TestKind.CALL:
            return same_value(as_judged(answer), first, mode)
    return alike(answer, first)


def alike(value: Any, other: Any) -> bool:
    """Equal with their types, at any depth: True is not 1, 1 is not 1.0, a tuple is no list.

    Floats are within the tolerance of tests, and nan is nan. Items of sets and keys of dicts may come in any order.
    """
    if type(value) is not type(other):
        return False
    if isinstance(value, float):
        return same_value(value, other, "strict") or (math.isnan(value) and math.isnan(other))
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(alike, value, other))
    if isinstance(value, set | frozenset):
        return literal(value) == literal(other)
    if isinstance(value, dict):
        items, wanted = ({literal(key): item for key, item in one.items()} for one in (value, other))
        return items.keys() == wanted.keys() and all(alike(item, wanted[key]) for key, item in items.items())
    return bool(value == other)


def made(problem: Problem, given: Any, answer: Any) -> Test | None:
    """The test; None where nothing was printed, and where it would not be read as it is written.

    JSON has no sets and no keys but text, and a reader takes some of that text for numbers.
    """
    if problem.kind is TestKind.ASSERT:
        source = assert_test(problem.fn_name or "", given, answer)
        return None if source is None else Test(source, None)
    if problem.kind is TestKind.STDIN and not answer.strip():
        return None
    try:
        test = read_back(Test(given, answer), problem.fn_name)
    except (ValueError, TypeError):
        return None
    same = same_value(as_judged(given), test.input, "strict") and same_value(as_judged(answer), test.expected, "strict")
    return test if same else None
