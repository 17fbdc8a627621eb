"""A board: rows of panels on Grafana's grid, the variables, links and marks that all boards have, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from contracts import metrics as m
from contracts.metrics import PREFIX, RUN_LABEL
from deploy.grafana.panels import SOURCE, Panel
from deploy.grafana.queries import CHOSEN, newest

COLUMNS = 24
TAG = "rltf"
FIRST = m.DISK_FREE
"""What a run tells before anything else: by it a run can be chosen from its beginning on."""
WINDOWS = ("30s", "1m", "5m", "15m", "1h", "6h")


class Row(NamedTuple):
    """Panels beside one another: equally wide, unless `widths` says how many of the 24 columns each has."""

    title: str
    height: int
    panels: Sequence[Panel]
    widths: Sequence[int] = ()


def board(uid: str, title: str, about: str, rows: Sequence[Row]) -> str:
    """The JSON that Grafana provisions."""
    made = dashboard.Dashboard(f"RLTF · {title}").uid(f"rltf-{uid}").description(about).tags([TAG]).timezone("browser")
    made.time("now-1h", "now").refresh("10s").tooltip(models.DashboardCursorSync.CROSSHAIR).readonly()
    made.variables([_source(), _runs(), _window(), _setting()]).annotations([_stages(), _alerts()])
    links = dashboard.DashboardLink("Other boards").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    made.link(links.keep_time(True).include_vars(True).as_dropdown(False))
    number, top = 1, 0
    for row in rows:
        made.with_row(dashboard.Row(row.title).id(number).grid_pos(models.GridPos(h=1, w=COLUMNS, x=0, y=top)))
        number, top, left = number + 1, top + 1, 0
        widths = row.widths or [COLUMNS // len(row.panels)] * len(row.panels)
        for panel, width in zip(row.panels, widths, strict=True):
            made.with_panel(panel.id(number).grid_pos(models.GridPos(h=row.height, w=width, x=left, y=top)))
            number, left = number + 1, left + width
        top += row.height
    built = made.build()
    for part in (*(built.links or ()), *(built.annotations.list_val or () if built.annotations else ())):
        part.placement = None  # shown beside the variables, not in a menu
    return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _source() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _runs() -> dashboard.QueryVariable:
    return _labels(RUN_LABEL, f"{PREFIX}{FIRST.name}", "Run", "Runs to show").multi(True)


def _setting() -> dashboard.QueryVariable:
    held_out = f"{PREFIX}{m.EVAL_PASS.name}{{{CHOSEN}}}"
    setting = _labels("setting", held_out, "Decoding", "Held-out programs are sampled at a temperature (T=…) or greedily")
    return setting.sort(models.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_DESC)


def _labels(label: str, series: str, shown: str, about: str) -> dashboard.QueryVariable:
    query = f"label_values({series}, {label})"
    variable = dashboard.QueryVariable(label).label(shown).description(about).datasource(SOURCE)
    variable.query({"query": query, "refId": f"Variable-{label}"}).definition(query)
    return variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)


def _window() -> dashboard.IntervalVariable:
    window = dashboard.IntervalVariable("window").label("Averaged over").values(",".join(WINDOWS))
    window.description("Rates and shares are over so much time; longer is smoother. It should hold some steps")
    usual = "5m"
    window.options([models.VariableOption(selected=value == usual, text=value, value=value) for value in WINDOWS])
    return window.current(models.VariableOption(selected=True, text=usual, value=usual))


def _stages() -> dashboard.AnnotationQuery:
    marks = dashboard.AnnotationQuery().name("Stages").datasource(SOURCE).enable(True).icon_color("#7d6fd6")
    return marks.expr(f"{newest(m.STAGE, 'stage')} == 1").title_format("{{stage}}").text_format("{{run}}").step("10s")


def _alerts() -> dashboard.AnnotationQuery:
    marks = dashboard.AnnotationQuery().name("Alerts").datasource(SOURCE).enable(True).icon_color("#d9622b")
    marks.expr(f'ALERTS{{{CHOSEN}, alertstate="firing"}}')
    return marks.title_format("{{alertname}}").text_format("{{run}}").step("10s")
