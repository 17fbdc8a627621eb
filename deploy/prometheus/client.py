"""Questions to a Prometheus over its HTTP interface."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from contracts.errors import RunError, UserError
from contracts.metrics import DISK_FREE, PREFIX, RUN_LABEL

KEPT = "15d"
"""How long a Prometheus keeps what it has scraped, unless told otherwise."""
_POLL_SECONDS = 0.1


class Series(NamedTuple):
    """One line of an answer."""

    labels: Mapping[str, str]
    times: list[float]
    """Seconds since 1970."""
    values: list[float]


class Client:
    """A Prometheus at an address."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """An expression at start, start + step … end. Raises RunError where it is refused."""
        answer = self.get("query_range", query=expr, start=start, end=end, step=step)
        return [
            Series(found["metric"], [float(at) for at, _ in found["values"]], [float(value) for _, value in found["values"]])
            for found in answer["result"]
        ]

    def instant(self, expr: str, at: float) -> list[Series]:
        """An expression at one time, in its own order. Raises RunError where it is refused."""
        answer = self.get("query", query=expr, time=at)
        return [Series(found["metric"], [float(found["value"][0])], [float(found["value"][1])]) for found in answer["result"]]

    def span(self, run: str) -> tuple[float, float]:
        """From when to when it has seen a run, in seconds since 1970. Raises UserError where it has not."""
        found = self.get("query", query=f'{PREFIX}{DISK_FREE.name}{{{RUN_LABEL}="{run}"}}[{KEPT}]')["result"]
        times = [float(at) for series in found for at, _ in series["values"]]
        if not times:
            raise UserError(f"Prometheus at {self.url} has no run {run!r}", f"It has {', '.join(self.runs()) or 'none'}")
        return min(times), max(times)

    def runs(self) -> list[str]:
        """The runs that it has seen."""
        names: list[str] = self.get(f"label/{RUN_LABEL}/values")
        return names

    def get(self, what: str, **parameters: Any) -> Any:
        """The data of any question, such as `rules` or `targets`. Raises RunError, with Prometheus' words, where it refuses."""
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as err:
            raise RunError(f"Prometheus refused {parameters}: {json.load(err)['error']}", f"See {self.url}") from err
        except urllib.error.URLError as err:
            raise RunError(f"no Prometheus at {self.url}: {err.reason}", "Bring it up: `make dashboards`") from err

    def wait_until_ready(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Returns when it answers. Raises RunError where it ends instead."""
        while process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready"):
                    return
            except OSError:
                time.sleep(_POLL_SECONDS)
        raise RunError(f"Prometheus ended at once, with exit code {process.returncode}", f"See {log}")
