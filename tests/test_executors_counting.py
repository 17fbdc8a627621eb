"""What an executor counts for a run's metrics."""

from __future__ import annotations

import msgspec

from contracts.records import Category, Detail, LabelledGroup, Labels, Outcome, Problem, Program, Verdict
from executors.counting import counts_of
from executors.labels import LabelledBatch
from tests.factories import labelled, program

PROBLEMS = {
    "p": Problem(id="p", question="", tests=(), difficulty="easy"),
    "q": Problem(id="q", question="", tests=(), difficulty="hard"),
}


def entry(problem: str, *rows: tuple[Program, Verdict, list[bool]]) -> LabelledGroup:
    group = msgspec.structs.replace(labelled("g").group, problem_id=problem, programs=[row[0] for row in rows])
    labels = [Labels(coarse=0.0, fine=0.0, adaptive=None, penalised=penalised) for *_, penalised in rows]
    return LabelledGroup(group=group, verdicts=[row[1] for row in rows], labels=labels)


PASSED = Verdict(outcome=Outcome.PASS, passed=3, total=3)
WRONG = Verdict(outcome=Outcome.FAILURE, passed=1, total=3)
RAISED = Verdict(
    outcome=Outcome.RUNTIME_ERROR, detail=Detail.EXCEPTION, error_type="KeyError", category=Category.LINE, passed=2, total=4
)
SLOW = Verdict(outcome=Outcome.RUNTIME_ERROR, detail=Detail.TIMEOUT, category=Category.GLOBAL, total=4)


def test_programs_to_train_on_and_those_dropped_are_counted_and_greedy_ones_are_not() -> None:
    batch = LabelledBatch(
        [
            entry("p", (program(), PASSED, [False, False]), (program(greedy=True), WRONG, [True, True])),
            entry(
                "q",
                (program(), WRONG, [False, False]),
                (program(), RAISED, [True, False]),
                (program(), SLOW, [True, True]),
                (program(), RAISED, [False, True]),
            ),
        ],
        {"truncated": 2, "sandbox_error": 1},
    )
    assert counts_of(batch, PROBLEMS) == {
        "programs_total": {"train|easy|pass": 1, "train|hard|failure": 1, "train|hard|runtime_error": 3},
        "unit_tests_total": {"train": 3 + 3 + 4 + 4 + 4},
        "unit_tests_passed_total": {"train": 3 + 1 + 2 + 0 + 2},
        "penalised_tokens_total": 4,
        "errors_total": {"KeyError": 2, "timeout": 1},
        "errors_located_total": {"line": 2, "global": 1},
        "samples_evicted_total": {"truncated": 2, "sandbox_error": 1},
    }


def test_a_batch_of_nothing_to_train_on_has_no_programs() -> None:
    assert counts_of(LabelledBatch([], {"unusable": 3}), PROBLEMS) == {"samples_evicted_total": {"unusable": 3}}
