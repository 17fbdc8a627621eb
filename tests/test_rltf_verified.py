"""A corpus of which only what passes is left: by real sandboxes, once for a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import parse_recipe
from contracts.records import Problem, Test
from rltf import verified as module
from rltf.verified import FILE, verified

DOUBLE, RIGHT, LATE = "print(int(input()) * 2)\n", "print(2 * int(input()))\n", "n = int(input())\nprint(2 * n)\n"
WRONG, BROKEN, ENDLESS, ERROR = "print(int(input()))\n", "print(int(input()\n", "while True:\n    pass\n", "print(x)\n"
TESTS = (Test("1\n", "2\n"), Test("21\n", "42\n"))


def problem(name: str, *corpus: str) -> Problem:
    """Print n times 2; hidden tests that nothing passes, since they must not matter."""
    return Problem(
        id=name, question="Double n.", tests=TESTS, hidden_tests=(Test("1\n", "no\n"),), solutions=(RIGHT,), corpus=corpus
    )


def recipe(**executors: object) -> Recipe:
    return parse_recipe({"name": "r", "executors": {"cpu_seconds": 0.5, "allow_weak_isolation": True, **executors}})


def silent(_: int) -> None:
    pass


@pytest.mark.parametrize("executors", [{}, {"count": 2, "analyse": True}], ids=["one core", "two executors"])
def test_only_programs_that_pass_are_left_in_their_order(tmp_path: Path, executors: dict[str, object]) -> None:
    problems = [problem("a", WRONG, DOUBLE, BROKEN, RIGHT), problem("b", ENDLESS, ERROR), problem("c"), problem("d", LATE, LATE)]
    heard: list[int] = []
    kept = verified(problems, recipe(**executors), tmp_path, heard.append)
    assert [found.corpus for found in kept] == [(DOUBLE, RIGHT), (), (), (LATE, LATE)]
    assert heard == [1, 2, 3, 4, 5, 6, 7, 8]
    for before, after in zip(problems, kept, strict=True):
        assert (after.id, after.tests, after.hidden_tests, after.solutions) == (
            before.id, before.tests, before.hidden_tests, before.solutions,
        )  # fmt: skip


def test_a_resumed_run_judges_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [problem("a", WRONG, RIGHT), problem("b", DOUBLE)]
    first = verified(problems, recipe(), tmp_path, silent)
    monkeypatch.delattr(module, "Pool")
    assert verified(problems, recipe(), tmp_path, silent) == first
    assert (tmp_path / FILE).read_bytes() == b'{"a":[false,true],"b":[true]}'


def test_an_interrupted_judging_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verified([problem("a", RIGHT)], recipe(), tmp_path, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_of_which_nothing_is_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of 2 corpus programs passes .* Set problems\.corpus=all"):
        verified([problem("a", WRONG), problem("b", ERROR)], recipe(), tmp_path, silent)
