"""Inputs that a problem's tests do not have: which are tried, before anybody knows the answers. A pure function of the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from contracts.records import Problem, Test, TestKind
from problems.grow.asserts import arguments_of, literal
from problems.grow.text import TextMutator
from problems.grow.values import ValuesMutator

_LONGEST = 20_000
"""Characters of an input that others are made from, and of a made one."""
_MOST_SOURCES = 60
"""Inputs that others are made from."""
_ATTEMPTS = 12
"""Per input wanted, before it is given up."""


class Proposal(NamedTuple):
    """An input, and the rule that made it."""

    rule: str
    input: Any
    """Text for a stdin problem; a list of arguments for all others."""


class Proposed(NamedTuple):
    """What came of making inputs."""

    inputs: list[Proposal]
    duplicates: int
    """Inputs that the tests have already, or that were made twice."""


def propose(problem: Problem, seed: int, count: int) -> Proposed:
    """Up to `count` new inputs; the rules take turns, so that each has a share. Raises ValueError, saying why there are none."""
    rng = Random(f"{seed} {problem.id}")
    tests = problem.tests + problem.hidden_tests
    sources = _sources(problem, tests, rng)
    if not sources:
        raise ValueError("no test of a form that can be grown")
    mutator = TextMutator(sources) if problem.kind is TestKind.STDIN else ValuesMutator(sources)
    rules = list(mutator.rules)
    known = {_key(problem, given) for given in map(_input(problem), tests)}
    found: list[Proposal] = []
    seen: Counter[bool] = Counter()
    for attempt in range(_ATTEMPTS * count):
        if len(found) == count or not rules:
            break
        if attempt % len(rules) == 0:
            rng.shuffle(rules)
        rule = rules[attempt % len(rules)]
        made = mutator.make(rule, rng)
        if made is None or len(str(made)) > _LONGEST:
            continue
        key = _key(problem, made)
        seen[key in known] += 1
        if key not in known:
            known.add(key)
            found.append(Proposal(rule, made))
    if not found:
        raise ValueError("no other input keeps to what its tests have in common")
    return Proposed(found, seen[True])


def _sources(problem: Problem, tests: Sequence[Test], rng: Random) -> list[Any]:
    """The inputs that others are made from: those that are not too long and, of assert tests, of the form that can be grown."""
    given = [value for value in map(_input(problem), tests) if value is not None and len(str(value)) <= _LONGEST]
    return given if len(given) <= _MOST_SOURCES else rng.sample(given, _MOST_SOURCES)


def _input(problem: Problem) -> Any:
    if problem.kind is TestKind.ASSERT:
        return lambda test: arguments_of(test.input, problem.fn_name or "")
    return lambda test: test.input


def _key(problem: Problem, given: Any) -> str:
    """Inputs that differ in blanks alone are the same."""
    return "\n".join(map(str.strip, given.strip().split("\n"))) if problem.kind is TestKind.STDIN else literal(given)
