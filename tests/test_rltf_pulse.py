"""What the endpoint is told between rows, and how often."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from contracts import metrics as m
from contracts.metrics import Value
from contracts.recipe import parse_recipe
from contracts.records import Problem
from problems.sets import ProblemSet
from rltf.board import Board
from rltf.pulse import Pulse, what_it_has, zeros


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_values_are_made_and_posted_at_most_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=7))
    posted: list[Mapping[str, Value]] = []
    clock = Clock()
    made: list[float] = []

    def values() -> dict[str, Value]:
        made.append(clock.now)
        return {m.STEP.name: len(made)}

    pulse = Pulse(posted.append, tmp_path, clock)
    left = []
    for now in (100.0, 100.5, 100.75, 101.0, 101.9, 103.5, 104.4, 104.5):
        clock.now = now
        left.append(pulse.left)
        pulse.beat(values)
    assert made == [100.0, 101.0, 103.5, 104.5]
    assert left == pytest.approx([0.0, 0.5, 0.25, 0.0, 0.1, 0.0, 0.1, 0.0])
    assert posted == [{m.STEP.name: n, m.DISK_FREE.name: 7} for n in (1, 2, 3, 4)]
    assert asked == [tmp_path] * 4


def test_the_stage_is_the_newest_one_and_those_before_it_are_over(tmp_path: Path) -> None:
    posted: list[Mapping[str, Value]] = []
    pulse = Pulse(posted.append, tmp_path, time_of_day=iter((11.0, 12.0, 13.0)).__next__)
    for name in ("warm start", "evaluate start", "online"):
        pulse.stage(name)
    assert posted == [
        {m.STAGE.name: {"warm start": 1.0}, m.LAST_PROGRESS.name: 11.0},
        {m.STAGE.name: {"warm start": 0.0, "evaluate start": 1.0}, m.LAST_PROGRESS.name: 12.0},
        {m.STAGE.name: {"warm start": 0.0, "evaluate start": 0.0, "online": 1.0}, m.LAST_PROGRESS.name: 13.0},
    ]


def test_progress_is_posted_at_once_and_values_at_most_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=7))
    posted: list[Mapping[str, Value]] = []
    clock = Clock()
    pulse = Pulse(posted.append, tmp_path, clock, time_of_day=lambda: 1000 + clock.now)
    for now in (100.0, 100.5, 101.0):
        clock.now = now
        pulse.progress(lambda: {m.JUDGED.name: 3})
    values = {m.JUDGED.name: 3, m.DISK_FREE.name: 7}
    assert posted == [
        {m.LAST_PROGRESS.name: 1100.0},
        values,
        {m.LAST_PROGRESS.name: 1100.5},
        {m.LAST_PROGRESS.name: 1101.0},
        values,
    ]


def test_what_a_run_has() -> None:
    settings = {
        "name": "r",
        "steps": 40,
        "actors": {"count": 3, "in_flight": 4},
        "executors": {"count": 2, "cores": 4},
        "learner": {"ranks": 2, "batch_samples": 64},
        "sampling": {"samples_per_problem": 4, "problems_per_batch": 8},
        "buffer": {"capacity": 128},
        "weights": {"sync_every": 1},
    }
    found = what_it_has(parse_recipe(settings), ["namespaces", "baseline"])
    assert found == {
        m.STEPS_WANTED.name: 40,
        m.WORKERS.name: {"sampling": 3, "executing": 2, "learning": 1},
        m.TIERS.name: {"namespaces": 1, "baseline": 1},
        m.BUFFER_CAPACITY.name: 128,
        m.LAG_BOUND.name: 2 * (128 + 4 * 8 * 4) // 64,
    }
    offline = parse_recipe({**settings, "online": False, "warmup": {"steps": 1}})
    assert what_it_has(offline, [])[m.STEPS_WANTED.name] == 0


def problem(key: str, difficulty: str) -> Problem:
    return Problem(id=key, question="", tests=(), difficulty=difficulty)


def test_counters_begin_at_nothing_where_their_labels_are_known() -> None:
    found = zeros(ProblemSet([problem("a", "hard"), problem("b", "easy")], [problem("c", "easy"), problem("d", "odd")], 0))
    counters = {metric.name for metric in m.ALL if metric.kind != "gauge"}
    assert counters - found.keys() == {m.ERRORS.name}, "generated programs name errors as they please"
    assert found[m.JUDGED.name] == 0
    assert found[m.LAG.name] == {"sum": 0}
    assert found[m.CANARIES.name] == {"right": 0, "wrong": 0}
    assert found[m.UPDATES.name] == {"made": 0, "skipped": 0}
    assert found[m.LOCATED.name] == {"global": 0, "line": 0, "ignore": 0}
    programs = found[m.PROGRAMS.name]
    assert isinstance(programs, dict)
    assert len(programs) == 2 * 3 * 4
    assert {"train|odd|pass", "heldout|hard|syntax_error"} < programs.keys()
    assert set(programs.values()) == {0}
    Board("run").post(found)
