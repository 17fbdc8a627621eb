"""Prometheus itself: its tools on the rules and alerts, and a real one that scrapes a real run."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from contracts.errors import RunError, UserError
from contracts.network import free_port
from deploy import tools
from deploy.grafana.picture import COLUMN, COLUMNS, LINE, picture
from deploy.grafana.queries import CHOSEN, silence, silence_allowed
from deploy.grafana.reading import Filling, expressions, panels
from deploy.prometheus.client import Client
from deploy.prometheus.server import configuration, prometheus
from tests import promql
from tests.scraping import scrape
from tests.small_run import ROOT, command

RULE_TESTS = ROOT / "deploy" / "prometheus" / "tests"
RUN = ("objective.kl=0.05", "warmup.steps=60", "problems.primer.train=200", "steps=12")
"""Long enough to be seen twice, with a reference to be compared with, and a start that writes programs which run."""
NOT_IN_THAT_RUN = {("Alerts", "ALERTS"): "none fires"}
TOO_SHORT_FOR = {rule["record"] for rule in promql.FOR_ALERTS}
"""What alerts go by needs a quarter of an hour at least."""


def program(name: str) -> Path:
    """Prometheus or promtool; where there is none, the test is skipped, and in CI it fails."""
    found = tools.find(name)
    if found is None and "CI" in os.environ:
        pytest.fail(f"no {name}: .ci/run gets it by `make tools`")
    if found is None:
        pytest.skip(f"needs {name}: `make tools` gets it, without root")
    return found


def promtool(*arguments: str | Path, cwd: Path, given: str | None = None) -> str:
    """What promtool says; it must have no objection."""
    done = subprocess.run([program("promtool"), *arguments], cwd=cwd, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_configuration_and_rules_are_valid(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration(tmp_path, "1s")))
    promtool("check", "config", "prometheus.yml", cwd=promql.PROMETHEUS)
    promtool("check", "config", "prometheus.yml", cwd=tmp_path)
    said = promtool("check", "rules", "rules.yml", "alerts.yml", cwd=promql.PROMETHEUS)
    assert f"{len(promql.RULES) - len(promql.FOR_ALERTS)} rules found" in said
    assert f"{len(promql.ALERTS) + len(promql.FOR_ALERTS)} rules found" in said


@pytest.mark.parametrize("name", sorted(path.name for path in RULE_TESTS.glob("*.yml")))
def test_rules_and_alerts_do_what_they_should(name: str) -> None:
    assert "SUCCESS" in promtool("test", "rules", name, cwd=RULE_TESTS)


def _tests(name: str) -> list[dict[str, list[dict[str, object]]]]:
    found: list[dict[str, list[dict[str, object]]]] = yaml.safe_load((RULE_TESTS / name).read_text())["tests"]
    return found


def test_every_alert_fires_in_a_test_and_is_silent_in_a_healthy_run() -> None:
    names = {rule["alert"] for rule in promql.ALERTS}
    fired = {check["alertname"] for test in _tests("alerts.yml") for check in test["alert_rule_test"] if check["exp_alerts"]}
    assert fired == names
    recorded = {rule["record"]: rule["expr"] for rule in promql.RULES}
    asked = {selector.name for rule in promql.ALERTS for selector in promql.selectors(rule["expr"])}
    asked |= {selector.name for name in asked & set(recorded) for selector in promql.selectors(recorded[name])}
    for healthy in _tests("healthy.yml"):
        (silence,) = healthy["promql_expr_test"]
        assert silence["expr"] == f'last_over_time(ALERTS{{alertstate="firing"}}[{silence["eval_time"]}])'
        assert silence["exp_samples"] == []
        given = {re.split(r"[{\s]", str(series["series"]))[0] for series in healthy["input_series"]}
        assert asked - set(recorded) == given, "silence without series says nothing"


def test_every_recording_rule_has_a_test() -> None:
    asked = [str(check["expr"]) for test in _tests("rules.yml") for check in test["promql_expr_test"]]
    tested = {selector.name for expr in asked for selector in promql.selectors(expr)}
    made_of_others = {"run_split_outcome:rltf_programs:rate5m"}
    assert tested == {rule["record"] for rule in promql.RULES} - made_of_others


def test_the_board_calls_that_silence_long_of_which_an_alert_is_raised() -> None:
    (alert,) = (rule["expr"] for rule in promql.ALERTS if rule["alert"] == "RltfNoProgress")
    shown = f"{silence()} > on (run) ({silence_allowed()})".replace(f"{CHOSEN}, ", "").replace(f"{{{CHOSEN}}}", "")
    assert promql.in_one_form(alert) == promql.in_one_form(shown)


def test_a_pod_is_not_a_run_that_has_gone_when_nothing_runs_in_it() -> None:
    (alert,) = (rule["expr"] for rule in promql.ALERTS if rule["alert"] == "RltfEndpointGone")
    (job,) = (matcher.value for matcher in promql.selectors(alert)[0].matchers.matchers)
    (scraped,) = (config["job_name"] for config in configuration(ROOT)["scrape_configs"])
    monitor = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "monitoring" / "podmonitor.yaml").read_text())
    (pods,) = (endpoint for endpoint in monitor["spec"]["podMetricsEndpoints"] if endpoint["port"] == "rltf")
    assert job == scraped == "rltf"
    assert pods["relabelings"] == [{"targetLabel": "job", "replacement": "rltf-pod"}]


def test_alerts_say_how_bad_what_and_where_to_read_on() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "boards.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in promql.ALERTS]
    for rule in promql.ALERTS:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/boards.md#{rule['alert'].lower()}"


class Seen(NamedTuple):
    """A real run as a real Prometheus has seen it."""

    client: Client
    run: str
    """What its label says: its name and a word of its own."""
    start: float
    end: float
    exposition: str
    """The endpoint's own answer while the last evaluation went on."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A small run scraped each second, to its end."""
    folder = tmp_path_factory.mktemp("seen")
    listen = f"127.0.0.1:{free_port('127.0.0.1')}"
    with prometheus(program("prometheus"), folder, folder / ".dashboards", listen, interval="1s") as client:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command(folder, *RUN), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said, exposition, run = [], "", ""
            for line in process.stdout:
                said.append(line)
                if line.startswith("evaluate final: started"):
                    (file,) = (folder / ".prometheus").glob("small-*.json")
                    ((target,),) = (group["targets"] for group in json.loads(file.read_text()))
                    exposition, run = scrape(target), file.stem
        assert process.returncode == 0, "".join(said)
        yield Seen(client, run, *client.span(run), exposition)


@pytest.mark.slow
def test_every_panel_shows_that_run(seen: Seen) -> None:
    filling = Filling(seen.run, seen.end - seen.start)
    empty = set()
    for board in promql.BOARDS:
        for where, expr in expressions(board):
            if not seen.client.range(filling.into(expr), seen.start, seen.end, 1):
                empty |= {(where, selector.name) for selector in promql.selectors(filling.into(expr))}
    assert empty == set(NOT_IN_THAT_RUN)


@pytest.mark.slow
def test_every_recording_rule_records_that_run(seen: Seen) -> None:
    recorded = {rule["record"] for rule in promql.RULES}
    assert {name for name in recorded if not seen.client.range(name, seen.start, seen.end, 1)} == TOO_SHORT_FOR


@pytest.mark.slow
def test_every_series_that_an_alert_asks_for_is_there(seen: Seen) -> None:
    asked = {promql.series_of(selector) for rule in promql.ALERTS for selector in promql.selectors(rule["expr"])}
    missing = {series for series in asked if not seen.client.range(series, seen.start, seen.end, 1)}
    assert missing == TOO_SHORT_FOR


@pytest.mark.slow
def test_rules_are_evaluated_without_an_error_and_no_alert_fires(seen: Seen) -> None:
    rules = [rule for group in seen.client.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(promql.RULES) + len(promql.ALERTS)
    assert {rule["health"] for rule in rules} == {"ok"}
    assert seen.client.range('ALERTS{alertstate="firing"}', seen.start, seen.end, 1) == []


@pytest.mark.slow
def test_promtool_has_nothing_to_say_about_what_the_run_serves(seen: Seen) -> None:
    assert seen.exposition.count("# HELP rltf_") > 50
    assert promtool("check", "metrics", cwd=ROOT, given=seen.exposition) == ""


@pytest.mark.slow
def test_the_target_is_named_after_the_run(seen: Seen) -> None:
    up = seen.client.range("up", seen.start, seen.end, 1)
    assert [(series.labels["job"], series.labels["run"]) for series in up] == [("rltf", seen.run)]
    assert seen.client.runs() == [seen.run]


@pytest.mark.slow
@pytest.mark.parametrize("board", promql.BOARDS, ids=lambda board: board.stem)
def test_pictures_are_drawn_on_the_boards_grid(seen: Seen, board: Path, tmp_path: Path) -> None:
    out = tmp_path / "images" / "board.png"
    picture(board, seen.client, seen.run, out, setting="T=1.0", window="30s", last=30)
    width, height = struct.unpack(">II", out.read_bytes()[16:24])
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels(board))
    assert (width, height) == (round(100 * COLUMN * COLUMNS), int(100 * LINE * lines + 1e-6))


@pytest.mark.slow
def test_a_run_that_was_not_seen_and_a_refused_expression_are_said(seen: Seen) -> None:
    with pytest.raises(UserError) as unknown:
        seen.client.span("big")
    assert str(unknown.value) == f"Prometheus at {seen.client.url} has no run 'big'. It has {seen.run}"
    with pytest.raises(RunError, match=r"^Prometheus refused .*parse error: .*See http"):
        seen.client.range("sum by (run) (", seen.start, seen.end, 1)


def test_no_prometheus_is_said() -> None:
    with pytest.raises(RunError, match=r"^no Prometheus at http://127\.0\.0\.1:1: .*\. Bring it up: `make dashboards`$"):
        Client("http://127.0.0.1:1").runs()


def test_a_picture_without_prometheus_is_refused_in_a_line(tmp_path: Path) -> None:
    arguments = ["learning", "--prometheus", "http://127.0.0.1:1", "--run", "none", "--out", str(tmp_path / "none.png")]
    call = [sys.executable, "-m", "deploy.grafana.picture", *arguments]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"error: no Prometheus at http://127\.0\.0\.1:1: .*\. Bring it up: `make dashboards`\n", done.stderr)


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError) as refused, prometheus(tmp_path / "none", tmp_path, tmp_path, listen):
            raise AssertionError("there cannot be two")
    remedy = "Choose a free port: --prometheus-port"
    assert str(refused.value) == f"Prometheus cannot listen on {listen} (Address already in use). {remedy}"


def test_a_prometheus_that_ends_at_once_is_said(tmp_path: Path) -> None:
    (tmp_path / "series").touch()
    listen = f"127.0.0.1:{free_port('127.0.0.1')}"
    with (
        pytest.raises(RunError, match=rf"^Prometheus ended at once, with exit code 2\. See {tmp_path}/prometheus.log$"),
        prometheus(program("prometheus"), tmp_path, tmp_path, listen),
    ):
        raise AssertionError("it cannot have started")
