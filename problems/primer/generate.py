"""Deals problems out of the families: training and held-out ones, each with its tests and its corpus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product, zip_longest
from random import Random
from typing import Any, TypeVar

from contracts.errors import UserError
from contracts.records import Problem, Test
from contracts.sections import PrimerConfig
from problems.primer.bugs import with_bug
from problems.primer.families import FAMILIES, Family
from problems.primer.misconceptions import Idea, Trial, wrong_idea
from problems.primer.render import KINDS, VARIANTS, Kind, Text, Variant, render
from problems.primer.trial import answer, compiled

VISIBLE, HIDDEN = 9, 8
"""Tests per problem."""
_HELD_OUT_ONE_IN = 4
"""At most one in so many of the constants of a family and kind is held out, and none where there are fewer."""
_TRIALS = 8
"""Problems that a wrong idea is chosen by."""

Constants = tuple[int | str, ...]
Card = TypeVar("Card")


@dataclass(frozen=True)
class PrimerSet:
    """No (family, constants, kind) is in both; `source` names the family."""

    train: list[Problem]
    heldout: list[Problem]


@dataclass(frozen=True)
class _Task:
    """All that a problem's texts follow from."""

    family: Family
    kind: Kind
    constants: Constants
    variant: Variant


def generate(config: PrimerConfig, seed: int) -> PrimerSet:
    """The primer of a seed, the same on every machine. Families take turns; those with few constants run out early.

    Raises UserError where more problems are asked for than there are.
    """
    rng = Random(seed)
    cells = [(family, kind, _all_constants(family)) for family in FAMILIES for kind in KINDS]
    decks = [
        [_Task(family, kind, key, rng.choice(VARIANTS[kind])) for key in rng.sample(keys, len(keys) // _HELD_OUT_ONE_IN)]
        for family, kind, keys in cells
    ]
    heldout = _deal(decks, config.heldout, rng, "heldout")
    taken = {(task.family.name, task.kind, task.constants) for task in heldout}
    decks = [
        _shuffled(family, kind, [key for key in keys if (family.name, kind, key) not in taken], rng)
        for family, kind, keys in cells
    ]
    train = _deal(decks, config.train, rng, "train")
    corpora = _Corpora(config, seed)
    return PrimerSet(
        train=[_problem(task, f"train-{at:05d}", seed, corpora) for at, task in enumerate(train)],
        heldout=[_problem(task, f"heldout-{at:05d}", seed, None) for at, task in enumerate(heldout)],
    )


def _all_constants(family: Family) -> list[Constants]:
    return [key for key in product(*family.constants.values()) if len(set(key)) == len(key)]


def _shuffled(family: Family, kind: Kind, keys: list[Constants], rng: Random) -> list[_Task]:
    variants = VARIANTS[kind]
    places = rng.sample(range(len(keys) * len(variants)), len(keys) * len(variants))
    return [_Task(family, kind, keys[at // len(variants)], variants[at % len(variants)]) for at in places]


def _deal(decks: Sequence[Sequence[Card]], count: int, rng: Random, key: str) -> list[Card]:
    """One card of each deck in turn, in an order of decks drawn once, until there are `count`."""
    turns = zip_longest(*rng.sample(decks, len(decks)))
    dealt = list(islice((card for card in chain.from_iterable(turns) if card is not None), count))
    if len(dealt) < count:
        raise UserError(f"problems.primer.{key}={count} is too many", f"There are {len(dealt)} at most")
    return dealt


def _problem(task: _Task, id_: str, seed: int, corpora: _Corpora | None) -> Problem:
    """The problem, drawn from a generator of its own; only training problems (with `corpora`) have a corpus of their own."""
    rng = Random(f"{seed} {id_}")
    text = render(task.family, task.constants, task.kind, task.variant)
    visible, hidden = _tests(task, text, rng)
    solutions = (text.program,)
    return Problem(
        id=id_,
        question=text.question,
        starter_code=text.starter_code,
        fn_name=text.fn_name,
        tests=visible,
        hidden_tests=hidden,
        solutions=solutions,
        corpus=solutions if corpora is None else corpora.of(task, Trial(text.program, text.fn_name, visible), rng),
        difficulty="introductory",
        source=f"primer:{task.family.name}",
    )


def _tests(task: _Task, text: Text, rng: Random) -> tuple[tuple[Test, ...], tuple[Test, ...]]:
    """Visible and hidden tests with different inputs; each set has the shape's edge cases."""
    code = compiled(text.program)
    numbers = [value for value in task.constants if isinstance(value, int)]
    letters = [value for value in task.constants if isinstance(value, str)]
    seen: set[str] = set()

    def draw(count: int) -> Iterable[Test]:
        for arguments in task.family.shape.cases(rng, numbers, letters):
            if count == 0:
                return
            if repr(arguments) not in seen:
                seen.add(repr(arguments))
                count -= 1
                given = _line(arguments) if text.fn_name is None else arguments
                yield Test(given, answer(code, text.fn_name, given))

    return tuple(draw(VISIBLE)), tuple(draw(HIDDEN))


def _line(arguments: list[Any]) -> str:
    values = chain.from_iterable(value if isinstance(value, list) else [value] for value in arguments)
    return " ".join(map(str, values)) + "\n"


class _Corpora:
    """What supervised steps imitate: right programs, slips, and in misunderstood families one wrong idea for each kind."""

    def __init__(self, config: PrimerConfig, seed: int) -> None:
        self._config = config
        families = Random(f"{seed} misunderstood").sample(FAMILIES, len(FAMILIES))
        tried = ({(family.name, kind): _idea(family, kind, seed) for kind in KINDS} for family in families)
        can_be = (ideas for ideas in tried if all(ideas.values()))
        misunderstood = islice(can_be, round(config.misunderstood * len(FAMILIES)))
        self._ideas = {cell: idea for ideas in misunderstood for cell, idea in ideas.items()}

    def of(self, task: _Task, right: Trial, rng: Random) -> tuple[str, ...]:
        """A problem's corpus. `bug_rate` decides where there is no wrong idea, or where it happens to do no harm."""
        config, idea = self._config, self._ideas.get((task.family.name, task.kind))
        wrong = idea and idea.applied(right)

        def program() -> str:
            if wrong and rng.random() < config.misconception_rate:
                return wrong
            return with_bug(right.program, right.fn_name, right.tests, rng) if rng.random() < config.bug_rate else right.program

        return tuple(program() for _ in range(config.corpus_per_problem))


def _idea(family: Family, kind: Kind, seed: int) -> Idea | None:
    """The wrong idea about a family and kind: it follows from the seed alone, whatever the problems are; None: no rule fits."""
    rng = Random(f"{seed} {family.name} {kind}")
    trials = []
    for constants in rng.choices(_all_constants(family), k=_TRIALS):
        task = _Task(family, kind, constants, VARIANTS[kind][0])
        text = render(family, constants, kind, task.variant)
        visible, _ = _tests(task, text, rng)
        trials.append(Trial(text.program, text.fn_name, visible))
    return wrong_idea(trials, rng)
