"""The primer: what it promises about every problem, program and bug, executed here since the texts are our own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import redirect_stdout
from hashlib import sha256
from io import StringIO
from statistics import mean
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from contracts.errors import UserError
from contracts.records import Outcome, Problem
from contracts.records import Test as UnitTest
from contracts.sections import PrimerConfig
from problems.primer import PrimerSet, generate
from problems.primer.families import FAMILIES
from problems.primer.generate import HIDDEN, VISIBLE

DIGEST = """
from hashlib import sha256
import msgspec
from contracts.sections import PrimerConfig
from problems.primer import generate
primer = generate(PrimerConfig(train=200, heldout=20), 7)
print(sha256(msgspec.json.encode([primer.train, primer.heldout])).hexdigest())
"""


@pytest.fixture(scope="module")
def primer() -> PrimerSet:
    return generate(PrimerConfig(), 0)


def run(problem: Problem, code: Any, test: UnitTest) -> Any:
    """What the program answers: printed text for a stdin problem, else what the function returns."""
    if problem.fn_name is not None:
        names: dict[str, Any] = {}
        exec(code, names)
        return names[problem.fn_name](*test.input)
    with patch("sys.stdin", StringIO(test.input)), redirect_stdout(StringIO()) as printed:
        exec(code, {"__name__": "__main__"})
    return printed.getvalue()


def outcome_of(problem: Problem, program: str, tests: tuple[UnitTest, ...]) -> Outcome:
    try:
        code = compile(program, "program", "exec")
    except SyntaxError:
        return Outcome.SYNTAX_ERROR
    try:
        answers = [run(problem, code, test) for test in tests]
    except Exception:  # noqa: BLE001 - whatever a program raises is its outcome
        return Outcome.RUNTIME_ERROR
    return Outcome.PASS if answers == [test.expected for test in tests] else Outcome.FAILURE


def shown(problem: Problem) -> str:
    """The statement as a model sees it."""
    return problem.question + problem.starter_code


def test_there_are_as_many_as_asked_for_and_none_is_there_twice(primer: PrimerSet) -> None:
    assert (len(primer.train), len(primer.heldout)) == (3000, 150)
    assert len({problem.id for problem in primer.train + primer.heldout}) == 3150
    assert len({shown(problem) for problem in primer.train}) == 3000
    assert {problem.fn_name is None for problem in primer.train} == {True, False}


def test_families_are_many_and_share_evenly(primer: PrimerSet) -> None:
    counts = Counter(problem.source for problem in primer.train)
    assert len(counts) == len(FAMILIES) == len({family.name for family in FAMILIES}) >= 40
    assert min(counts.values()) >= 20
    assert max(counts.values()) <= 60


def test_training_and_held_out_share_no_task(primer: PrimerSet) -> None:
    """A family's code is one text but for names and constants, so that its literals tell the constants."""

    def task(problem: Problem) -> tuple[str, bool, tuple[str, ...]]:
        return problem.source, problem.fn_name is None, tuple(re.findall(r"'\w'|\b\d+\b", problem.solutions[0]))

    assert {task(problem) for problem in primer.train}.isdisjoint(task(problem) for problem in primer.heldout)


def test_the_families_of_held_out_problems_are_trained(primer: PrimerSet) -> None:
    def kinds(problems: list[Problem]) -> set[tuple[str, bool]]:
        return {(problem.source, problem.fn_name is None) for problem in problems}

    assert kinds(primer.heldout) <= kinds(primer.train)
    assert len(kinds(primer.heldout)) > 100


def test_reference_solutions_pass_all_tests(primer: PrimerSet) -> None:
    for problem in primer.train + primer.heldout:
        for program in problem.solutions:
            assert outcome_of(problem, program, problem.tests + problem.hidden_tests) is Outcome.PASS, problem


def test_tests_are_plain_distinct_and_tell_answers_apart(primer: PrimerSet) -> None:
    for problem in primer.train + primer.heldout:
        assert (len(problem.tests), len(problem.hidden_tests)) == (VISIBLE, HIDDEN)
        assert len({repr(test.input) for test in problem.tests + problem.hidden_tests}) == VISIBLE + HIDDEN
        assert len({repr(test.expected) for test in problem.tests}) > 1
        assert msgspec.json.decode(msgspec.json.encode(problem), type=Problem) == problem


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 1.0])
def test_the_corpus_fails_at_the_bug_rate_in_equal_parts(rate: float) -> None:
    problems = generate(PrimerConfig(bug_rate=rate), 1).train
    counts = Counter(outcome_of(problem, program, problem.tests) for problem in problems for program in problem.corpus)
    assert counts.total() == 6000
    assert counts[Outcome.PASS] / 6000 == pytest.approx(1 - rate, abs=0.02 if 0 < rate < 1 else 0)
    for error in (Outcome.SYNTAX_ERROR, Outcome.RUNTIME_ERROR, Outcome.FAILURE):
        assert counts[error] / 6000 == pytest.approx(rate / 3, abs=0.03)


def test_bugs_are_of_many_kinds(primer: PrimerSet) -> None:
    raised = Counter()
    for problem in primer.train:
        for program in problem.corpus:
            try:
                for test in problem.tests:
                    run(problem, program, test)
            except Exception as err:  # noqa: BLE001 - counted by class
                raised[type(err).__name__] += 1
    assert {"SyntaxError", "IndentationError", "NameError", "TypeError", "AttributeError"} <= set(raised)
    assert any("\n" in program and ":" not in program.split("\n")[0] and "def" in program for program in corpus_of(primer))


def corpus_of(primer: PrimerSet) -> list[str]:
    return [program for problem in primer.train for program in problem.corpus]


def test_held_out_problems_carry_no_bugs(primer: PrimerSet) -> None:
    assert all(problem.corpus == problem.solutions for problem in primer.heldout)
    assert all(len(problem.corpus) == 2 for problem in primer.train)


def test_texts_are_short_enough_for_a_tiny_model(primer: PrimerSet) -> None:
    assert mean(len(problem.question) for problem in primer.train) < 60
    assert max(len(problem.question) for problem in primer.train) < 100
    assert 45 < mean(len(problem.solutions[0]) for problem in primer.train) < 90
    assert max(len(problem.solutions[0]) for problem in primer.train) < 140


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_seed() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST], env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=True
        ).stdout
        for hash_seed in ("1", "2")
    }
    primer = generate(PrimerConfig(train=200, heldout=20), 7)
    here = sha256(msgspec.json.encode([primer.train, primer.heldout])).hexdigest()
    assert digests == {f"{here}\n".encode()}
    assert primer != generate(PrimerConfig(train=200, heldout=20), 8)


def test_the_tests_of_a_problem_do_not_depend_on_the_corpus() -> None:
    one, other = (generate(PrimerConfig(train=50, heldout=5, corpus_per_problem=n, bug_rate=1.0), 3) for n in (1, 4))
    assert [problem.tests for problem in one.train] == [problem.tests for problem in other.train]
    assert [len(problem.corpus) for problem in other.train] == [4] * 50


# misunderstood families

Cell = tuple[str, bool]


def cell_of(problem: Problem) -> Cell:
    return problem.source, problem.fn_name is None


def wrong_ideas(problems: list[Problem]) -> dict[Cell, set[tuple[int, int | str]]]:
    """What the corpus writes in place of what is right, by family and kind: the first changed token's place and change."""
    found: dict[Cell, set[tuple[int, int | str]]] = defaultdict(set)
    for problem in problems:
        right = re.findall(r"-?\d+|\w+|[^\w\s]", problem.solutions[0])
        for program in set(problem.corpus) - set(problem.solutions):
            wrong = re.findall(r"-?\d+|\w+|[^\w\s]", program)
            place = next(at for at, (old, new) in enumerate(zip(right, wrong, strict=False)) if old != new)
            old, new = right[place], wrong[place]
            name = re.fullmatch("[a-z]", new) and right[place - 1] != "'"
            shift = int(new) - int(old) if re.fullmatch(r"-?\d+", old + "0") and re.fullmatch(r"-?\d+", new) else None
            found[cell_of(problem)].add((place, "argument" if name else new if shift is None else shift))
    return found


def test_a_misunderstood_family_has_the_same_wrong_idea_in_all_of_its_problems() -> None:
    config = PrimerConfig(misunderstood=1.0, misconception_rate=1.0, bug_rate=0.0)
    train = generate(config, 2).train
    ideas = wrong_ideas(train)
    assert len(ideas) == len({cell_of(problem) for problem in train}) - 2, "no rule leads to a wrong answer for one family"
    assert {cell: idea for cell, idea in ideas.items() if len(idea) > 1} == {}
    assert len({idea for found in ideas.values() for idea in found}) > 30, "families have ideas of their own"
    failing = [program for problem in train for program in problem.corpus if program not in problem.solutions]
    assert len(failing) / 6000 > 0.95
    for problem in train:
        wrong = set(problem.corpus) - set(problem.solutions)
        assert all(outcome_of(problem, program, problem.tests) is Outcome.FAILURE for program in wrong)


def test_wrong_ideas_come_at_their_rate_and_slips_at_theirs() -> None:
    ours = PrimerConfig(misunderstood=0.3, misconception_rate=0.6, bug_rate=0.0)
    train = generate(ours, 4).train
    misunderstood = {source for source, _ in wrong_ideas(train)}
    assert len(misunderstood) == round(0.3 * len(FAMILIES))
    programs = [program not in p.solutions for p in train if p.source in misunderstood for program in p.corpus]
    assert mean(programs) == pytest.approx(0.6, abs=0.04)
    slips = generate(PrimerConfig(misunderstood=0.3, misconception_rate=0.6, bug_rate=1.0), 4).train
    assert all(program not in problem.solutions for problem in slips for program in problem.corpus)


def test_wrong_ideas_are_the_same_for_a_seed_however_many_problems_there_are() -> None:
    few, many = (PrimerConfig(train=n, misunderstood=0.5, misconception_rate=1.0, bug_rate=0.0) for n in (300, 900))
    some, all_ = wrong_ideas(generate(few, 5).train), wrong_ideas(generate(many, 5).train)
    assert len(some) > 50
    assert {cell: all_[cell] for cell in some} == some
    assert wrong_ideas(generate(many, 6).train) != all_
    assert generate(few, 5) == generate(few, 5)


def test_wrong_ideas_change_nothing_but_the_corpus_of_misunderstood_families() -> None:
    plain, wrong = (generate(PrimerConfig(train=800, misunderstood=share), 3) for share in (0.0, 0.4))
    assert wrong.heldout == plain.heldout
    other = [now.source for now, before in zip(wrong.train, plain.train, strict=True) if now.corpus != before.corpus]
    assert 20 <= len(set(other)) <= round(0.4 * len(FAMILIES))
    same = [msgspec.structs.replace(problem, corpus=()) for problem in wrong.train]
    assert same == [msgspec.structs.replace(problem, corpus=()) for problem in plain.train]
    assert generate(PrimerConfig(train=200, misconception_rate=1.0), 3) == generate(PrimerConfig(train=200), 3)


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match=r"problems.primer.heldout=100000 is too many. There are \d+ at most"):
        generate(PrimerConfig(train=1, heldout=100_000), 0)
