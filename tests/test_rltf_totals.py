"""What a run has counted, as its summary, its rows and a resumed run have it."""

from __future__ import annotations

import msgspec

from contracts import metrics as m
from contracts.counts import Counts, add
from rltf.totals import Totals, take_counts


def totals() -> Totals:
    return Totals(
        online={
            m.PROGRAMS.name: {"train|easy|pass": 3, "train|hard|pass": 1, "train|hard|failure": 4},
            m.ERRORS.name: {"KeyError": 2},
            m.EVICTED.name: {"truncated": 5},
            m.TRAINED.name: 4,
            m.LAG.name: {"1.0": 3, "4.0": 1, "sum": 6.0},
            m.PHASE_SECONDS.name: {"sampling": 2.0, "learning": 1.0},
        },
        supervised={m.PHASE_SECONDS.name: {"learning": 0.25}, m.UPDATES.name: {"made": 3}},
        evaluations={
            "start": {m.PROGRAMS.name: {"heldout|easy|pass": 7}, m.PHASE_SECONDS.name: {"sampling": 0.5}, m.JUDGED.name: 7},
            "final": {m.PROGRAMS.name: {"heldout|easy|pass": 1}, m.JUDGED.name: 1},
        },
        evicted={"lag": 6},
    )


def test_rows_have_what_all_stages_counted() -> None:
    assert totals().values() == {
        m.PROGRAMS.name: {"train|easy|pass": 3, "train|hard|pass": 1, "train|hard|failure": 4, "heldout|easy|pass": 8},
        m.ERRORS.name: {"KeyError": 2},
        m.EVICTED.name: {"truncated": 5, "lag": 6},
        m.TRAINED.name: 4,
        m.LAG.name: {"1.0": 3, "4.0": 1, "sum": 6.0},
        m.PHASE_SECONDS.name: {"sampling": 2.5, "learning": 1.25},
        m.UPDATES.name: {"made": 3},
        m.JUDGED.name: 8,
    }


def test_values_are_a_copy() -> None:
    before = totals()
    add(before.values(), {m.EVICTED.name: {"lag": 1, "truncated": 1}, m.JUDGED.name: 1})
    assert before == totals()


def test_the_summary_is_about_the_online_stage() -> None:
    found = totals()
    assert found.outcomes == {"pass": 4, "failure": 4}
    assert found.errors == {"KeyError": 2}
    assert found.dropped == {"truncated": 5}
    assert found.samples_evicted == {"truncated": 5, "lag": 6}
    assert (found.trained, found.lag_mean) == (4, 1.5)
    assert (Totals().outcomes, Totals().trained, Totals().lag_mean) == ({}, 0, 0.0)


def test_totals_survive_a_file_with_whole_numbers_whole() -> None:
    read = msgspec.json.decode(msgspec.json.encode(totals()), type=Totals)
    assert read == totals()
    assert all(type(count) is int for count in read.outcomes.values())
    assert msgspec.json.encode(read) == msgspec.json.encode(totals())


def test_a_steps_own_counts_are_taken_out_of_its_metrics() -> None:
    metrics: Counts = {
        m.LOSS.name: {"total": 1.0},
        m.TRAINED.name: 8,
        m.LAG.name: {"0.0": 8, "sum": 0.0},
        m.LAG_MEAN.name: 0.0,
        m.PHASE_SECONDS.name: {"learning": 0.25},
    }
    taken = take_counts(metrics)
    assert metrics == {m.LOSS.name: {"total": 1.0}, m.LAG_MEAN.name: 0.0}
    assert taken == {
        m.TRAINED.name: 8,
        m.LAG.name: {"0.0": 8, "sum": 0.0},
        m.PHASE_SECONDS.name: {"learning": 0.25},
    }
