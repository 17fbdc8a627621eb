"""What PromQL expressions ask for, and whether there is such a thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

from contracts.metrics import ALL, LIFE_LABEL, PREFIX, RUN_LABEL
from deploy.grafana.reading import Filling, expressions

ROOT = Path(__file__).resolve().parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
BOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
FILLING = Filling(run="small", seconds=60)


def _rules(file: str) -> list[Any]:
    return [rule for group in yaml.safe_load((PROMETHEUS / file).read_text())["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in _rules("alerts.yml") if "alert" in rule]
FOR_ALERTS = [rule for rule in _rules("alerts.yml") if "record" in rule]
"""What some alerts go by."""
RULES = [*_rules("rules.yml"), *FOR_ALERTS]


def _declared() -> Iterator[tuple[str, set[str]]]:
    """Name of a series → its labels: of metrics, of recording rules, and the two that Prometheus makes."""
    for metric in ALL:
        labels = {RUN_LABEL, LIFE_LABEL, *metric.labels}
        if metric.kind == "histogram":
            yield f"{PREFIX}{metric.name}_bucket", {*labels, "le"}
            yield f"{PREFIX}{metric.name}_sum", labels
            yield f"{PREFIX}{metric.name}_count", labels
        else:
            yield PREFIX + metric.name, labels
    for rule in RULES:
        yield rule["record"], set(rule["record"].split(":")[0].split("_"))
    yield "up", {"job", "instance", RUN_LABEL}
    yield "ALERTS", {"alertname", "alertstate", "severity", RUN_LABEL}


DECLARED: Mapping[str, set[str]] = dict(_declared())


def in_boards() -> list[tuple[str, str]]:
    """(where, expression) of every panel and mark."""
    return [(f"{board.stem}: {where}", FILLING.into(expr)) for board in BOARDS for where, expr in expressions(board)]


def in_rules() -> list[tuple[str, str]]:
    """(where, expression) of every recording rule and alert."""
    return [(rule.get("record") or rule["alert"], rule["expr"]) for rule in [*RULES, *ALERTS]]


def selectors(expr: str) -> list[Any]:
    """The expression's selectors of series. Raises ValueError where it is no PromQL."""
    return [node for node in _nodes(expr) if isinstance(node, promql.VectorSelector)]


def in_one_form(expr: str) -> str:
    """The expression, however it was broken into lines."""
    return str(promql.parse(expr).prettify())


def series_of(selector: Any) -> str:
    """A selector as an expression of its own, without its offset."""
    return str(selector.prettify()).split(" offset ")[0]


def faults(expr: str) -> list[str]:
    """Series that are not declared, and labels that the declared ones do not have."""
    chosen = selectors(expr)
    found = [f"no {selector.name}" for selector in chosen if selector.name not in DECLARED]
    for selector in chosen:
        names = {matcher.name for matcher in selector.matchers.matchers}
        found += [f"{selector.name} has no {name}" for name in sorted(names - DECLARED.get(selector.name, names))]
    known = set().union(*(DECLARED.get(selector.name, set()) for selector in chosen))
    return found + [f"nothing has {name}" for name in sorted(_grouped_by(expr) - known)]


def _grouped_by(expr: str) -> set[str]:
    found: set[str] = set()
    for node in _nodes(expr):
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            found |= set(node.modifier.labels)
        if isinstance(node, promql.BinaryExpr) and node.modifier and node.modifier.matching:
            found |= set(node.modifier.matching.labels)
    return found


def _nodes(expr: str) -> list[Any]:
    found: list[Any] = []

    def visit(node: Any) -> bool:
        found.append(node)
        return True

    promql.walk(promql.parse(expr), visit)
    return found
