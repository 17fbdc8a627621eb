"""A panel drawn with matplotlib: lines, stacked shares, numbers, bars, heatmaps."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from deploy.grafana.reading import Panel, colour, is_dashed
from deploy.prometheus.client import Series
from rltf.plots import LINES

Named = tuple[str, Series]
INK, QUIET, GRID = "#24292f", "#6e7781", "#e6e8eb"
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


def named(legend: str, series: Series) -> str:
    """A series' name, from a legend with labels in it."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: series.labels.get(found[1], ""), legend)


def draw(axes: Axes, panel: Panel, found: Sequence[Named], marks: Sequence[float], start: float, end: float) -> None:
    """Draw what a panel's queries returned, and upright lines at `marks`; all times in seconds since 1970."""
    kinds = {"timeseries": _lines, "stat": _numbers, "bargauge": _bars, "heatmap": _heat}
    if not found:
        axes.set_axis_off()
        nothing = panel["fieldConfig"]["defaults"].get("noValue", "no data")
        axes.text(0.5, 0.5, nothing, ha="center", va="center", color=QUIET, fontsize=10)
        return
    if panel["type"] in ("timeseries", "heatmap"):
        _time_axis(axes, end - start)
        for mark in marks:
            axes.axvline(mark - start, color=QUIET, lw=0.7, ls=":")
        found = [(name, Series(series.labels, [at - start for at in series.times], series.values)) for name, series in found]
    kinds[panel["type"]](axes, panel, found)


def said(value: float, unit: str, digits: int | None = None) -> str:
    """A value with its unit, as a person reads it."""
    if not math.isfinite(value):
        return "–"
    if unit == "percentunit":
        return f"{100 * value:.{1 if digits is None else digits}f} %"
    if unit in ("bytes", "Bps"):
        power = min(int(math.log2(max(abs(value), 1)) // 10), len(_BINARY) - 1)
        return f"{value / 1024**power:.{digits or 0}f} {_BINARY[power]}" + ("/s" if unit == "Bps" else "")
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 and value else f"{value:.{2 if digits is None else digits}f} s"
    text = f"{value / 1000:.3g} K" if abs(value) >= 10_000 else f"{value:.{digits}f}" if digits is not None else f"{value:.4g}"
    return text + unit.removeprefix("suffix:") if unit.startswith("suffix:") else text


def axis_end(highest: float, soft: float | None) -> float:
    """Where an axis ends: at its soft end, unless a value lies above."""
    return soft if soft and highest <= soft else highest * 1.08 or 1


def _lines(axes: Axes, panel: Panel, found: Sequence[Named]) -> None:
    custom = panel["fieldConfig"]["defaults"]["custom"]
    colours = [colour(panel, name) or LINES[number % len(LINES)] for number, (name, _) in enumerate(found)]
    if custom.get("stacking", {}).get("mode") == "normal":
        times = sorted({at for _, series in found for at in series.times})
        parts = [[dict(zip(series.times, series.values, strict=True)).get(at, 0.0) for at in times] for _, series in found]
        axes.stackplot(times, parts, colors=colours, labels=[name for name, _ in found], alpha=0.8, linewidth=0)
    else:
        for (name, series), shade in zip(found, colours, strict=True):
            axes.plot(*_with_gaps(series), color=shade, label=name, lw=1.6, ls="--" if is_dashed(panel, name) else "-")
    _value_axis(axes, panel, max((value for _, series in found for value in series.values if math.isfinite(value)), default=1.0))
    axes.set_ylabel(custom.get("axisLabel", ""), fontsize=7, color=QUIET)
    _legend(axes, [name for name, _ in found])


def _legend(axes: Axes, names: Sequence[str]) -> None:
    """Below the axes, which give way to its lines."""
    figure, place = axes.get_figure(root=True), axes.get_position()
    assert figure is not None
    wide, high = figure.get_size_inches()
    columns = min(len(names), max(1, int(wide * place.width / (0.42 + 0.055 * max(map(len, names))))))
    more = 0.17 * (math.ceil(len(names) / columns) - 1) / high
    axes.set_position((place.x0, place.y0 + more, place.width, place.height - more))
    below = -0.22 / (high * (place.height - more))
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.02, below), ncols=columns, fontsize=7, frameon=False, labelcolor=INK,
        borderaxespad=0, columnspacing=1.0, handlelength=1.2,
    )  # fmt: skip


def _with_gaps(series: Series) -> tuple[list[float], list[float]]:
    """A series with NaN where points are missing: a line ends there."""
    times, values = list(series.times), list(series.values)
    step = min((after - before for before, after in pairwise(times)), default=0.0)
    for place in reversed([n for n, (before, after) in enumerate(pairwise(times), start=1) if after - before > 1.5 * step]):
        times.insert(place, times[place - 1] + step)
        values.insert(place, math.nan)
    return times, values


def _value_axis(axes: Axes, panel: Panel, highest: float) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    unit, digits = defaults["unit"], 0 if defaults["unit"] == "percentunit" else None
    if defaults["custom"].get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if defaults.get("min") is not None:
            axes.set_ylim(0, defaults.get("max") or axis_end(highest, defaults["custom"].get("axisSoftMax")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: said(value, unit, digits)))
    axes.grid(axis="y", color=GRID)


def _numbers(axes: Axes, panel: Panel, found: Sequence[Named]) -> None:
    axes.set_axis_off()
    defaults = panel["fieldConfig"]["defaults"]
    only_names = panel["options"]["textMode"] == "name"
    for number, (name, series) in enumerate(found):
        place, value = (number + 0.5) / len(found), _newest(series)
        shade = [step["color"] for step in defaults["thresholds"]["steps"] if step["value"] is None or value >= step["value"]][-1]
        text = name if only_names else said(value, defaults["unit"], defaults.get("decimals"))
        size = 13 if only_names or len(text) > 9 else 17
        axes.text(
            place, 0.58, text, ha="center", va="center", fontsize=size, color=INK if shade == "text" else shade, weight="bold"
        )
        if not only_names:
            axes.text(place, 0.12, name, ha="center", va="center", fontsize=7.5, color=QUIET)


def _bars(axes: Axes, panel: Panel, found: Sequence[Named]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    names, values = [name for name, _ in found], [_newest(series) for _, series in found]
    _make_room(axes, names)
    colours = [colour(panel, name) or LINES[0] for name in names]
    top = defaults.get("max") or max(values) or 1
    places = np.arange(len(found))[::-1]
    axes.barh(places, [top] * len(found), color=GRID, height=0.62)
    axes.barh(places, values, color=colours, height=0.62)
    for place, value in zip(places, values, strict=True):
        axes.text(top * 1.02, place, said(value, defaults["unit"]), va="center", fontsize=7.5, color=INK)
    axes.set(xlim=(0, top * 1.2), ylim=(-0.6, max(len(found), 2) - 0.4))
    axes.set_yticks(places, names, fontsize=7.5)
    axes.xaxis.set_visible(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _make_room(axes: Axes, names: Sequence[str]) -> None:
    """The names stand to the left of the axes, which give way to the longest."""
    figure, place = axes.get_figure(root=True), axes.get_position()
    assert figure is not None
    more = (0.1 + 0.052 * max(map(len, names))) / figure.get_size_inches()[0]
    axes.set_position((place.x0 + more, place.y0, place.width - more, place.height))


def _heat(axes: Axes, panel: Panel, found: Sequence[Named]) -> None:
    ordered = sorted((series for _, series in found), key=lambda series: float(series.labels["le"]))
    times = sorted({at for series in ordered for at in series.times})
    totals = np.array([[dict(zip(series.times, series.values, strict=True)).get(at, 0.0) for at in times] for series in ordered])
    cells = np.diff(totals, axis=0, prepend=0.0)
    used = cells.max(axis=1).nonzero()[0]
    low, high = (used[0], used[-1] + 1) if len(used) else (0, len(cells))
    shown = np.ma.masked_less_equal(cells[low:high], 1e-9)
    axes.pcolormesh(times, np.arange(high - low) + 0.5, shown, cmap="Blues", norm=PowerNorm(0.5), shading="nearest")
    unit = panel["options"]["yAxis"]["unit"]
    texts = ["more" if series.labels["le"] == "+Inf" else "≤ " + said(float(series.labels["le"]), unit) for series in ordered]
    axes.set_yticks(np.arange(high - low) + 0.5, texts[low:high], fontsize=7)
    axes.set_ylim(0, high - low)


def _newest(series: Series) -> float:
    return next((value for value in reversed(series.values) if not math.isnan(value)), math.nan)


def _time_axis(axes: Axes, seconds: float) -> None:
    axes.set_xlim(0, seconds)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 1.5, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{int(at) // 60}:{int(at) % 60:02d}"))
    axes.tick_params(labelsize=7, colors=QUIET, length=2)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
