"""Kinds of panels, each with a title, a description for readers who know nothing of the method, a unit and colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmaps
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from contracts.records import Outcome
from rltf.plots import COLOURS, LINES

Panel = timeseries.Panel | stat.Panel | bargauge.Panel | heatmap.Panel
_Any = TypeVar("_Any", timeseries.Panel, stat.Panel, bargauge.Panel, heatmap.Panel)

SOURCE = options.DataSourceRef(type_val="prometheus", uid="$datasource")
SHARE, SECONDS, BYTES, COUNT = "percentunit", "s", "bytes", "short"
WORDS = "suffix: "
"""Begins a unit that is written out behind the number."""
OUTCOMES: Mapping[str, str] = {outcome.value: colour for outcome, colour in COLOURS.items()}
SCORED = [outcome for outcome in OUTCOMES if outcome != Outcome.SANDBOX_ERROR]
"""From good to bad; executors' own faults are never scored."""
PHASES = {"sampling": LINES[0], "executing": LINES[1], "learning": LINES[2]}
EVALUATIONS = {"start": LINES[6], "control": LINES[4], "final": LINES[2]}
RESULTS = {"right": COLOURS[Outcome.PASS], "wrong": COLOURS[Outcome.RUNTIME_ERROR]}
WORRYING = COLOURS[Outcome.RUNTIME_ERROR]


class Query(NamedTuple):
    """An expression and what its series are called."""

    expr: str
    legend: str = "{{run}}"


def lines(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    colours: Mapping[str, str] | None = None,
    dashed: str | None = None,
    log: bool = False,
    soft: float | None = None,
) -> timeseries.Panel:
    """Lines over time; a unit in words stands beside the axis.

    `colours` are by how a series' name ends; `dashed` is the one that is a bound and not a measurement.

    The axis of shares ends at 1, or, with `soft`, there unless a value lies above: for shares that are small, and for shares of a
    time, which pass 1 where what took the time is counted at its end.
    """
    words = unit.removeprefix(WORDS) if unit.startswith(WORDS) else ""
    panel = _begun(timeseries.Panel(), title, about, COUNT if words else unit, queries, colours or {})
    if words:
        panel.axis_label(words).min(0)
    panel.line_width(2).fill_opacity(4).show_points(options.VisibilityMode.NEVER).legend(_legend()).tooltip(_tooltip())
    if unit == SHARE:
        panel.axis_soft_max(soft) if soft else panel.max(1)
    if dashed:
        style = {"fill": "dash", "dash": [8, 8]}
        panel.override_by_regexp(_ending(dashed), [models.DynamicConfigValue("custom.lineStyle", style)])
    if log:
        panel.scale_distribution(common.ScaleDistributionConfig().type(options.ScaleDistribution.LOG).log(10))
    return panel


def stacked(title: str, about: str, unit: str, *queries: Query, colours: Mapping[str, str]) -> timeseries.Panel:
    """Parts of a whole over time; repeated for every chosen run, since parts of two runs do not add up."""
    panel = lines(f"{title}: $run", about, unit, *queries, colours=colours)
    panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A")).fill_opacity(70).line_width(1)
    return panel.repeat("run").repeat_direction("h").max_per_row(2)


def number(
    title: str, about: str, unit: str, *queries: Query, worrying: float | None = None, decimals: int | None = None
) -> stat.Panel:
    """The newest values as text, in a warning colour from `worrying` on."""
    panel = _begun(stat.Panel(), title, about, unit, queries, {})
    steps = [models.Threshold(value=None, color="text")]
    if worrying is not None:
        steps.append(models.Threshold(value=worrying, color=WORRYING))
    panel.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    panel.reduce_options(_last()).graph_mode(options.BigValueGraphMode.NONE).color_mode(options.BigValueColorMode.VALUE)
    if decimals is not None:
        panel.decimals(decimals)
    return panel.text_mode(options.BigValueTextMode.VALUE_AND_NAME)


def name(title: str, about: str, query: Query, otherwise: str) -> stat.Panel:
    """The names of the series that there are now."""
    panel = number(title, about, COUNT, query).text_mode(options.BigValueTextMode.NAME).no_value(otherwise)
    return panel.targets([_target(query).instant()])


def bars(title: str, about: str, unit: str, *queries: Query, colours: Mapping[str, str] | None = None) -> bargauge.Panel:
    """The newest values as horizontal bars, in their queries' order."""
    panel = _begun(bargauge.Panel(), title, about, unit, queries, colours or {})
    if unit == SHARE:
        panel.max(1)
    panel.reduce_options(_last()).orientation(options.VizOrientation.HORIZONTAL).show_unfilled(True)
    panel.name_placement(options.BarGaugeNamePlacement.LEFT).value_mode(options.BarGaugeValueMode.TEXT)
    panel.targets([_target(query, number).instant() for number, query in enumerate(queries)])
    return panel.display_mode(options.BarGaugeDisplayMode.BASIC)


def heat(title: str, about: str, unit: str, query: Query) -> heatmap.Panel:
    """A histogram over time."""
    panel = _begun(heatmap.Panel(), title, about, unit, (query,), {})
    panel.targets([_target(query).format(PromQueryFormat.HEATMAP)]).calculate(False)
    panel.y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(options.AxisPlacement.LEFT))
    panel.cell_values(heatmap.CellValues().unit(f"{WORDS}programs/s")).filter_values(heatmap.FilterValueRange().le(1e-9))
    colour = heatmap.HeatmapColorOptions().mode(heatmaps.HeatmapColorMode.SCHEME).scheme("Blues").steps(64)
    panel.color(colour.scale(heatmaps.HeatmapColorScale.EXPONENTIAL).exponent(0.5)).rows_frame(
        heatmap.RowsHeatmapOptions().layout(options.HeatmapCellLayout.LE)
    )
    return panel.show_legend().tooltip(heatmap.HeatmapTooltip().mode(options.TooltipDisplayMode.SINGLE))


def _begun(panel: _Any, title: str, about: str, unit: str, queries: tuple[Query, ...], colours: Mapping[str, str]) -> _Any:
    panel.title(title).description(about).datasource(SOURCE).unit(unit)
    if unit != COUNT:
        panel.min(0)
    panel.targets([_target(query, number) for number, query in enumerate(queries)])
    panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    for ending, colour in colours.items():
        fixed = models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
        panel.override_by_regexp(_ending(ending), [fixed])
    return panel


def _target(query: Query, number: int = 0) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + number)).range()


def _ending(ending: str) -> str:
    return f"/{ending}$/"


def _last() -> Builder[options.ReduceDataOptions]:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)


def _legend() -> Builder[options.VizLegendOptions]:
    legend = common.VizLegendOptions().display_mode(options.LegendDisplayMode.LIST).show_legend(True)
    return legend.placement(options.LegendPlacement.BOTTOM).calcs([])


def _tooltip() -> Builder[options.VizTooltipOptions]:
    return common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)
