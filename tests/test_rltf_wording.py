"""What is said of a run's problems when it starts."""

from contracts.records import Problem
from problems.sets import ProblemSet
from rltf.wording import problems_in_words, warning_of_few


def test_why_problems_are_left_out_is_said_where_some_are() -> None:
    train = [Problem(id=id_, question="", tests=()) for id_ in "abc"]
    start = "2 problems to train on, 1 held out, "
    said = [problems_in_words(ProblemSet(train[:2], train[2:], *counts)) for counts in ((0, 0), (0, 2), (1, 2))]
    ends = ["0 left out", "2 left out (2 by problems.checked)", "3 left out (1 without tests, 2 by problems.checked)"]
    assert said == [start + end for end in ends]


def test_few_held_out_problems_are_warned_of() -> None:
    keys = "problems.heldout_fraction or problems.heldout_path (where problems are generated: problems.primer.heldout)"
    assert warning_of_few(1) == f"1 held-out problem: its figures say little; set {keys}"
    assert warning_of_few(9) == f"9 held-out problems: their figures say little; set {keys}"
    assert warning_of_few(10) is None
