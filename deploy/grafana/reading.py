"""A board's JSON as it is read: its panels, and their expressions with the variables filled in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deploy.grafana.board import WINDOWS
from deploy.grafana.queries import RANGE, WINDOW

Panel = dict[str, Any]


class Filling(NamedTuple):
    """Values for a board's variables."""

    run: str
    seconds: float
    """How long the time is that the board shows."""
    setting: str = "T=1.0"
    window: str = WINDOWS[0]

    def into(self, text: str) -> str:
        """The text with the variables' values."""
        values = {"$run": self.run, "$setting": self.setting, WINDOW: self.window, RANGE: f"{math.ceil(self.seconds)}s"}
        for name, value in values.items():
            text = text.replace(name, value)
        return text


def panels(board: Path) -> list[Panel]:
    """All panels that are no rows, as they follow one another."""
    return [panel for panel in _board(board)["panels"] if panel["type"] != "row"]


def rows(board: Path) -> list[Panel]:
    """The rows' titles and places."""
    return [panel for panel in _board(board)["panels"] if panel["type"] == "row"]


def expressions(board: Path) -> Iterator[tuple[str, str]]:
    """What a board asks: where (a panel's or an annotation's title), and the expression with its variables."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    yield from marks(board).items()


def marks(board: Path) -> dict[str, str]:
    """What a board marks in time: the marks' name, and the expression."""
    return {mark["name"]: mark["expr"] for mark in _board(board)["annotations"]["list"]}


def colour(panel: Mapping[str, Any], name: str) -> str | None:
    """The colour that an override gives a series of this name."""
    return _overridden(panel, name, "color", {}).get("fixedColor")


def is_dashed(panel: Mapping[str, Any], name: str) -> bool:
    """Does an override make this series' line dashed?"""
    return bool(_overridden(panel, name, "custom.lineStyle", {}))


def _overridden(panel: Mapping[str, Any], name: str, what: str, otherwise: dict[str, Any]) -> dict[str, Any]:
    for override in panel["fieldConfig"]["overrides"]:
        if name.endswith(override["matcher"]["options"].strip("/$")):
            for found in override["properties"]:
                if found["id"] == what:
                    value: dict[str, Any] = found["value"]
                    return value
    return otherwise


def _board(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found
