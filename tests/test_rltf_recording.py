"""An evaluation's folder: figures follow from samples, a kill loses nothing, nothing comes twice."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import RunError, UserError
from contracts.evaluation import Sample, decode_sample, encode_samples, read_evaluation
from contracts.records import Detail, Outcome
from contracts.summary import Gap
from rltf.recording import SAMPLES, SUMMARY, Key, Recording, begin_folder, check_folder
from rltf.tally import easiest_first
from tests.fake_evaluation import about, recorded, sample, write_evaluation

# Figures


def test_figures_by_difficulty_and_split(tmp_path: Path) -> None:
    rows = [
        sample("a", 0, "pass", split="train"),
        sample("a", 1, "failure", split="train"),
        sample("b", 0, "runtime_error", difficulty="hard", detail=Detail.TIMEOUT, error_type="ignored"),
        sample("b", 1, "runtime_error", difficulty="hard", detail=Detail.EXCEPTION, error_type="KeyError"),
        sample("b", 2, "syntax_error", difficulty="hard", error_type="KeyError"),
    ]
    found = recorded(tmp_path, rows, problems=3, ks=(1, 2, 3))
    assert (found.problems, found.programs, found.problems_without_programs) == (2, 5, 1)
    assert found.pass_at_k == {"1": 0.25, "2": 0.5}
    assert found.outcomes == {"pass": 1, "failure": 1, "runtime_error": 2, "syntax_error": 1, "sandbox_error": 0}
    assert list(found.errors.items()) == [("KeyError", 2), ("timeout", 1)]
    assert list(found.by_difficulty) == ["easy", "hard"]
    assert [(part.problems, part.programs, part.pass_at_k) for part in found.by_difficulty.values()] == [
        (1, 2, {"1": 0.5, "2": 1.0}),
        (1, 3, {"1": 0.0, "2": 0.0}),
    ]
    assert list(found.by_split) == ["train"], "a set's problems need not have a split"
    assert found.notes == [
        "pass@3 is left out: 1 of 2 problems have fewer than 3 programs",
        "1 of 3 problems have no program: no figure is about them",
    ]
    assert found.gap is None
    written = json.loads((tmp_path / SUMMARY).read_bytes())
    assert {"pass_at_k", "by_difficulty", "outcomes", "problems", "programs"} <= set(written)
    assert read_evaluation(tmp_path / SUMMARY) == found


def test_our_own_failures_are_programs_that_score_nothing(tmp_path: Path) -> None:
    rows = [sample("a", 0), sample("a", 1, "sandbox_error"), sample("b", 0, "sandbox_error")]
    found = recorded(tmp_path, rows)
    assert (found.programs, found.outcomes["sandbox_error"], found.problems) == (3, 2, 1)
    assert found.pass_at_k == {"1": 1.0}, "of one program that has a verdict"
    assert found.problems_without_programs == 1


def with_our_failures(failed: int, problems: int = 20, programs: int = 2) -> list[Sample]:
    """One SANDBOX_ERROR each in the first `failed` problems; all else passes."""
    outcomes = [["sandbox_error" if n < failed and i == 0 else "pass" for i in range(programs)] for n in range(problems)]
    return [sample(f"p{n}", i, outcome) for n, found in enumerate(outcomes) for i, outcome in enumerate(found)]


@pytest.mark.parametrize(
    ("failed", "reported", "note"),
    [
        (0, ["1", "2"], None),
        (1, ["1", "2"], "pass@2 is without 1 of 20 problems: SANDBOX_ERRORs left them fewer than 2 programs"),
        (2, ["1"], "pass@2 is left out: 2 of 20 problems have fewer than 2 programs"),
    ],
)
def test_few_problems_that_our_failures_cut_short_cost_the_others_nothing(
    tmp_path: Path, failed: int, reported: list[str], note: str | None
) -> None:
    greedy = [sample(f"p{n}", setting="greedy", outcome="failure") for n in range(20)]
    found = recorded(tmp_path, [*greedy, *with_our_failures(failed)], problems=20, ks=(1, 2), most_failed=0.05)
    assert list(found.pass_at_k) == list(found.evaluations["T=1.0"].pass_at_k) == reported
    assert found.problems == 20
    assert found.notes == ([note] if note else [])


def test_a_problem_that_was_asked_for_fewer_programs_is_no_failure_of_ours(tmp_path: Path) -> None:
    found = recorded(tmp_path, with_our_failures(0)[1:], problems=20, ks=(2,), most_failed=0.5)
    assert list(found.pass_at_k) == ["1"], "a program is missing, and no SANDBOX_ERROR is why"
    assert found.notes == ["pass@2 is left out: 1 of 20 problems have fewer than 2 programs"]


def test_a_difficulty_whose_problems_all_lost_programs_has_no_figure_for_them(tmp_path: Path) -> None:
    rows = [msgspec.structs.replace(row, difficulty="hard" if row.problem_id == "p0" else "easy") for row in with_our_failures(1)]
    found = recorded(tmp_path, rows, ks=(2,), problems=20)
    assert {name: list(part.pass_at_k) for name, part in found.by_difficulty.items()} == {"easy": ["1", "2"], "hard": ["1"]}


def test_what_is_missing_at_another_temperature_is_said(tmp_path: Path) -> None:
    others = [msgspec.structs.replace(row, setting="T=0.5") for row in with_our_failures(1)]
    found = recorded(tmp_path, [*with_our_failures(0), *others], problems=20, ks=(2,))
    assert found.notes == ["at T=0.5 pass@2 is without 1 of 20 problems: SANDBOX_ERRORs left them fewer than 2 programs"]


def test_an_evaluation_of_nothing_but_our_failures_ends_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no program could be judged"):
        recorded(tmp_path, [sample("a", 0, "sandbox_error")])
    assert read_evaluation(tmp_path / SUMMARY).status == "interrupted"
    with pytest.raises(RunError, match="11 of 200 programs ended in a SANDBOX_ERROR"):
        recorded(tmp_path / "many", [sample("a", i, "sandbox_error" if i < 11 else "pass") for i in range(200)])


def test_the_gap_between_visible_and_hidden_tests(tmp_path: Path) -> None:
    both = [(True, "pass"), (True, "failure"), (True, "failure"), (False, "pass"), (False, "failure"), (True, "sandbox_error")]
    rows = [sample("a", i, outcome, visible=visible) for i, (visible, outcome) in enumerate(both)]
    found = recorded(tmp_path, [*rows, sample("b", 0)])
    assert found.gap == Gap(programs=5, visible=3 / 5, both=1 / 5, overfit=2), "b has no hidden tests"
    assert found.result.evaluations["T=1.0"].gap == found.gap


def test_a_runs_result_has_every_way_of_decoding(tmp_path: Path) -> None:
    rows = [sample("a", 0, "failure", setting="greedy"), sample("a", 0), sample("a", 1, "failure")]
    found = recorded(tmp_path, rows, problems=1)
    assert (found.result.pass_at_1, found.result.problems) == (0.5, 1)
    assert {name: part.pass_at_k["1"] for name, part in found.result.evaluations.items()} == {"greedy": 0.0, "T=1.0": 0.5}


def test_difficulties_come_in_the_order_that_people_expect() -> None:
    names = {"competition", "zen", "introductory", "interview", "alpha"}
    assert easiest_first(names) == ["introductory", "interview", "competition", "alpha", "zen"]


def test_lone_surrogates_survive() -> None:
    odd = sample("a", code="print('\ud800')", message="\udcff", text="\ud800 said")
    assert decode_sample(encode_samples([odd])) == odd


# Going on


BATCHES = [[("T=1.0", f"p{n}", i, f"of p{n}") for n in range(first, first + 2) for i in range(3)] for first in (0, 2, 4)]
LINES = [encode_samples([sample(problem, index)]) for batch in BATCHES for _, problem, index, _ in batch]
WHOLE = b"".join(LINES)


@given(st.integers(0, len(WHOLE)))
def test_a_kill_at_any_byte_repeats_nothing_and_loses_nothing(size: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / SAMPLES).write_bytes(WHOLE[:size])
        with Recording(folder, about(problems=6), 18) as recording:
            done = recording.resume(BATCHES)
            assert done == WHOLE[:size].count(b"\n") // 6, "whole batches count"
            assert (folder / SAMPLES).read_bytes() == b"".join(LINES[: 6 * done]), "and no other line is left"
            for batch in BATCHES[done:]:
                recording.add([sample(problem, index) for _, problem, index, _ in batch])
            assert recording.finish().programs == 18
        assert (folder / SAMPLES).read_bytes() == WHOLE


def test_programs_that_have_changed_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / SAMPLES).write_bytes(WHOLE)
    codes = [f"{problem} {index}" for batch in BATCHES for _, problem, index, _ in batch]
    changed = [*codes[:7], "print(1)", *codes[8:]]
    with pytest.raises(UserError, match="of other programs than those in the file"), Recording(tmp_path, about(), 18) as it:
        it.resume(BATCHES, iter(changed))
    assert (tmp_path / SAMPLES).read_bytes() == WHOLE
    (tmp_path / SAMPLES).write_bytes(b"".join(LINES[:9]))
    rest = iter(changed)
    with Recording(tmp_path, about(), 18) as recording:
        assert recording.resume(BATCHES, rest) == 1
    assert list(rest) == changed[6:], "an incomplete batch is judged again, as its programs are by then"


@pytest.mark.parametrize(
    ("kept", "batches", "said"),
    [
        (WHOLE, BATCHES[1:], "other problems or another way of decoding"),
        (WHOLE, BATCHES[:2], "other problems or another way of decoding"),
        (LINES[0] + LINES[2] + b"".join(LINES[2:]), BATCHES, "other problems"),
        (WHOLE.replace(b"of p5", b"of another"), BATCHES, "other problems"),
        (b"".join(LINES[:5]) + b"[]\n", BATCHES, "cannot be read"),
        (b"".join(LINES[:5]) + b"{\n", BATCHES, "cannot be read"),
    ],
    ids=["others", "more", "twice", "changed", "no sample", "no JSON"],
)
def test_samples_of_something_else_are_refused_and_left_alone(
    tmp_path: Path, kept: bytes, batches: list[list[Key]], said: str
) -> None:
    (tmp_path / SAMPLES).write_bytes(kept)
    (tmp_path / SUMMARY).write_text("a finished one")
    with pytest.raises(UserError, match=said), Recording(tmp_path, about(), 18) as recording:
        recording.resume(batches)
    assert (tmp_path / SAMPLES).read_bytes() == kept
    assert (tmp_path / SUMMARY).read_text() == "a finished one"


def test_an_interrupted_evaluation_says_so_and_has_figures(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), Recording(tmp_path, about(), 8) as recording:
        recording.add([sample("a", 0)])
        raise KeyboardInterrupt
    found = read_evaluation(tmp_path / SUMMARY)
    assert (found.status, found.programs, found.pass_at_k) == ("interrupted", 1, {"1": 1.0})


def test_while_it_goes_on_the_summary_is_written_now_and_then(tmp_path: Path) -> None:
    seen = []
    with Recording(tmp_path, about(problems=8), 8) as recording:
        for n in range(8):
            recording.add([sample(f"p{n}")])
            found = read_evaluation(tmp_path / SUMMARY) if (tmp_path / SUMMARY).exists() else None
            seen.append((found.status, found.programs) if found else None)
        recording.finish()
    assert seen == [None, *[("running", n) for n in (2, 2, 4, 4, 6, 6, 8)]]


# The folder


@pytest.mark.parametrize("place", ["d", "d~previous"])
def test_what_is_to_be_read_is_never_what_makes_way(tmp_path: Path, place: str) -> None:
    source = write_evaluation(tmp_path / place, {"a": ["pass"]}) / SAMPLES
    with pytest.raises(UserError, match=rf"samples.jsonl is to be read, and {tmp_path / place} makes way"):
        check_folder(tmp_path / "d", None, (source,), resume=False)
    check_folder(tmp_path / "d", None, (tmp_path / f"{place}-of-others",), resume=False)


def test_an_earlier_evaluation_is_kept_once(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "d", {"a": ["pass"]})
    check_folder(folder, None, resume=False)
    begin_folder(folder, None)
    assert read_evaluation(tmp_path / "d~previous" / SUMMARY).programs == 1
    assert sorted(os.listdir(folder)) == [SAMPLES]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("a run's")
    with pytest.raises(UserError, match="holds something else than an evaluation"):
        check_folder(tmp_path, None, resume=False)
    with pytest.raises(UserError, match="no evaluation to resume"):
        check_folder(tmp_path / "new", None, resume=True)


def test_outcomes_are_counted_in_their_order(tmp_path: Path) -> None:
    assert list(recorded(tmp_path, [sample("a")], problems=1).outcomes) == [outcome.value for outcome in Outcome]
