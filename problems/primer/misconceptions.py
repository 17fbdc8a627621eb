"""Wrong ideas that a beginner holds on to: one for all problems of a family, unlike the bugs of bugs.py, which are slips.

The rules are those of bugs.py that lead to wrong answers; a wrong idea is one way to follow one of them at one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from string import ascii_lowercase
from typing import NamedTuple

from contracts.records import Outcome, Test
from problems.primer.bugs import RULES, off_by_one, other_letter
from problems.primer.trial import outcome

_DRAWN: dict[Callable[[Random, str], str], Sequence[str | int]] = {off_by_one: (-1, 1), other_letter: ascii_lowercase}
"""All that a rule may draw, as `Idea.replacement`."""


class Trial(NamedTuple):
    """A program that is right, and what it is tried on."""

    program: str
    fn_name: str | None
    tests: Sequence[Test]


class Idea(NamedTuple):
    """What is written at one place of every program of a kind in place of what is right."""

    pattern: str
    place: int
    """Which of the pattern's matches, counted from 0."""
    replacement: str | int
    """A template as `re.Match.expand` takes it; a whole number is added to the one that stands there."""

    def applied(self, trial: Trial) -> str | None:
        """The program as somebody with this idea writes it; None where it gives no wrong answer on the tests."""
        found = list(re.finditer(self.pattern, trial.program))[self.place]
        new = found.expand(self.replacement) if isinstance(self.replacement, str) else str(int(found[0]) + self.replacement)
        changed = trial.program[: found.start()] + new + trial.program[found.end() :]
        return changed if outcome(changed, trial.fn_name, trial.tests) is Outcome.FAILURE else None


def wrong_idea(trials: Sequence[Trial], rng: Random) -> Idea | None:
    """An idea that gives wrong answers in all trials, which are of one family and kind; else the one that does so in most.

    None where no rule fits their program.
    """

    def failing(idea: Idea) -> int:
        return sum(idea.applied(trial) is not None for trial in trials)

    ideas = list(_ideas(trials[0].program, rng))
    return next((idea for idea in ideas if failing(idea) == len(trials)), None) or max(ideas, key=failing, default=None)


def _ideas(program: str, rng: Random) -> Iterator[Idea]:
    """All that fit the program, in an order drawn rule by rule."""
    rules = RULES[Outcome.FAILURE]
    for pattern, replacement in rng.sample(rules, len(rules)):
        options: Sequence[str | int] = _DRAWN[replacement] if callable(replacement) else replacement
        places = range(len(re.findall(pattern, program)))
        for place in rng.sample(places, len(places)):
            yield from (Idea(pattern, place, option) for option in rng.sample(options, len(options)))
