"""An endpoint's answer as Prometheus' own parser reads it, for tests."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

Series = dict[tuple[str, ...], float]
"""(sample name, label values in the order of the labels' names but for `run` and `life`) → value."""


def scrape(address: str) -> str:
    """The answer's text to a scrape by Prometheus."""
    return read(address, headers={"X-Prometheus-Scrape-Timeout-Seconds": "10"})


def read(address: str, path: str = "/metrics", method: str = "GET", headers: Mapping[str, str] | None = None) -> str:
    """The answer's text to anybody's request."""
    request = urllib.request.Request(f"http://{address}{path}", method=method, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def targets(output: Path) -> dict[str, str]:
    """Run → address, of the runs below `output` that Prometheus finds."""
    return {file.stem: json.loads(file.read_text())[0]["targets"][0] for file in (output / ".prometheus").glob("*.json")}


def series(text: str, run: str) -> Series:
    """All series of an answer, each of which must be of this run, and all of one life of it."""
    found: Series = {}
    lives = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("run") == run, sample
            lives.add(labels.pop("life"))
            key = (sample.name, *(labels[name] for name in sorted(labels)))
            assert key not in found, key
            found[key] = sample.value
    assert len(lives) == bool(found)
    return found
