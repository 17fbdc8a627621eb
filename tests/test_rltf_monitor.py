"""Metrics: what is in metrics.jsonl, what is served beside it, and what a resumed run keeps."""

import json
import re
import threading
from pathlib import Path

import pytest

from contracts.errors import UserError
from contracts.objective import ObjectiveConfig
from contracts.sections import MonitorConfig
from learner.step_metrics import global_metrics, local_sums
from rltf.board import Values
from rltf.monitor import Monitor, read_metrics
from rltf.scrapes import Scrapes
from tests.factories import labelled
from tests.scraping import Series, scrape, series

NOT_SERVED = MonitorConfig(prometheus_port=0)


def _served(monitor: Monitor) -> Series:
    assert monitor.address is not None
    return series(scrape(monitor.address), "mine")


# -- rows


def test_rows_hold_what_was_recorded(tmp_path: Path) -> None:
    with Monitor("mine", tmp_path, NOT_SERVED) as monitor:
        monitor.record("warmup", {"step": 1, "loss": {"sl": 2.5}})
        assert len(read_metrics(tmp_path)) == 1, "a row is on disk when record() returns"
        monitor.record("online", {"step": 1, "errors_total": {"NameError": 3, "Foo": 5}})
    first, second = read_metrics(tmp_path)
    assert (first["stage"], first["step"], first["loss"]) == ("warmup", 1, {"sl": 2.5})
    assert second["errors_total"] == {"NameError": 3, "Foo": 5}
    assert first["time"] <= second["time"]


def test_numbers_that_are_none_stay_json(tmp_path: Path) -> None:
    with Monitor("mine", tmp_path, NOT_SERVED) as monitor:
        monitor.record("online", {"gradient_norm": float("nan")})
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["gradient_norm"] is None


@pytest.mark.parametrize(("values", "error"), [({"step": 1, "pass_rate": 0.5}, KeyError), ({"step": 1, "loss": 0.5}, TypeError)])
def test_undeclared_metrics_are_refused_and_leave_no_trace(tmp_path: Path, values: Values, error: type[Exception]) -> None:
    with Monitor("mine", tmp_path / "mine", MonitorConfig()) as monitor:
        with pytest.raises(error):
            monitor.record("online", values)
        with pytest.raises(error):
            monitor.post(values)
        assert _served(monitor) == {}
    assert read_metrics(tmp_path / "mine") == []


def test_resume_drops_a_stages_rows_after_the_step_and_the_torn_line(tmp_path: Path) -> None:
    with Monitor("mine", tmp_path, NOT_SERVED) as monitor:
        monitor.record("warmup", {"step": 900})
        monitor.record("control", {"step": 1})
        for step in range(1, 6):
            monitor.record("online", {"step": step})
        monitor.record("evaluation", {"eval_visible_hidden_gap_ratio": {"start": 0.3}})
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'{"time": 1, "stage": "onl')
    assert len(read_metrics(tmp_path)) == 8
    with Monitor("mine", tmp_path, NOT_SERVED, kept={"online": 3, "control": 0}) as monitor:
        monitor.record("online", {"step": 4})
    rows = [(row["stage"], row.get("step")) for row in read_metrics(tmp_path)]
    assert rows == [("warmup", 900), ("online", 1), ("online", 2), ("online", 3), ("evaluation", None), ("online", 4)]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_no_file_is_no_rows(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


# -- the endpoint


def test_what_is_posted_is_served_and_makes_no_row(tmp_path: Path) -> None:
    with Monitor("mine", tmp_path / "mine", MonitorConfig()) as monitor:
        monitor.record("online", {"step": 1, "samples_trained_total": 128})
        monitor.post({"samples_trained_total": 130})
        assert _served(monitor) == {("rltf_step",): 1, ("rltf_samples_trained_total",): 130}
    assert [row["samples_trained_total"] for row in read_metrics(tmp_path / "mine")] == [128]


def test_what_the_learner_measures_is_served(tmp_path: Path) -> None:
    config = ObjectiveConfig(kind="grpo", static=1.0, kl=0.1)
    figures = dict.fromkeys(("scored", "ratio", "ratio_squared", "ratio_max", "kl_reference", "kl_behaviour"), 1.0)
    sums = local_sums([labelled("g")], figures, step=0, rank=0, ranks=1, config=config)
    measured = global_metrics(sums, ranks=1)
    with Monitor("mine", tmp_path / "mine", MonitorConfig()) as monitor:
        monitor.record("online", measured)
        served = _served(monitor)
    names = {key[0].removeprefix("rltf_") for key in served}
    assert {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in names} == set(measured)
    assert {key[1] for key in served if key[0] == "rltf_loss"} == {"sl", "coarse", "fine", "adaptive", "static", "kl", "total"}


def test_port_0_is_no_endpoint(tmp_path: Path) -> None:
    before = threading.active_count()
    with Monitor("mine", tmp_path / "mine", NOT_SERVED) as monitor:
        assert monitor.address is None
        assert threading.active_count() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_prometheus_finds_it_while_it_is_open(tmp_path: Path) -> None:
    monitor = Monitor("mine-3f2a91bc", tmp_path / "mine", MonitorConfig(), host="127.0.0.2")
    target = tmp_path / ".prometheus" / "mine-3f2a91bc.json"
    assert json.loads(target.read_text()) == [{"targets": [monitor.address], "labels": {}}]
    assert str(monitor.address).startswith("127.0.0.2:")
    monitor.close()
    monitor.close()
    assert not target.exists()


def test_a_resumed_runs_counters_are_other_series(tmp_path: Path) -> None:
    """On one address too: a counter that falls is to Prometheus one that has grown by all that it is."""
    answers = []
    for judged in (10_000, 9_000):
        with Monitor("mine", tmp_path / "mine", MonitorConfig()) as monitor:
            monitor.post({"programs_judged_total": judged})
            answers.append(scrape(str(monitor.address)))
    found = [re.search(r'^(rltf_programs_judged_total{.*run="mine".*}) (\d+)', text, re.MULTILINE) for text in answers]
    (before, first), (after, second) = (match.groups() for match in found if match)
    assert (first, second) == ("10000", "9000")
    assert before != after


def test_two_runs_of_one_name_are_two_to_prometheus(tmp_path: Path) -> None:
    """Seeds of an arm: other folders, one name, one place for their targets' files."""
    runs, config = ("arm-aaaaaaaa", "arm-bbbbbbbb"), MonitorConfig(targets=tmp_path / "targets")
    with (
        Monitor(runs[0], tmp_path / "seed0" / "arm", config) as one,
        Monitor(runs[1], tmp_path / "seed1" / "arm", config) as two,
    ):
        for monitor, step in ((one, 1), (two, 2)):
            monitor.post({"step": step})
        for run, step in zip(runs, (1, 2), strict=True):
            ((address,),) = (group["targets"] for group in json.loads((tmp_path / "targets" / f"{run}.json").read_text()))
            assert series(scrape(address), run) == {("rltf_step",): step}
    assert not (tmp_path / "seed0" / ".prometheus").exists()


def test_port_in_use_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with Monitor("first", tmp_path / "first", MonitorConfig()) as monitor:
        port = int(str(monitor.address).split(":")[1])
        with pytest.raises(UserError, match=f"monitor.prometheus_port={port}: cannot listen on 127.0.0.1:{port}"):
            Monitor("second", tmp_path / "second", MonitorConfig(prometheus_port=port))
        assert not (tmp_path / "second").exists()
        assert [file.name for file in (tmp_path / ".prometheus").iterdir()] == ["first.json"]


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (None, []),
        (KeyboardInterrupt(), []),
        (RuntimeError("an actor died"), ["mine.json"]),
        (UserError("no", "Mend"), ["mine.json"]),
    ],
    ids=["done", "interrupted", "failed", "refused"],
)
def test_a_failed_runs_target_stays_to_be_seen_down_until_it_is_resumed(
    tmp_path: Path, end: BaseException | None, left: list[str]
) -> None:
    targets = tmp_path / ".prometheus"
    monitor = Monitor("mine", tmp_path / "mine", MonitorConfig())
    monitor.__exit__(type(end) if end else None, end, None)
    assert [file.name for file in targets.iterdir()] == left
    with Monitor("mine", tmp_path / "mine", MonitorConfig()) as monitor:
        assert json.loads((targets / "mine.json").read_text()) == [{"targets": [monitor.address], "labels": {}}]
    assert list(targets.iterdir()) == []


@pytest.mark.parametrize(
    ("end", "waits"),
    [(None, 1), (RuntimeError("an actor died"), 1), (KeyboardInterrupt(), 0)],
    ids=["done", "failed", "interrupted"],
)
def test_an_ended_run_waits_for_a_last_scrape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException | None, waits: int
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(Scrapes, "patience", property(lambda _: 7.5))
    monkeypatch.setattr(Scrapes, "wait", lambda _, seconds: waited.append(seconds))
    monitor = Monitor("mine", tmp_path / "mine", MonitorConfig(), note=lambda _: None)
    monitor.__exit__(type(end) if end else None, end, None)
    assert waited == [7.5] * waits
    assert monitor.address is None, "the endpoint is closed either way"
