"""Supervised stages go on where their newest checkpoint is."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from contracts.training import OptimizerConfig
from learner.step_metrics import StepMetrics
from models.load import load_model
from rltf.monitor import read_metrics
from rltf.runs import RunFolder, State
from rltf.supervised import Stage, finish_stage, newest_checkpoint, remove_finished, run_stage, unfinished
from tests.small_run import ROOT, command

STAGE = Stage("warm start", "base", OptimizerConfig(), 25, 4)


class FakeCluster:
    """Ranks whose weights are the list of steps they made; dies in step `dies_at`."""

    def __init__(self, dies_at: int | None = None) -> None:
        self._dies_at = dies_at
        self.weights: list[int] = []

    def start_learner(self, model_path: str, optimizer: OptimizerConfig, steps: int) -> None:
        assert (model_path, optimizer, steps) == ("base", STAGE.optimizer, 25)
        self.weights = []

    def on_ranks(self, method: str, *arguments: Any) -> list[Any]:
        if method == "save":
            (arguments[0] / "weights").write_text(" ".join(map(str, self.weights)))
        elif method == "load":
            self.weights = [int(word) for word in (arguments[0] / "weights").read_text().split()]
        else:
            stage, first, count, batch = arguments
            assert (method, stage, batch) == ("supervised_steps", "warm start", 4)
            return [[self._step(step) for step in range(first, first + count)]]
        return [None]

    def _step(self, step: int) -> StepMetrics:
        if step == self._dies_at:
            raise KeyboardInterrupt
        self.weights.append(step)
        return {"step": step + 1}


def begun(folder: Path) -> RunFolder:
    made = RunFolder(folder)
    made.save(State(run="r"))
    return made


def run(
    folder: RunFolder, every: int, dies_at: int | None = None, heard: list[int] | None = None, kept: list[Path] | None = None
) -> list[int]:
    """One life of the stage: the weights it ends with."""
    cluster = FakeCluster(dies_at)
    kept = [] if kept is None else kept

    def tell(done: int, rows: Sequence[StepMetrics]) -> None:
        if heard is not None:
            heard.extend(range(done, done + len(rows)))

    run_stage(STAGE, cluster, folder, folder.state(), every, tell, kept.append)  # type: ignore[arg-type]
    return cluster.weights


def checkpoints(folder: RunFolder) -> list[str]:
    return sorted(str(path.relative_to(folder.checkpoints)) for path in folder.checkpoints.glob("*/*"))


@pytest.mark.parametrize(("every", "kept"), [(7, 7), (3, 12), (10, 10), (0, 0), (50, 0)])
def test_an_interrupted_stage_goes_on_from_its_newest_checkpoint(tmp_path: Path, every: int, kept: int) -> None:
    folder = begun(tmp_path)
    written: list[Path] = []
    with pytest.raises(KeyboardInterrupt):
        run(folder, every, dies_at=13, kept=written)
    assert [path.name for path in written] == [f"step-{step:06d}" for step in range(every, kept + 1, every or 1) if every]
    assert newest_checkpoint(folder, folder.state()) == (written[-1] if kept else None)
    assert checkpoints(folder) == ([f"warm-start-state/step-{kept:06d}"] if kept else [])
    assert unfinished(folder.state()) == {"warm start": kept, "control": 0}
    heard: list[int] = []
    assert run(folder, every, heard=heard) == list(range(25)), "every step is made once, in order"
    assert heard == list(range(kept, 25)), "and no kept step is told of again"
    state = folder.state()
    finish_stage("warm start", folder, state)
    assert checkpoints(folder) == []
    assert newest_checkpoint(folder, state) is None
    assert not (folder.checkpoints / "warm-start-state").exists()
    assert unfinished(folder.state()) == {"control": 0}


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [
        (0.1, [1, 10, 10, 4]),
        (20, [1, 3, 3, 3, 3, 3, 3, 3, 3]),
        (420, [1] * 25),
    ],
)
def test_slow_steps_are_told_each_and_quick_ones_about_once_a_minute(tmp_path: Path, seconds: float, calls: list[int]) -> None:
    cluster, told = FakeCluster(), []
    run_stage(
        STAGE,
        cluster,  # type: ignore[arg-type]
        *(folder := begun(tmp_path), folder.state(), 0),
        tell=lambda _, rows: told.append(len(rows)),
        on_checkpoint=print,
        clock=lambda: seconds * len(cluster.weights),
    )
    assert told == calls
    assert cluster.weights == list(range(25))


def test_a_stage_killed_while_its_checkpoint_is_written_goes_on_from_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, save = begun(tmp_path), RunFolder.save

    def killed_before_state_14(self: RunFolder, state: State) -> None:
        if state.stage_step == 14:
            raise KeyboardInterrupt
        save(self, state)

    monkeypatch.setattr(RunFolder, "save", killed_before_state_14)
    with pytest.raises(KeyboardInterrupt):
        run(folder, 7)
    monkeypatch.undo()
    assert checkpoints(folder) == ["warm-start-state/step-000007", "warm-start-state/step-000014"]
    assert unfinished(folder.state())["warm start"] == 7
    assert run(folder, 7) == list(range(25))
    assert checkpoints(folder) == ["warm-start-state/step-000021"]


def test_a_stage_killed_as_it_ends_leaves_its_checkpoint_to_the_resumed_run_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path)
    run(folder, 7)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rltf.supervised.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        finish_stage("warm start", folder, folder.state())
    monkeypatch.undo()
    assert checkpoints(folder) == ["warm-start-state/step-000021"]
    other = folder.checkpoints / "control-state" / "step-000004"
    other.mkdir(parents=True)
    remove_finished(folder, folder.state())
    assert checkpoints(folder) == ["control-state/step-000004"]
    assert unfinished(folder.state()) == {"control": 0}


def test_the_checkpoint_of_one_stage_says_nothing_about_another() -> None:
    state = State(run="r", done=["warm start"], stage="warm start", stage_step=20)
    assert unfinished(state) == {"control": 0}


def warm_start(output: Path, *arguments: str) -> list[str]:
    """The command line of a packed warm start of adapters."""
    settings = ("warmup.steps=40", "warmup.optimizer.schedule=cosine", "warmup.optimizer.lr=0.001", "checkpoint.every=4")
    call = command(output, *settings, "learner.pack_tokens=600", "model.lora.rank=4", *arguments)
    return ["warmup" if word == "train" else word for word in call]


def rows(output: Path) -> list[dict[str, Any]]:
    return [row for row in read_metrics(output / "small") if row["stage"] == "warm start"]


@pytest.mark.slow
def test_a_killed_warm_start_ends_with_the_very_weights_of_one_that_was_not(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = subprocess.Popen(warm_start(broken), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(rows(broken)) < 6:
        assert process.poll() is None, "the warm start ended too early"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
    process.kill()
    process.wait()
    assert 6 <= len(rows(broken)) < 40
    for output, more in ((broken, ["--resume"]), (whole, [])):
        done = subprocess.run(warm_start(output, *more), cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    assert [row["step"] for row in rows(broken)] == list(range(1, 41))
    assert [row["loss"] for row in rows(broken)] == [row["loss"] for row in rows(whole)]
    ours, theirs = (load_model(str(output / "small" / "checkpoints" / "start")).state_dict() for output in (broken, whole))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert not list((broken / "small" / "checkpoints").glob("warm-start*"))
