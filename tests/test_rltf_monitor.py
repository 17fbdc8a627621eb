"""Metrics: what is in metrics.jsonl, what Prometheus reads, and what a resumed run keeps."""

import json
import socket
import threading
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts import metrics
from contracts.errors import UserError
from contracts.objective import ObjectiveConfig
from contracts.sections import MonitorConfig
from learner.step_metrics import global_metrics, local_sums
from rltf.monitor import Monitor, read_metrics
from tests.factories import labelled


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _scrape(port: int) -> dict[tuple[str, str], float]:
    """(sample name, label value) → value, as Prometheus' own parser reads it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {(sample.name, "".join(sample.labels.values())): sample.value for family in families for sample in family.samples}


def test_rows_hold_what_was_recorded(tmp_path: Path) -> None:
    with Monitor(tmp_path, MonitorConfig()) as monitor:
        monitor.record("warmup", {"step": 1, "loss": {"sl": 2.5}})
        assert len(read_metrics(tmp_path)) == 1, "a row is on disk when record() returns"
        monitor.record("online", {"step": 1, "samples_labelled_total": {"pass": 3, "failure": 5}})
    first, second = read_metrics(tmp_path)
    assert (first["stage"], first["step"], first["loss"]) == ("warmup", 1, {"sl": 2.5})
    assert second["samples_labelled_total"] == {"pass": 3, "failure": 5}
    assert first["time"] <= second["time"]


def test_numbers_that_are_none_stay_json(tmp_path: Path) -> None:
    with Monitor(tmp_path, MonitorConfig()) as monitor:
        monitor.record("online", {"gradient_norm": float("nan")})
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["gradient_norm"] is None


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"step": 1, "pass_rate": 0.5}, KeyError),
        ({"loss": 0.5}, TypeError),
        ({"step": {"pass": 1.0}}, TypeError),
    ],
)
def test_undeclared_metrics_are_refused_and_leave_no_row(tmp_path: Path, values: dict, error: type[Exception]) -> None:
    with Monitor(tmp_path, MonitorConfig()) as monitor, pytest.raises(error):
        monitor.record("online", values)
    assert read_metrics(tmp_path) == []


def test_prometheus_reads_gauges_and_counters(tmp_path: Path) -> None:
    port = _free_port()
    with Monitor(tmp_path, MonitorConfig(prometheus_port=port)) as monitor:
        assert _scrape(port) == {}, "nothing is served that was not measured"
        monitor.record("online", {"step": 1, "samples_trained_total": 128, "samples_labelled_total": {"pass": 40}})
        monitor.record("online", {"step": 2, "samples_trained_total": 256, "samples_labelled_total": {"failure": 9}})
        assert _scrape(port) == {
            ("rltf_step", ""): 2,
            ("rltf_samples_trained_total", ""): 256,
            ("rltf_samples_labelled_total", "pass"): 40,
            ("rltf_samples_labelled_total", "failure"): 9,
        }


def test_every_declared_metric_can_be_scraped(tmp_path: Path) -> None:
    port = _free_port()
    with Monitor(tmp_path, MonitorConfig(prometheus_port=port)) as monitor:
        monitor.record("online", {metric.name: {"a": 1.5} if metric.label else 1.5 for metric in metrics.ALL})
        assert set(_scrape(port)) == {("rltf_" + metric.name, "a" if metric.label else "") for metric in metrics.ALL}


TRAINING_SIGNALS = {
    "advantage_mean": -0.1,
    "advantage_size": 0.4,
    "policy_entropy": 1.2,
    "kl_behaviour": 0.01,
    "kl_reference": 0.2,
    "importance_ratio_mean": 1.01,
    "importance_ratio_max": 3.5,
    "clipped_tokens_ratio": 0.05,
    "effective_samples_ratio": 0.9,
    "zero_variance_groups_ratio": 0.5,
    "static_tokens_ratio": 0.02,
}


def test_training_signals_are_served_as_gauges_that_may_fall(tmp_path: Path) -> None:
    port = _free_port()
    with Monitor(tmp_path, MonitorConfig(prometheus_port=port)) as monitor:
        monitor.record("online", {name: value + 1 for name, value in TRAINING_SIGNALS.items()})
        monitor.record("online", {**TRAINING_SIGNALS, "loss": {"sl": 0.5, "static": -0.25, "kl": 0.125, "total": 0.375}})
        served = _scrape(port)
    losses = {("rltf_loss", "sl"): 0.5, ("rltf_loss", "static"): -0.25, ("rltf_loss", "kl"): 0.125, ("rltf_loss", "total"): 0.375}
    assert served == {("rltf_" + name, ""): value for name, value in TRAINING_SIGNALS.items()} | losses


def test_what_the_learner_measures_is_served(tmp_path: Path) -> None:
    config = ObjectiveConfig(kind="grpo", static=1.0, kl=0.1)
    figures = dict.fromkeys(("scored", "ratio", "ratio_squared", "ratio_max", "kl_reference", "kl_behaviour"), 1.0)
    sums = local_sums([labelled("g")], figures, step=0, rank=0, ranks=1, config=config)
    measured = global_metrics(sums, ranks=1)
    assert set(TRAINING_SIGNALS) <= set(measured)
    port = _free_port()
    with Monitor(tmp_path, MonitorConfig(prometheus_port=port)) as monitor:
        monitor.record("online", measured)
        served = _scrape(port)
    assert {name.removeprefix("rltf_") for name, _ in served} == set(measured)
    assert {term for name, term in served if name == "rltf_loss"} == {"sl", "coarse", "fine", "adaptive", "static", "kl", "total"}


def test_counters_never_fall_but_gauges_may(tmp_path: Path) -> None:
    port = _free_port()
    seen = []
    with Monitor(tmp_path, MonitorConfig(prometheus_port=port)) as monitor:
        for total in (100, 300, 200, 310):  # a restart from a checkpoint goes back to 200
            monitor.record("online", {"step": total, "errors_total": {"NameError": total}})
            scraped = _scrape(port)
            seen.append((scraped["rltf_step", ""], scraped["rltf_errors_total", "NameError"]))
    assert seen == [(100, 100), (300, 300), (200, 300), (310, 310)]
    assert [row["errors_total"]["NameError"] for row in read_metrics(tmp_path)] == [100, 300, 200, 310]


def test_close_frees_the_port_and_ends_the_thread(tmp_path: Path) -> None:
    port = _free_port()
    before = threading.active_count()
    for _ in range(2):
        monitor = Monitor(tmp_path, MonitorConfig(prometheus_port=port))
        assert _scrape(port) == {}
        monitor.close()
        monitor.close()
    assert threading.active_count() == before


def test_port_in_use_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=f"monitor.prometheus_port={port}: cannot listen on 127.0.0.1:{port}") as caught:
            Monitor(folder, MonitorConfig(prometheus_port=port))
    assert "free port" in caught.value.remedy
    assert not folder.exists()


def test_resume_drops_a_stages_rows_after_the_step_and_the_torn_line(tmp_path: Path) -> None:
    with Monitor(tmp_path, MonitorConfig()) as monitor:
        monitor.record("warmup", {"step": 900})
        monitor.record("control", {"step": 1})
        for step in range(1, 6):
            monitor.record("online", {"step": step})
        monitor.record("evaluation", {"eval_pass_at_1_ratio": {"start": 0.3}})
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'{"time": 1, "stage": "onl')
    assert len(read_metrics(tmp_path)) == 8
    with Monitor(tmp_path, MonitorConfig(), kept={"online": 3, "control": 0}) as monitor:
        monitor.record("online", {"step": 4})
    rows = [(row["stage"], row.get("step")) for row in read_metrics(tmp_path)]
    assert rows == [("warmup", 900), ("online", 1), ("online", 2), ("online", 3), ("evaluation", None), ("online", 4)]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_no_file_is_no_rows(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
