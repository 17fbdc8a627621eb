"""How many series a run is, however large it is, and what the benchmark prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import metrics
from benchmarks.metrics import ACTORS, MOST_SERIES, VALUES, main, served
from contracts.metrics import ALL
from contracts.sections import MonitorConfig
from rltf.monitor import Monitor


def test_series_are_few_and_do_not_depend_on_the_number_of_actors(tmp_path: Path) -> None:
    counts = []
    for actors in (64, ACTORS):
        with Monitor("mine", tmp_path / str(actors), MonitorConfig()) as monitor:
            counts.append(served(monitor, actors))
    assert len(ALL) < counts[0] == counts[1] <= MOST_SERIES


def test_the_values_of_every_label_are_known() -> None:
    assert {label for metric in ALL for label in metric.labels} == {*VALUES, "stage", "difficulty", "error"}


def test_what_it_prints(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REPEATS", 2)
    monkeypatch.setattr(metrics, "MOST_SHARE", 1000.0)
    main(["--rows", "4"])
    shown = capsys.readouterr().out
    assert re.findall(r"^(\w+): [\d.]+ ms, (\S+) a second", shown, re.MULTILINE) == [
        ("row", "4"),
        ("post", "1"),
        ("scrape", "0.2"),
    ]
    assert re.search(r"^\d+ series at 1,024 actors, at most 2,000 are wanted$", shown, re.MULTILINE)
    monkeypatch.setattr(metrics, "MOST_SHARE", 0.0)
    with pytest.raises(SystemExit):
        main([])
