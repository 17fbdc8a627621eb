"""What of a run's figures is told in its log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import logs
from rltf.board import Values
from rltf.noticing import Notices

QUIET: Values = {
    "step": 1,
    "sandbox_errors_total": 0,
    "zygotes_replaced_total": 0,
    "publications_total": 1,
    "weight_sync_seconds_total": 0.25,
    "step_seconds": 0.5,
    "skipped_updates_ratio": 0.0,
    "loss": {"sl": 0.5, "total": 0.5},
}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with logs.to_file(tmp_path / logs.FILE, "mine", "driver"):
        yield tmp_path / logs.FILE


def _told(path: Path) -> list[dict[str, Any]]:
    lines = [msgspec.json.decode(line) for line in path.read_text().splitlines()]
    assert {(line["level"], line["stage"]) for line in lines} <= {("warning", "online")}
    return [{k: v for k, v in line.items() if k not in ("time", "level", "run", "role", "stage")} for line in lines]


def test_nothing_is_told_of_a_healthy_step(path: Path) -> None:
    Notices().see("online", QUIET)
    assert _told(path) == []


@pytest.mark.parametrize(
    ("worse", "message", "fields"),
    [
        ({"sandbox_errors_total": 3}, "executors failed on programs", {"count": 3}),
        ({"zygotes_replaced_total": 2}, "zygotes were replaced", {"count": 2}),
        ({"skipped_updates_ratio": 0.5}, "updates were skipped: gradients overflowed", {"share": 0.5}),
        ({"loss": {"sl": 0.5, "kl": float("nan"), "total": float("inf")}}, "losses are not finite", {"terms": ["kl", "total"]}),
        (
            {"publications_total": 3, "weight_sync_seconds_total": 1.75},
            "publications take longer than a step",
            {"seconds": 0.75},
        ),
    ],
)
def test_what_goes_wrong_is_told(path: Path, worse: dict[str, Any], message: str, fields: dict[str, Any]) -> None:
    notices = Notices()
    notices.see("online", QUIET)
    notices.see("online", {**QUIET, "step": 2, **worse})
    assert _told(path) == [{"version": 2, "message": message, **fields}]


def test_totals_are_told_once(path: Path) -> None:
    notices = Notices()
    for step, total in enumerate((0, 3, 3, 5, 5), 1):
        notices.see("online", {"step": step, "sandbox_errors_total": total})
    assert [(line["version"], line["count"]) for line in _told(path)] == [(2, 3), (4, 2)]


def test_a_resumed_run_knows_what_was_told(path: Path) -> None:
    rows = [{"time": 1.0, "stage": "online", "step": 1, "sandbox_errors_total": 7}, {"time": 2.0, "stage": "control", "step": 1}]
    notices = Notices(rows)
    notices.see("online", {"step": 2, "sandbox_errors_total": 7})
    assert _told(path) == []
    notices.see("online", {"step": 3, "sandbox_errors_total": 8})
    assert [line["count"] for line in _told(path)] == [1]


def test_slow_publications_are_told_when_they_begin_to_be(path: Path) -> None:
    notices = Notices()
    for step, seconds in enumerate((0.25, 1.25, 2.25, 2.5, 3.5), 1):
        notices.see(
            "online", {"step": step, "publications_total": step, "weight_sync_seconds_total": seconds, "step_seconds": 0.5}
        )
    assert [line["version"] for line in _told(path)] == [2, 5]
