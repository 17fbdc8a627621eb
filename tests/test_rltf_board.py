"""What Prometheus is served: gauges, counters, histograms, their labels, and how many series there can be."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families

from contracts import metrics as m
from contracts.histograms import bounds, counted
from contracts.metrics import ALL, Value, labelled
from rltf.board import MOST_VALUES, Board, Values, check, help_text
from tests.scraping import Series, series


def _board(*posts: Values) -> Board:
    board = Board("mine")
    for values in posts:
        check(values)
        board.post(values)
    return board


def _registry(board: Board) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(board)
    return registry


def _served(*posts: Values) -> Series:
    return series(generate_latest(_registry(_board(*posts))).decode(), "mine")


def _any_value(metric: m.Metric) -> Value:
    if metric.kind == "histogram":
        return counted(metric, [metric.buckets[0]])
    return {labelled(*(f"{label} 1" for label in metric.labels)): 1.5} if metric.labels else 1.5


# -- forms


def test_nothing_is_served_that_was_not_posted() -> None:
    assert _served() == {}


def test_gauges_and_counters() -> None:
    first: Values = {"step": 1, "samples_trained_total": 128, "samples_evicted_total": {"too_old": 40}}
    second: Values = {"step": 2, "samples_trained_total": 256, "samples_evicted_total": {"displaced": 9}}
    assert _served(first, second) == {
        ("rltf_step",): 2,
        ("rltf_samples_trained_total",): 256,
        ("rltf_samples_evicted_total", "too_old"): 40,
        ("rltf_samples_evicted_total", "displaced"): 9,
    }


def test_counters_never_fall_but_gauges_may() -> None:
    board, seen = Board("mine"), []
    for total in (100, 300, 200, 310):
        board.post({"step": total, "errors_total": {"NameError": total}, "lag_steps": {"1.0": total, "sum": total}})
        now = series(generate_latest(_registry(board)).decode(), "mine")
        seen.append((now["rltf_step",], now["rltf_errors_total", "NameError"], now["rltf_lag_steps_count",]))
    assert seen == [(100, 100, 100), (300, 300, 300), (200, 300, 300), (310, 310, 310)]


def test_several_labels_each_have_a_name() -> None:
    board = _board({m.PROGRAMS.name: {labelled("train", "easy", "pass"): 7, labelled("heldout", "hard", "failure"): 2}})
    (family,) = text_string_to_metric_families(generate_latest(_registry(board)).decode())
    (life,) = {sample.labels.pop("life") for sample in family.samples}
    assert re.fullmatch("[0-9a-f]{8}", life)
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        ({"run": "mine", "split": "train", "difficulty": "easy", "outcome": "pass"}, 7),
        ({"run": "mine", "split": "heldout", "difficulty": "hard", "outcome": "failure"}, 2),
    ]


def test_label_values_are_any_text() -> None:
    odd = 'a "quoted" \\ value\nof two lines'
    assert _served({m.EVAL_GAP.name: {odd: 0.25}}) == {("rltf_eval_visible_hidden_gap_ratio", odd): 0.25}


def test_a_histogram_is_cumulative() -> None:
    served = _served({m.LAG.name: counted(m.LAG, [0, 0, 1, 3, 4, 5000])})
    buckets = {key[1]: value for key, value in served.items() if key[0] == "rltf_lag_steps_bucket"}
    assert list(buckets) == list(bounds(m.LAG))
    assert [buckets[bound] for bound in ("0.0", "1.0", "2.0", "4.0", "1024.0", "+Inf")] == [2, 3, 3, 5, 5, 6]
    assert served["rltf_lag_steps_count",] == 6
    assert served["rltf_lag_steps_sum",] == 5008


def test_a_histogram_without_values_has_empty_buckets() -> None:
    served = _served({m.EXECUTION.name: counted(m.EXECUTION, [])})
    assert len(served) == len(m.EXECUTION.buckets) + 3
    assert set(served.values()) == {0.0}


def test_every_declared_metric_is_served() -> None:
    names = {key[0] for key in _served({metric.name: _any_value(metric) for metric in ALL})}
    histograms = {metric.name for metric in ALL if metric.kind == "histogram"}
    plain = {"rltf_" + metric.name for metric in ALL if metric.name not in histograms}
    assert names == plain | {f"rltf_{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}


def test_prometheus_own_format_is_served_too() -> None:
    """OpenMetrics is what Prometheus asks for first; its parser is strict about counters and buckets."""
    registry = _registry(_board({metric.name: _any_value(metric) for metric in ALL}))
    families = list(parse_open_metrics(open_metrics(registry).decode()))
    assert [family.type for family in families] == [metric.kind for metric in ALL]


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (m.LOSS, "Loss by term, each as it enters the total (nats)"),
        (m.SYNC_BYTES, m.SYNC_BYTES.help),
        (m.PASS_RATE, m.PASS_RATE.help),
        (m.STEP_SECONDS, m.STEP_SECONDS.help),
    ],
)
def test_help_names_the_unit_where_the_name_does_not(metric: m.Metric, text: str) -> None:
    assert help_text(metric) == text


# -- what is refused


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"pass_rate": 0.5}, KeyError),
        ({"loss": 0.5}, TypeError),
        ({"step": {"pass": 1.0}}, TypeError),
        ({"step": {}}, TypeError),
        ({"programs_total": {"train|easy": 1}}, TypeError),
        ({"errors_total": {"a|b": 1}}, TypeError),
        ({"lag_steps": 3}, TypeError),
        ({"lag_steps": {"1": 3}}, TypeError),
    ],
)
def test_what_is_not_declared_so(values: Values, error: type[Exception]) -> None:
    with pytest.raises(error):
        check(values)


# -- how many series


def test_names_that_programs_make_up_are_one_kind_of_error() -> None:
    kinds = {"NameError": 3, "timeout": 2, "syntax_error": 1, "Foo": 5, "Bar": 4, "ValueErr": 1}
    served = _served({m.ERRORS.name: kinds}, {m.ERRORS.name: {**kinds, "Baz": 6}})
    assert served == {
        ("rltf_errors_total", "NameError"): 3,
        ("rltf_errors_total", "timeout"): 2,
        ("rltf_errors_total", "syntax_error"): 1,
        ("rltf_errors_total", "other"): 16,
    }


def test_the_first_difficulties_are_shown_the_others_counted_together() -> None:
    names = [f"level {i}" for i in range(MOST_VALUES + 3)]
    programs = {labelled("train", name, "pass"): 10 for name in names}
    passes = {labelled("start", name): 0.5 for name in names}
    served = _served({m.PROGRAMS.name: programs}, {m.PROGRAMS.name: programs, m.EVAL_DIFFICULTY.name: passes})
    counted_by_name = {key[1]: value for key, value in served.items() if key[0] == "rltf_programs_total"}
    assert counted_by_name == dict.fromkeys(names[:MOST_VALUES], 10) | {"other": 30}
    shown = [key[1] for key in served if key[0] == "rltf_eval_pass_at_1_by_difficulty_ratio"]
    assert shown == names[:MOST_VALUES], "shares have no sum: those of the others are left out"
