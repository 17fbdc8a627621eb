"""What TensorBoard reads of a run, read back with its own code."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from contracts.errors import UserError
from contracts.histograms import counted
from contracts.metrics import LAG
from contracts.sections import MonitorConfig
from rltf import tensorboard
from rltf.monitor import Monitor

CONFIG = MonitorConfig(prometheus_port=0, tensorboard=True)


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag → (step, value)."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_scalars_by_stage_metric_and_label(tmp_path: Path) -> None:
    with Monitor("mine", tmp_path, CONFIG) as monitor:
        monitor.record("warm start", {"step": 1, "loss": {"sl": 2.5}})
        monitor.record("online", {"step": 1, "batch_pass_ratio": 0.25, "programs_total": {"train|easy|pass": 3}})
        monitor.record("online", {"step": 2, "batch_pass_ratio": 0.5, LAG.name: counted(LAG, [1.0])})
        monitor.record("evaluate start", {"eval_pass_at_k_ratio": {"start|T=1.0|1": 0.75}})
        monitor.post({"batch_pass_ratio": 1.0})
    assert sorted(path.name for path in (tmp_path / "tensorboard").iterdir()) == ["evaluate start", "online", "warm start"]
    assert _scalars(tmp_path / "tensorboard" / "warm start") == {"loss/sl": [(1, 2.5)]}
    assert _scalars(tmp_path / "tensorboard" / "online") == {
        "batch_pass_ratio": [(1, 0.25), (2, 0.5)],
        "programs_total/train/easy/pass": [(1, 3.0)],
    }
    (values,) = _scalars(tmp_path / "tensorboard" / "evaluate start").values()
    assert values == [(0, 0.75)]


def test_what_is_not_finite_stays_so(tmp_path: Path) -> None:
    with Monitor("mine", tmp_path, CONFIG) as monitor:
        monitor.record("online", {"step": 1, "gradient_norm": math.nan})
    ((_, value),) = _scalars(tmp_path / "tensorboard" / "online")["gradient_norm"]
    assert math.isnan(value)


def test_a_resumed_run_takes_back_what_it_will_record_again(tmp_path: Path) -> None:
    with Monitor("mine", tmp_path, CONFIG) as monitor:
        for step in range(1, 9):
            monitor.record("warm start", {"step": step, "loss": {"sl": 1.0}})
        for step in range(1, 6):
            monitor.record("online", {"step": step, "learning_rate": 1.0})
    with Monitor("mine", tmp_path, CONFIG, kept={"online": 3}) as monitor:
        monitor.record("online", {"step": 4, "learning_rate": 0.5})
    online = _scalars(tmp_path / "tensorboard" / "online")["learning_rate"]
    assert online == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 0.5)]
    assert len(_scalars(tmp_path / "tensorboard" / "warm start")["loss/sl"]) == 8, "another stage's steps are its own"


def test_unset_nothing_is_written(tmp_path: Path) -> None:
    with Monitor("mine", tmp_path, MonitorConfig(prometheus_port=0)) as monitor:
        monitor.record("online", {"step": 1, "learning_rate": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_the_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    tensorboard.require_tensorboard()
    monkeypatch.setattr(tensorboard, "find_spec", lambda _: None)
    with pytest.raises(UserError) as caught:
        tensorboard.require_tensorboard()
    assert str(caught.value) == (
        "monitor.tensorboard=true, and TensorBoard is not installed. pip install 'rltf[tensorboard]', or leave it out"
    )
