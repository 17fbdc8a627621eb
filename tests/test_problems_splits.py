"""Splits: which problems are trained on and which are held out, of one set or of two."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from contracts.errors import UserError
from contracts.records import Problem
from contracts.records import Test as UnitTest
from contracts.sections import ProblemsConfig
from problems.checked import Check, CheckedProblem, write_check
from problems.own_rows import write_rows
from problems.read import read_problems
from problems.sets import ProblemSet, check_problem_set, load_problem_set

SPLITS = {"a": "train", "b": "train", "c": "test", "d": "dev", "e": "test", "f": ""}
"""Problems and their splits."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "set.jsonl", SPLITS)


def write(path: Path, splits: dict[str, str]) -> Path:
    write_rows(path, [Problem(id=id_, question=id_, split=split, tests=(UnitTest("1", "2"),)) for id_, split in splits.items()])
    return path


def sides(made: ProblemSet) -> tuple[str, str]:
    return "".join(problem.id for problem in made.train), "".join(problem.id for problem in made.heldout)


@pytest.mark.parametrize(
    ("split", "heldout_split", "train", "heldout"),
    [
        (None, ("test",), "abdf", "ce"),
        (None, ("test", "dev"), "abf", "cde"),
        (("train",), ("test",), "ab", "ce"),
        (("dev", "train"), ("test",), "abd", "ce"),
    ],
)
def test_one_set_serves_both_sides(
    path: Path, tmp_path: Path, split: tuple[str, ...] | None, heldout_split: tuple[str, ...], train: str, heldout: str
) -> None:
    config = ProblemsConfig(path=path, split=split, heldout_split=heldout_split)
    made = load_problem_set(config, tmp_path / "run", 0)
    assert (*sides(made), made.dropped_without_tests, made.dropped_by_check) == (train, heldout, 0, 0)
    assert check_problem_set(config, 0) == made
    assert not (tmp_path / "run").exists()


def test_without_a_held_out_split_a_share_of_the_split_is_held_out(path: Path, tmp_path: Path) -> None:
    made = load_problem_set(ProblemsConfig(path=path, split=("train", "test"), heldout_fraction=0.5), tmp_path, 0)
    train, heldout = sides(made)
    assert (len(train), len(heldout)) == (2, 2)
    assert sorted(train + heldout) == list("abce")


def test_splits_of_two_sets_may_have_one_name(path: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", {"x": "train", "a": "train", "y": "test"})
    config = ProblemsConfig(path=path, split=("train",), heldout_path=other, heldout_split=("train",))
    made = load_problem_set(config, tmp_path, 0)
    assert [problem.id for problem in made.heldout] == ["heldout-x", "heldout-a"]
    assert sides(made)[0] == "ab"


def test_primer_may_be_evaluated_on_a_split(path: Path) -> None:
    config = ProblemsConfig(heldout_path=path, heldout_split=("nope",))
    with pytest.raises(
        UserError, match=r"problems.heldout_split=\[nope\]: .* has no problem of split nope. Its splits: dev, test, train"
    ):
        check_problem_set(config, 0)
    assert check_problem_set(ProblemsConfig(heldout_path=path, heldout_split=("dev",)), 0) is None


@pytest.mark.parametrize("key", ["split", "heldout_split"])
def test_an_unknown_split_is_refused_with_those_that_are_there(path: Path, tmp_path: Path, key: str) -> None:
    config = ProblemsConfig.model_validate({"path": path, key: ["train", "tset"]})
    with pytest.raises(UserError) as err:
        load_problem_set(config, tmp_path, 0)
    assert str(err.value) == (f"problems.{key}=[train,tset]: {path} has no problem of split tset. Its splits: dev, test, train")


def test_a_set_without_splits_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", {"a": "", "b": ""})
    with pytest.raises(UserError, match="Its problems name no splits: leave the key unset"):
        load_problem_set(ProblemsConfig(path=path, split=("train",)), tmp_path, 0)


def test_something_must_be_left_to_train_on(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", {"a": "test", "b": "test"})
    with pytest.raises(UserError, match="holds out every problem of"):
        load_problem_set(ProblemsConfig(path=path, heldout_split=("test",)), tmp_path, 0)


def test_a_check_is_heeded_on_both_sides(path: Path, tmp_path: Path) -> None:
    dropped = CheckedProblem(kept=False, solutions=1, passing=0)
    about = dict.fromkeys("ac", dropped) | {"e": CheckedProblem(kept=True, solutions=1, passing=1, reference_seconds=0.5)}
    write_check(tmp_path / "c.json", Check(problem_set="s", compare="strict", cpu_seconds=1.0, without_tests=0, problems=about))
    made = load_problem_set(ProblemsConfig(path=path, checked=tmp_path / "c.json", heldout_split=("test",)), tmp_path, 0)
    assert (*sides(made), made.dropped_without_tests, made.dropped_by_check) == ("bdf", "e", 0, 2)
    assert made.heldout[0].reference_seconds == 0.5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": ["train"]}, "split is about the problems of path"),
        ({"heldout_split": ["train"]}, "heldout_split is about the problems of heldout_path or path"),
        ({"path": "p", "split": ["a", "b"], "heldout_split": ["b"]}, "split and heldout_split share b"),
        ({"path": "p", "split": []}, "at least 1 item"),
    ],
)
def test_splits_that_cannot_be_meant_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ProblemsConfig.model_validate(settings)


def test_mbpp_has_its_paper_s_splits(benchmark_data: Path, tmp_path: Path) -> None:
    for name, counts in (
        ("mbpp.jsonl", {"prompt": 10, "test": 500, "validation": 90, "train": 374}),
        ("sanitized-mbpp.json", {"prompt": 7, "test": 257, "validation": 43, "train": 120}),
    ):
        problems, _ = read_problems(benchmark_data / "mbpp" / name)
        assert Counter(problem.split for problem in problems) == counts
        by_id = {problem.id: problem.split for problem in problems}
        places = {
            "MBPP/1": "prompt", "MBPP/10": "prompt", "MBPP/11": "test", "MBPP/510": "test", "MBPP/511": "validation",
            "MBPP/600": "validation", "MBPP/601": "train", "MBPP/974": "train",
        }  # fmt: skip
        assert all(by_id.get(id_, split) == split for id_, split in places.items())
    config = ProblemsConfig(path=benchmark_data / "mbpp" / "mbpp.jsonl", split=("train",), heldout_split=("test",))
    made = load_problem_set(config, tmp_path, 0)
    assert (len(made.train), len(made.heldout)) == (374, 500)


def test_humaneval_is_for_testing(benchmark_data: Path) -> None:
    problems, _ = read_problems(benchmark_data / "humaneval" / "HumanEval.jsonl.gz")
    assert Counter(problem.split for problem in problems) == {"test": 164}
