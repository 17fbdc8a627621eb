"""`python -m deploy.grafana.picture`: a board as a picture, drawn from what a Prometheus has of a run.

It stands in for Grafana where there is none: the same panels on the same grid with the same expressions and colours.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from contracts.errors import RunError, UserError
from deploy.grafana.board import COLUMNS, WINDOWS
from deploy.grafana.drawing import INK, QUIET, Named, draw, named
from deploy.grafana.reading import Filling, Panel, marks, panels, rows
from deploy.prometheus.client import Client

FOLDER = Path(__file__).with_name("dashboards")
COLUMN, LINE = 0.66, 0.34
"""Inches: the width of one of the grid's columns, the height of one of its lines."""
POINTS = 300


def picture(board: Path, client: Client, run: str, out: Path, *, setting: str, window: str, last: float | None = None) -> None:
    """Draw a board over the time that Prometheus has seen the run, or its `last` seconds.

    Raises UserError where it has not seen it, RunError where there is no Prometheus.
    """
    start, end = client.span(run)
    start = max(start, end - last) if last else start
    filling = Filling(run, end - start, setting, window)
    step = max(1.0, (end - start) / POINTS)
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels(board))
    figure = Figure(figsize=(COLUMNS * COLUMN, lines * LINE), facecolor="#f4f5f6")
    for row in rows(board):
        figure.text(
            0.006, 1 - (row["gridPos"]["y"] + 0.62) / lines, row["title"], fontsize=11, weight="bold", color=INK, va="center"
        )
    stages = client.range(filling.into(marks(board)["Stages"]), start, end, step)
    begun = [series.times[0] for series in stages if series.times[0] > start]
    for panel in panels(board):
        found = [item for target in panel["targets"] for item in _ask(client, target, filling, start, end, step)]
        draw(_card(figure, panel, filling.into(panel["title"]), lines), panel, found, begun, start, end)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


def _ask(client: Client, target: Panel, filling: Filling, start: float, end: float, step: float) -> list[Named]:
    expr = filling.into(target["expr"])
    found = client.instant(expr, end) if target.get("instant") else client.range(expr, start, end, step)
    return [(named(target["legendFormat"], series), series) for series in found]


def _card(figure: Figure, panel: Panel, title: str, lines: int) -> Axes:
    """A white card with the panel's title, and the axes within it."""
    place = panel["gridPos"]
    left, width = place["x"] / COLUMNS, place["w"] / COLUMNS
    bottom, height = 1 - (place["y"] + place["h"]) / lines, place["h"] / lines
    gap_x, gap_y = 0.06 / (COLUMNS * COLUMN), 0.05 / (lines * LINE)
    box = FancyBboxPatch(
        (left + gap_x, bottom + gap_y), width - 2 * gap_x, height - 2 * gap_y, transform=figure.transFigure,
        boxstyle="square,pad=0", facecolor="white", edgecolor="#dfe2e6", linewidth=0.8, zorder=-1,
    )  # fmt: skip
    figure.add_artist(box)
    inch_x, inch_y = 1 / (COLUMNS * COLUMN), 1 / (lines * LINE)
    figure.text(left + 0.15 * inch_x, bottom + height - 0.2 * inch_y, title, fontsize=9, color=INK, va="center")
    margins = {
        "stat": (0.1, 0.1, 0.1),
        "bargauge": (0.1, 0.1, 0.12),
        "timeseries": (0.68, 0.2, 0.62),
        "heatmap": (0.72, 0.2, 0.35),
    }
    before, after, below = margins[panel["type"]]
    axes = figure.add_axes(
        (
            left + before * inch_x,
            bottom + below * inch_y,
            width - (before + after) * inch_x,
            height - (below + 0.42) * inch_y,
        )
    )
    axes.set_facecolor("white")
    axes.tick_params(colors=QUIET, labelsize=7)
    return axes


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana.picture", description=__doc__)
    parser.add_argument("board", choices=sorted(path.stem for path in FOLDER.glob("*.json")))
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address")
    parser.add_argument("--run", required=True, help="the run's name")
    parser.add_argument("--window", default=WINDOWS[0], help="what rates and shares are averaged over")
    parser.add_argument("--last", type=float, help="seconds before the run's end to show; unset: all")
    parser.add_argument("--setting", default="T=1.0", help="how held-out programs are sampled")
    parser.add_argument("--out", type=Path, required=True, help="the PNG file")
    options = parser.parse_args()
    try:
        board, client = FOLDER / f"{options.board}.json", Client(options.prometheus)
        picture(board, client, options.run, options.out, setting=options.setting, window=options.window, last=options.last)
    except (UserError, RunError) as err:
        print(f"error: {err}", file=sys.stderr)
        return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
