"""Counts that parts of a run make and others add up."""

from __future__ import annotations

import msgspec
import pytest

from contracts import metrics as m
from contracts.counts import Counts, add, count, number_of, numbers_of, observe, summed


def some() -> Counts:
    counts: Counts = {}
    count(counts, m.JUDGED)
    count(counts, m.JUDGED, by=2)
    for outcome, difficulty in (("pass", "easy"), ("pass", "hard"), ("failure", "hard")):
        count(counts, m.PROGRAMS, "train", difficulty, outcome)
    count(counts, m.PROGRAMS, "heldout", "hard", "pass", by=5)
    observe(counts, m.LAG, [0, 3, 4, 5000])
    return counts


def test_counts_have_the_form_of_a_row() -> None:
    assert some() == {
        "programs_judged_total": 3,
        "programs_total": {"train|easy|pass": 1, "train|hard|pass": 1, "train|hard|failure": 1, "heldout|hard|pass": 5},
        "lag_steps": {"0.0": 1, "4.0": 2, "+Inf": 1, "sum": 5007.0},
    }


def test_counts_add_up_number_by_number_and_leave_what_is_added_alone() -> None:
    total, more = some(), some()
    add(total, more)
    add(total, {m.ERRORS.name: {"KeyError": 1}, m.JUDGED.name: 1})
    assert more == some()
    assert total["programs_judged_total"] == 7
    assert total["errors_total"] == {"KeyError": 1}
    assert numbers_of(total, m.PROGRAMS)["heldout|hard|pass"] == 10
    assert numbers_of(total, m.LAG) == {"0.0": 2, "4.0": 4, "+Inf": 2, "sum": 10014.0}


def test_the_first_that_is_added_is_copied() -> None:
    total: Counts = {}
    one = some()
    add(total, one)
    add(total, one)
    assert one == some()


def test_sums_by_one_label_of_those_with_values_of_others() -> None:
    assert summed(some(), m.PROGRAMS, "outcome") == {"pass": 7, "failure": 1}
    assert summed(some(), m.PROGRAMS, "outcome", split="train") == {"pass": 2, "failure": 1}
    assert summed(some(), m.PROGRAMS, "split", difficulty="hard", outcome="pass") == {"train": 1, "heldout": 5}
    assert summed(some(), m.PROGRAMS, "outcome", split="train", difficulty="none") == {}
    assert summed({}, m.PROGRAMS, "outcome") == {}


def test_what_was_never_counted_is_nothing() -> None:
    assert (number_of({}, m.JUDGED), numbers_of({}, m.ERRORS)) == (0, {})


def test_a_label_that_holds_the_separator_is_one_label_still() -> None:
    counts: Counts = {}
    count(counts, m.PROGRAMS, "train", "easy|hard", "pass")
    assert summed(counts, m.PROGRAMS, "difficulty") == {"easy/hard": 1}


def test_whole_numbers_stay_whole_in_a_file() -> None:
    read = msgspec.json.decode(msgspec.json.encode(some()), type=Counts)
    assert read == some()
    assert isinstance(read["programs_judged_total"], int)


@pytest.mark.parametrize("metric", [m.JUDGED, m.ERRORS], ids=["plain", "labelled"])
def test_a_metric_without_labels_is_not_one_with_labels(metric: m.Metric) -> None:
    counts: Counts = {m.JUDGED.name: {"a": 1}, m.ERRORS.name: 1}
    with pytest.raises(AssertionError):
        count(counts, metric, *metric.labels)
