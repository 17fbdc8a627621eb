"""`rltf compare`: paired by problem, careful about what it claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rltf import cli
from rltf.pairing import difference, paired, read_side
from rltf.tally import Count
from tests.fake_evaluation import write_evaluation


def compared(*folders: Path) -> str:
    done = CliRunner().invoke(cli.main, ["compare", *map(str, folders)])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def refused(*folders: Path) -> str:
    done = CliRunner().invoke(cli.main, ["compare", *map(str, folders)])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


def count(passed: int, of: int = 4) -> Count:
    found = Count("easy", "")
    found.outcomes.update({"pass": passed, "failure": of - passed})
    return found


def test_differences_are_of_the_same_problems() -> None:
    first = {"a": count(4), "b": count(0), "c": count(2), "gone": count(1)}
    second = {"c": count(4), "b": count(0), "a": count(4), "new": count(4)}
    pairs = paired(first, second)
    assert list(pairs) == ["a", "b", "c"]
    found = difference(pairs.values(), 1)
    assert (found.problems, found.first, found.second) == (3, 0.5, pytest.approx(2 / 3))
    assert found.mean == pytest.approx(1 / 6)
    assert (found.low, found.high) == (0.0, 0.5), "of three problems all, or none, may be like c"
    assert not found.told_apart


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30), st.integers(1, 4))
def test_the_other_way_round_everything_is_the_other_way_round(passed: list[tuple[int, int]], k: int) -> None:
    pairs = [(count(a), count(b)) for a, b in passed]
    here, there = difference(pairs, k), difference([(b, a) for a, b in pairs], k)
    assert here.mean == pytest.approx(-there.mean)
    assert here.low - 1e-9 <= here.mean <= here.high + 1e-9
    step = max(0.1, 2 / len(pairs))  # of few problems each end moves by whole ones
    assert here.high - here.low == pytest.approx(there.high - there.low, abs=step), "but for the draws"
    assert not difference([(a, a) for a, _ in pairs], k).told_apart


def test_pairing_finds_what_two_separate_intervals_hide() -> None:
    """Problems differ by far more than the two models do: each of the second model's is a little better."""
    rng = np.random.default_rng(0)
    firsts = rng.integers(0, 19, size=60)
    pairs = [(count(int(a), 20), count(int(a) + 1, 20)) for a in firsts[:50]] + [(count(int(a), 20),) * 2 for a in firsts[50:]]
    found = difference(pairs, 1)
    assert found.told_apart
    assert found.mean == pytest.approx(50 / 60 / 20)


def test_one_problem_proves_nothing() -> None:
    found = difference([(count(0), count(4))], 1)
    assert found.mean == 1.0
    assert not found.told_apart


def test_the_whole_comparison(tmp_path: Path) -> None:
    ids = [f"p{n:02}" for n in range(24)]
    a = write_evaluation(tmp_path / "a", {id_: ["pass"] + ["failure"] * 3 for id_ in ids}, hard=ids[:8])
    better = {id_: ["pass"] * 3 + ["syntax_error"] if n < 20 else ["failure"] * 4 for n, id_ in enumerate(ids)}
    b = write_evaluation(tmp_path / "b", better, hard=ids[:8])
    text = compared(a, b)
    assert "24 problems" in text
    assert "T=1.0 1 0.250 0.625 +0.375 (" in text
    assert "B is ahead" in text
    assert "easy 16 0.250 0.562 +0.312" in text
    assert "hard 8 0.250 0.750 +0.500" in text
    assert "syntax_error 0.0% 20.8% +20.8 points" in text
    assert "solved by A alone at T=1.0, by any of its programs: 4: p20, p21, p22, p23" in text
    assert "solved by B alone at T=1.0, by any of its programs: 0" in text
    assert "A is ahead" in compared(b, a)
    same = compared(a, a)
    assert "cannot be told apart" in same
    assert "is ahead" not in same


def test_problems_of_one_alone_are_left_out_and_said(tmp_path: Path) -> None:
    a = write_evaluation(tmp_path / "a", {"p": ["pass"], "q": ["pass"]})
    b = write_evaluation(tmp_path / "b", {"q": ["failure", "failure"], "r": ["pass", "pass"], "s": ["pass", "pass"]})
    text = compared(a, b)
    assert "only common problems are compared; left out of A: 1" in text
    assert "left out of B: 2" in text
    assert "A has 1 programs a problem and B 2: more of them solve more problems by chance" in text


def test_evaluations_that_do_not_match_are_refused(tmp_path: Path) -> None:
    a = write_evaluation(tmp_path / "a", {"p": ["pass"]})
    others = write_evaluation(tmp_path / "others", {"q": ["pass"]})
    lax = write_evaluation(
        tmp_path / "lax", {"p": ["pass"]}, settings={"k": [1], "judging": {"compare": "apps", "cpu_seconds": 2.0}}
    )
    assert "the two have no problem in common" in refused(a, others)
    assert "the two were judged in different ways: compare=strict and apps" in refused(a, lax)
    hidden = write_evaluation(tmp_path / "hidden", {"p": ["pass"]}, judged_by="hidden tests")
    assert "by=visible tests and hidden tests" in refused(a, hidden)
    assert f"{tmp_path / 'nowhere'} holds no evaluation" in refused(a, tmp_path / "nowhere")
    summary = a / "summary.json"
    summary.write_text(summary.read_text().replace('"done"', '"interrupted"'))
    assert "is not finished" in refused(a, others)


def test_of_a_run_it_takes_the_final_evaluation(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "run" / "evaluations" / "final", {"p": ["pass"]})
    assert read_side(tmp_path / "run").name == str(tmp_path / "run" / "evaluations" / "final")


def test_equal_ids_of_different_problems_are_not_paired(tmp_path: Path) -> None:
    """APPS's train and test problems share their ids."""
    train = write_evaluation(tmp_path / "train", {"0000": ["pass"], "0001": ["pass"]})
    test = write_evaluation(tmp_path / "test", {"0000": ["failure"], "0001": ["failure"]}, of="test's")
    said = refused(train, test)
    assert "2 problems have one id in both and another statement or other tests: 0000, 0001. Evaluate both on the same" in said


def test_evaluations_that_were_sampled_in_other_ways_are_refused(tmp_path: Path) -> None:
    judging = {"compare": "strict", "cpu_seconds": 2.0}
    settings = {"k": [1], "judging": judging, "top_p": 0.95, "max_new_tokens": 512, "on": "heldout"}
    a = write_evaluation(tmp_path / "a", {"p": ["pass"]}, settings=settings)
    for key, other, said in (("top_p", 1.0, "top_p=0.95 and 1.0"), ("max_new_tokens", 64, "max_new_tokens=512 and 64")):
        b = write_evaluation(tmp_path / key, {"p": ["pass"]}, settings=settings | {key: other})
        assert f"the two were sampled in different ways: {said}" in refused(a, b)
    b = write_evaluation(tmp_path / "b", {"p": ["pass"]}, settings=settings | {"on": "train"})
    assert "1 problems" in compared(a, b), "the problems are the same, whatever they are called"


def test_a_problem_that_lost_programs_costs_only_its_own_part_of_the_comparison(tmp_path: Path) -> None:
    whole = {f"p{n:02}": ["pass", "failure"] for n in range(20)}
    lost = whole | {"p07": ["sandbox_error", "pass"]}
    settings = {"k": [1, 2], "judging": {"compare": "strict", "cpu_seconds": 2.0}}
    a = write_evaluation(tmp_path / "a", whole, ks=(1, 2), settings=settings, most_failed=0.05)
    b = write_evaluation(tmp_path / "b", lost, ks=(1, 2), settings=settings, most_failed=0.05)
    text = compared(a, b)
    assert "T=1.0 1 0.500 0.525 +0.025" in text
    assert "T=1.0 2 1.000 1.000 +0.000" in text
    assert "the others lack programs on one side: pass@2 at T=1.0 is about 19 of 20 problems" in text
