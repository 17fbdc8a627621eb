"""Bugs for the corpus: what beginners write, put into a program that is right, and checked to be bugs.

A rule is a pattern and what replaces one of its matches. A rule may well do nothing or something else than meant: the
program is run on its tests, and only one that comes to the outcome wanted is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random

from contracts.records import Outcome, Test
from problems.primer.trial import outcome

Rule = tuple[str, tuple[str, ...] | Callable[[Random, str], str]]


def off_by_one(rng: Random, number: str) -> str:
    """The number above or below; no number is negative."""
    return str(int(number) + rng.choice((-1, 1))) if number != "0" else "1"


def other_letter(rng: Random, letter: str) -> str:
    """Any lower-case letter but this one."""
    return rng.choice([other for other in "abcdefghijklmnopqrstuvwxyz" if other != letter])


RULES: dict[Outcome, tuple[Rule, ...]] = {
    Outcome.SYNTAX_ERROR: (
        (r":(?=\n)", ("",)),
        (r"\)", ("",)),
        (r"\]", ("",)),
        (r"==", ("=",)),
        (r" in ", (" ",)),
        (r"(?<=:\n) +", ("",)),
    ),
    Outcome.RUNTIME_ERROR: (
        (r"\b[a-z]\b(?!')", other_letter),
        (r"\blen\b", ("size",)),
        (r"\bsum\b", ("total",)),
        (r"\bsorted\b", ("sort",)),
        (r"\.append\b", (".add",)),
        (r"\.count\b", (".counts",)),
        (r"\.replace\b", (".swap",)),
        (r"list\(map\(int, input\(\)\.split\(\)\)\)", ("input().split()",)),
        (r"int\(input\(\)\)", ("input()",)),
        (r"\bstr\((\w)\)", (r"\1",)),
        (r"range\(len\((\w)\)\)", (r"range(len(\1) + 1)",)),
    ),
    Outcome.FAILURE: (
        (r"\b\d+\b", off_by_one),
        (r"(?<=')[a-z](?=')", other_letter),
        (r"(?<= )[<>](?= )", ("<=", ">=", "<", ">")),
        (r"==|!=", ("==", "!=", ">")),
        (r"(?<= )[-+*%](?= )", ("+", "-", "*")),
        (r"\+=", ("=", "-=")),
        (r"\b(max|min|sum|len|any|all)\b", ("max", "min", "sum", "len", "any", "all")),
        (r"sorted\((\w)\)", (r"\1",)),
        (r"set\((\w)\)", (r"\1",)),
        (r"abs(?=\()", ("",)),
    ),
}


def with_bug(program: str, fn_name: str | None, tests: Sequence[Test], rng: Random) -> str:
    """The program with one bug. Each kind of error is wanted equally often; another comes where no rule yields it."""
    for wanted in rng.sample(list(RULES), len(RULES)):
        for changed in _changes(program, RULES[wanted], rng):
            if outcome(changed, fn_name, tests) is wanted:
                return changed
    raise ValueError(f"no rule breaks this program:\n{program}")


def _changes(program: str, rules: tuple[Rule, ...], rng: Random) -> Iterator[str]:
    for pattern, replacement in rng.sample(rules, len(rules)):
        found = list(re.finditer(pattern, program))
        for match in rng.sample(found, len(found)):
            new = replacement(rng, match[0]) if callable(replacement) else match.expand(rng.choice(replacement))
            yield program[: match.start()] + new + program[match.end() :]
