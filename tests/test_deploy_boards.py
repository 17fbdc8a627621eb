"""The Grafana boards: made by their code, valid, on the grid, asking for what is declared."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from contracts import metrics as m
from contracts.metrics import Value
from contracts.records import Outcome
from deploy.grafana.__main__ import BOARDS, stale, write
from deploy.grafana.drawing import axis_end, draw, said
from deploy.grafana.reading import Filling, colour, panels, rows
from deploy.prometheus.client import Series
from executors.confine import Tier
from executors.tiers import DESCRIPTIONS
from rltf.plots import COLOURS
from rltf.pulse import Pulse
from tests import promql

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the two forms of boards it would rather have the one that Grafana 11 does not read
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

NOT_SHOWN = {
    m.STEP: "begins anew in every stage: the boards show how far training is by the policy version",
    m.PASS_RATE: "the boards take pass rates from counters, which no scrape misses",
    m.PENALISED_TOKENS: "the boards show the share of tokens",
    m.SKIPPED: "the boards take it from the counter, which no scrape misses",
}


def _read(board: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(board.read_text())
    return found


def test_the_files_are_what_the_code_makes() -> None:
    assert stale() == []
    assert [path.stem for path in promql.BOARDS] == sorted(BOARDS)


def test_a_changed_and_a_missing_file_are_found(tmp_path: Path) -> None:
    write(tmp_path)
    assert stale(tmp_path) == []
    (tmp_path / "learning.json").unlink()
    changed = tmp_path / "pipeline.json"
    changed.write_text(changed.read_text().replace("Busy actors", "Busy bees"))
    assert stale(tmp_path) == [tmp_path / "learning.json", changed]


@pytest.mark.parametrize("board", promql.BOARDS, ids=lambda board: board.stem)
def test_grafanas_own_types_read_it_and_write_it_the_same(board: Path) -> None:
    register_default_plugins()
    again = json.loads(json.dumps(Dashboard.from_json(_read(board)), cls=JSONEncoder))
    for part in [*again["links"], *again["annotations"]["list"]]:
        assert part.pop("placement") == "inControlsMenu", "which the types fill in, and the boards leave out"
    assert again == _read(board)


def test_boards_and_panels_can_be_told_apart() -> None:
    boards = [_read(board) for board in promql.BOARDS]
    assert sorted(board["uid"] for board in boards) == ["rltf-executors", "rltf-learning", "rltf-pipeline"]
    for board in boards:
        ids = [panel["id"] for panel in board["panels"]]
        assert ids == list(range(1, len(ids) + 1))
        assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "run", "window", "setting"]
        assert [link["tags"] for link in board["links"]] == [["rltf"]]
        assert board["tags"] == ["rltf"]


@pytest.mark.parametrize("board", promql.BOARDS, ids=lambda board: board.stem)
def test_panels_fill_the_grid_without_a_gap(board: Path) -> None:
    places = [panel["gridPos"] for panel in [*panels(board), *rows(board)]]
    cells = [
        cell
        for at in places
        for cell in product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"]))
    ]  # fmt: skip
    bottom = max(at["y"] + at["h"] for at in places)
    assert sorted(cells) == sorted(product(range(24), range(bottom)))


@pytest.mark.parametrize("board", promql.BOARDS, ids=lambda board: board.stem)
def test_every_panel_says_what_it_shows(board: Path) -> None:
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)
    for panel in panels(board):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "$datasource"
        assert [target["refId"] for target in panel["targets"]] == [chr(ord("A") + n) for n in range(len(panel["targets"]))]


@pytest.mark.parametrize("board", promql.BOARDS, ids=lambda board: board.stem)
def test_axes_of_shares_begin_at_0_and_end_at_1_unless_they_give_way(board: Path) -> None:
    tops = {}
    for panel in panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        if defaults["unit"] == "percentunit" and panel["type"] == "timeseries":
            assert defaults["min"] == 0, panel["title"]
            tops[panel["title"]] = "max" not in defaults and defaults["custom"]["axisSoftMax"]
    assert {title: soft for title, soft in tops.items() if soft} == {
        "learning": {"Penalised tokens": 0.2},
        "pipeline": {"Busy actors": 1},
        "executors": {"Sandbox errors over time": 0.05, "Busy, and spared": 1},
    }[board.stem]


def test_an_outcome_has_the_colour_that_it_has_in_the_report() -> None:
    outcomes = next(panel for panel in panels(promql.BOARDS[1]) if panel["title"] == "Outcomes: $run")
    shown = [target["legendFormat"] for target in outcomes["targets"]]
    assert shown == ["pass", "failure", "runtime_error", "syntax_error"]
    assert [colour(outcomes, name) for name in shown] == [COLOURS[Outcome(name)] for name in shown]


def test_a_name_has_one_colour_on_all_boards() -> None:
    colours: dict[str, set[str]] = {}
    for board in promql.BOARDS:
        for panel in panels(board):
            for override in panel["fieldConfig"]["overrides"]:
                for found in override["properties"]:
                    if found["id"] == "color":
                        colours.setdefault(override["matcher"]["options"], set()).add(found["value"]["fixedColor"])
    assert {"/learning$/", "/final$/", "/wrong$/"} < set(colours)
    assert {name: found for name, found in colours.items() if len(found) > 1} == {}


@pytest.mark.parametrize(("where", "expr"), promql.in_boards() + promql.in_rules())
def test_expressions_ask_for_declared_series_by_labels_that_they_have(where: str, expr: str) -> None:
    assert "$" not in expr, where
    assert promql.faults(expr) == []


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("rltf_steps", ["no rltf_steps"]),
        ('sum by (run) (rltf_loss{kind="rl"})', ["rltf_loss has no kind"]),
        ("sum by (outcome) (rltf_loss)", ["nothing has outcome"]),
        ("rltf_step / on (actor) rltf_step", ["nothing has actor"]),
        (
            "run_split:rltf_programs_passed:ratio_rate5m{outcome='pass'}",
            ["run_split:rltf_programs_passed:ratio_rate5m has no outcome"],
        ),
    ],
)
def test_what_is_not_declared_is_found(expr: str, said: list[str]) -> None:
    assert promql.faults(expr) == said


def test_every_declared_metric_is_on_a_board_but_for_a_few() -> None:
    asked = {selector.name for _, expr in promql.in_boards() for selector in promql.selectors(expr)}
    names = {metric: m.PREFIX + metric.name + ("_bucket" if metric.kind == "histogram" else "") for metric in m.ALL}
    assert {metric for metric, name in names.items() if name not in asked} == set(NOT_SHOWN)


@pytest.mark.parametrize(
    ("highest", "soft", "end"), [(0.4, 1, 1), (1, 1, 1), (1.5, 1, 1.62), (0.5, None, 0.54), (0, None, 1), (0, 0.05, 0.05)]
)
def test_a_soft_end_of_an_axis_gives_way(highest: float, soft: float | None, end: float) -> None:
    assert axis_end(highest, soft) == pytest.approx(end)


def test_names_of_bars_lie_within_the_picture() -> None:
    panel = next(panel for panel in panels(promql.BOARDS[1]) if panel["title"] == "pass@1 by difficulty")
    name = "ablation-seed1-3f2a91bc · introductory · control"
    figure = Figure(figsize=(6, 3))
    axes = figure.add_axes((0.02, 0.1, 0.96, 0.8))
    draw(axes, panel, [(name, Series({}, [0.0], [0.5]))], [], 0.0, 60.0)
    FigureCanvasAgg(figure).draw()
    (label,) = axes.get_yticklabels()
    assert (label.get_text(), label.get_window_extent().x0 > 0) == (name, True)


def test_shares_are_over_five_minutes_unless_told_otherwise() -> None:
    for board in promql.BOARDS:
        (window,) = (one for one in _read(board)["templating"]["list"] if one["name"] == "window")
        assert (window["current"]["value"], window["query"]) == ("5m", "30s,1m,5m,15m,1h,6h")
        assert [option["value"] for option in window["options"] if option["selected"]] == ["5m"]


@pytest.mark.parametrize("board", promql.BOARDS, ids=lambda board: board.stem)
def test_a_run_can_be_chosen_as_soon_as_it_tells_anything(board: Path, tmp_path: Path) -> None:
    posted: list[Mapping[str, Value]] = []
    Pulse(posted.append, tmp_path).beat(dict)
    (run,) = (variable for variable in _read(board)["templating"]["list"] if variable["name"] == "run")
    assert run["query"]["query"] == run["definition"]
    assert run["definition"] in [f"label_values({m.PREFIX}{name}, run)" for name in posted[0]]


def test_isolation_is_told_from_the_strongest_to_the_weakest() -> None:
    (isolation,) = (panel for board in promql.BOARDS for panel in panels(board) if panel["title"] == "Isolation")
    told = [isolation["description"].index(DESCRIPTIONS[tier]) for tier in Tier]
    assert told == sorted(told, reverse=True)
    assert [tier.name for tier in Tier] == ["WEAK", "SEALED", "BASELINE", "NAMESPACES"]


def test_variables_are_filled_in() -> None:
    filling = Filling(run="a", seconds=61.2, setting="greedy", window="5m")
    assert filling.into('x{run=~"$run", setting="$setting"}[$window] y[$__range]') == 'x{run=~"a", setting="greedy"}[5m] y[62s]'


def test_provisioning_names_what_the_boards_are_made_for() -> None:
    folder = promql.ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards" / "rltf.yml").read_text())["providers"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "$PROMETHEUS_URL", True)
    assert (provider["type"], provider["options"]) == ("file", {"path": "$RLTF_DASHBOARDS"})


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.669, "percentunit", "66.9 %"),
        (0.0123, "s", "12.3 ms"),
        (75.0, "s", "75.00 s"),
        (3 * 1024**3, "bytes", "3 GiB"),
        (2048.0, "Bps", "2 KiB/s"),
        (8.0, "suffix: steps", "8 steps"),
        (123_456.0, "short", "123 K"),
        (float("nan"), "short", "–"),
    ],
)
def test_pictures_say_values_as_grafana_does(value: float, unit: str, text: str) -> None:
    assert said(value, unit) == text
