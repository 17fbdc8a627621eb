"""Problem sets: where they come from, what is held out, and that nothing is on both sides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.errors import UserError
from contracts.records import Problem
from contracts.records import Test as UnitTest
from contracts.sections import PrimerConfig, ProblemsConfig
from problems.apps import write_folder
from problems.primer import generate
from problems.sets import load_problem_set

PRIMER = PrimerConfig(train=30, heldout=6)


def write(path: Path, *ids: str, without_tests: tuple[str, ...] = ()) -> Path:
    tested = [Problem(id=id_, question=id_, tests=(UnitTest("1\n", "2\n"),)) for id_ in ids]
    write_folder(path, tested + [Problem(id=id_, question=id_, tests=()) for id_ in without_tests])
    return path


def ids(problems: list[Problem]) -> list[str]:
    return [problem.id for problem in problems]


def test_primer_is_written_once_and_read_back(tmp_path: Path) -> None:
    config = ProblemsConfig(primer=PRIMER)
    made = load_problem_set(config, tmp_path, 3)
    expected = generate(PRIMER, 3)
    assert (made.train, made.heldout, made.dropped_without_tests) == (expected.train, expected.heldout, 0)
    question = tmp_path / "problems" / "train" / "train-00000" / "question.txt"
    question.write_text("Changed.")
    assert load_problem_set(config, tmp_path, 3).train[0].question == "Changed."


def test_an_unfinished_primer_is_finished(tmp_path: Path) -> None:
    config = ProblemsConfig(primer=PRIMER)
    made = load_problem_set(config, tmp_path, 3)
    (tmp_path / "problems" / "heldout").rename(tmp_path / "elsewhere")
    assert load_problem_set(config, tmp_path, 3) == made


@pytest.mark.parametrize(("primer", "seed"), [(PRIMER, 4), (PrimerConfig(train=31, heldout=6), 3)])
def test_a_primer_of_other_settings_is_refused(tmp_path: Path, primer: PrimerConfig, seed: int) -> None:
    load_problem_set(ProblemsConfig(primer=PRIMER), tmp_path, 3)
    with pytest.raises(UserError, match="generated with another seed or other"):
        load_problem_set(ProblemsConfig(primer=primer), tmp_path, seed)


def test_a_primer_from_before_a_setting_came_has_that_settings_default(tmp_path: Path) -> None:
    made = load_problem_set(ProblemsConfig(primer=PRIMER), tmp_path, 3)
    stamp = tmp_path / "problems" / "primer.json"
    settings = json.loads(stamp.read_bytes())
    del settings["misunderstood"], settings["misconception_rate"]
    stamp.write_text(json.dumps(settings))
    assert load_problem_set(ProblemsConfig(primer=PRIMER), tmp_path, 3) == made
    other = PRIMER.model_copy(update={"misunderstood": 0.5})
    with pytest.raises(UserError, match="generated with another seed or other"):
        load_problem_set(ProblemsConfig(primer=other), tmp_path, 3)


def test_a_primer_of_settings_that_are_not_known_is_refused(tmp_path: Path) -> None:
    load_problem_set(ProblemsConfig(primer=PRIMER), tmp_path, 3)
    stamp = tmp_path / "problems" / "primer.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_bytes()) | {"later": 1}))
    with pytest.raises(UserError, match="generated with another seed or other"):
        load_problem_set(ProblemsConfig(primer=PRIMER), tmp_path, 3)


@pytest.mark.parametrize(("fraction", "count"), [(0.01, 1), (0.1, 1), (0.3, 3), (0.99, 9)])
def test_a_share_is_held_out_and_both_sides_have_some(tmp_path: Path, fraction: float, count: int) -> None:
    path = write(tmp_path / "set", *"abcdefghij", without_tests=("k", "l"))
    config = ProblemsConfig(path=path, heldout_fraction=fraction)
    made = load_problem_set(config, tmp_path / "run", 0)
    assert len(made.heldout) == count
    assert sorted(ids(made.train) + ids(made.heldout)) == list("abcdefghij")
    assert (made.dropped_without_tests, made.dropped_by_check) == (2, 0)
    assert load_problem_set(config, tmp_path / "run", 0) == made
    assert not (tmp_path / "run").exists()


def test_the_seed_chooses_what_is_held_out(tmp_path: Path) -> None:
    config = ProblemsConfig(path=write(tmp_path / "set", *"abcdefghij"), heldout_fraction=0.3)
    assert len({tuple(ids(load_problem_set(config, tmp_path, seed).heldout)) for seed in range(8)}) > 1


def test_one_problem_cannot_be_shared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none is left to hold out"):
        load_problem_set(ProblemsConfig(path=write(tmp_path / "set", "a")), tmp_path, 0)


def test_a_held_out_folder_keeps_its_ids_where_they_are_free(tmp_path: Path) -> None:
    train, heldout = write(tmp_path / "train", "1", "2"), write(tmp_path / "heldout", "3", without_tests=("4",))
    made = load_problem_set(ProblemsConfig(path=train, heldout_path=heldout), tmp_path, 0)
    assert (ids(made.train), ids(made.heldout), made.dropped_without_tests) == (["1", "2"], ["3"], 1)


def test_held_out_ids_that_collide_get_a_prefix(tmp_path: Path) -> None:
    train = write(tmp_path / "train", "1", "heldout-2")
    heldout = write(tmp_path / "heldout", "1", "2")
    made = load_problem_set(ProblemsConfig(path=train, heldout_path=heldout), tmp_path, 0)
    assert ids(made.train) == ["1", "heldout-2"]
    assert ids(made.heldout) == ["heldout-heldout-1", "heldout-heldout-2"]
    assert [problem.question for problem in made.heldout] == ["1", "2"]


def test_primer_may_be_evaluated_on_another_folder(tmp_path: Path) -> None:
    config = ProblemsConfig(primer=PRIMER, heldout_path=write(tmp_path / "heldout", "train-00000"))
    made = load_problem_set(config, tmp_path / "run", 0)
    assert (len(made.train), ids(made.heldout)) == (30, ["heldout-train-00000"])
