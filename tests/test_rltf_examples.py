"""The programs that a run keeps for its report: their file, how they are cut into pieces, which of a group is kept."""

from pathlib import Path

import pytest
from fake_run import example, passing, tokens
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import Category, Finding, Group, LabelledGroup, Labels, Outcome, Problem, Program, Span, Verdict
from rltf.examples import append_examples, read_examples
from rltf.record import example_of
from rltf.report import pieces


def test_examples_are_appended_and_a_torn_line_is_dropped(tmp_path: Path) -> None:
    assert read_examples(tmp_path) == []
    append_examples(tmp_path, [example()])
    path = tmp_path / "examples.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step": 1')
    assert read_examples(tmp_path) == [example()]
    append_examples(tmp_path, [passing(), example(step=99)])
    assert read_examples(tmp_path) == [example(), passing(), example(step=99)]


@given(st.lists(st.tuples(st.text(max_size=4), st.booleans(), st.booleans()), max_size=12))
def test_pieces_are_the_text_and_mark_what_feedback_marks(drawn: list[tuple[str, bool, bool]]) -> None:
    penalised, static = [token[1] for token in drawn], [token[2] for token in drawn]
    kept = example(**tokens(*(token[0] for token in drawn)), penalised=penalised, static=static)
    cut = list(pieces(kept))
    assert "".join(piece.text for piece in cut) == kept.text
    marked = [(piece.penalised, piece.static) for piece in cut for _ in piece.text]
    assert marked == [token[1:] for token in drawn for _ in token[0]]


def test_tokens_that_share_a_character_show_it_once() -> None:
    kept = example(text="aéb", starts=[0, 1, 1, 2], ends=[1, 2, 2, 3], penalised=[False, True, True, False])
    assert [tuple(piece) for piece in pieces(kept)] == [("a", False, False), ("é", True, False), ("b", False, False)]


# -- which program is kept


def _judged(*verdicts: Verdict) -> LabelledGroup:
    """A group of the problem p/1, with one program per verdict; the first is the greedy one."""
    programs = [
        Program(text=f"{place}", token_ids=[place], logprobs=[0.0], starts=[0], ends=[1], greedy=not place)
        for place in range(len(verdicts))
    ]
    labels = [Labels(coarse=0, fine=0, adaptive=None, penalised=[False], static=[bool(v.findings)]) for v in verdicts]
    group = Group(id="g", problem_id="p/1", batch=0, policy_version=4, temperature=1.0, prompt_ids=[1], programs=programs)
    return LabelledGroup(group=group, verdicts=list(verdicts), labels=labels)


FOUND = Verdict(outcome=Outcome.FAILURE, findings=(Finding("undefined-name", "undefined name 'x'", Span(1, 1, 0, 1)),))
LOCATED = Verdict(outcome=Outcome.RUNTIME_ERROR, category=Category.LINE, span=Span(1, 1, 0, 1))
PASSED = Verdict(outcome=Outcome.PASS)


def test_every_third_step_a_wrong_answer_is_kept_where_there_is_one() -> None:
    problem = Problem(id="p/1", question="?", tests=())
    entry = _judged(LOCATED, LOCATED, FOUND, LOCATED)
    assert [example_of(entry, [problem], step).text for step in (4, 5, 6, 7)] == ["1", "1", "2", "1"]
    assert example_of(_judged(PASSED, PASSED, LOCATED), [problem], 6).text == "2"


@pytest.mark.parametrize(
    ("verdicts", "text"),
    [((LOCATED, PASSED, FOUND, LOCATED), "3"), ((FOUND, PASSED, FOUND), "2"), ((FOUND, PASSED, PASSED), "1")],
)
def test_the_program_that_shows_most_is_kept(verdicts: tuple[Verdict, ...], text: str) -> None:
    problem = Problem(id="p/1", question="?", tests=())
    kept = example_of(_judged(*verdicts), [problem], step=5)
    assert kept.text == text
    found = bool(verdicts[int(text)].findings)
    assert (kept.static, kept.findings) == ([found], ["undefined name 'x'"] * found)
