"""The copy of a run folder at a URL: what is sent when, what is told, and what stays as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from contracts.errors import RunError
from contracts.recipe import parse_recipe
from contracts.training import OptimizerConfig
from rltf import train
from rltf import upload as uploading
from rltf.copies import COPIED, Copy, fetch
from rltf.runs import RunFolder, State
from rltf.supervised import Stage, newest_checkpoint
from rltf.upload import GONE, Upload
from tests.copying import Url, buffers, checkpoint, contents, round_of, run_folder, state, steps, unheard, write

Change = Callable[[], None]


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Url:
    """An empty place of either kind."""
    return f"memory://{uuid4()}" if request.param == "memory" else f"file://{tmp_path}/there"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_folder(tmp_path)


@pytest.fixture
def told() -> list[str]:
    return []


def test_the_copy_follows_the_folder(url: Url, run: Path, told: list[str]) -> None:
    with Upload(url, run, told.append, unheard) as upload:
        upload.begin()
        assert contents(url) == {"state.json": state(), "metrics.jsonl": "1\n", "redis/step-000000/appendonly.aof": "*"}
        write(run, {"state.json": state(step=2), "metrics.jsonl": "1\n2\n", "checkpoints/step-000002/w": "2"})
        write(run, {"checkpoints/step-000004.partial/w": "half of it", "config.yaml.partial": "half of it"})
    assert contents(url) == {
        "state.json": state(step=2),
        "metrics.jsonl": "1\n2\n",
        "redis/step-000002/appendonly.aof": "*",
        "checkpoints/step-000002/w": "2",
    }
    (run / "redis" / "appendonly.aof").unlink()
    with Upload(url, run, told.append, unheard) as upload:
        upload.begin()
    assert set(contents(url)) == {"state.json", "metrics.jsonl", "checkpoints/step-000002/w"}
    assert told == [f"copy: {url}/small"] * 2


def test_what_others_have_put_there_stays(url: Url, run: Path, told: list[str]) -> None:
    theirs = {"notes.txt": "mine", "checkpoints/best/w": "mine"}
    write(run, {"evaluations/a.json": "{}"})
    with Upload(url, run, told.append, unheard) as upload:
        upload.begin()
        for name, text in theirs.items():
            Copy(url, "small").write(name, text.encode())
        (run / "evaluations" / "a.json").unlink()
    with Upload(url, run, told.append, unheard) as upload:
        upload.begin()
    assert contents(url) == {"state.json": state(), "metrics.jsonl": "1\n", "redis/step-000000/appendonly.aof": "*", **theirs}


def test_what_was_sent_is_not_sent_again_and_the_state_comes_last(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    for method in ("put_file", "pipe_file"):
        monkeypatch.setattr(MemoryFileSystem, method, _noting(sent, getattr(MemoryFileSystem, method), method))
    with Upload(f"memory://{uuid4()}", run, unheard, unheard) as upload:
        upload.begin()
        write(run, {"metrics.jsonl": "1\n2\n"})
    assert sent == [COPIED, "metrics.jsonl", "appendonly.aof", "state.json", "metrics.jsonl", "state.json"]


def _noting(sent: list[str], original: Callable[..., Any], method: str) -> Callable[..., Any]:
    def note(self: MemoryFileSystem, *arguments: Any, **options: Any) -> Any:
        sent.append(str(arguments[method == "put_file"]).rpartition("/")[2])
        return original(self, *arguments, **options)

    return note


def test_a_first_copy_that_was_broken_off_is_begun_again(url: Url, run: Path, told: list[str]) -> None:
    Copy(url, "small").write(COPIED, b'["leftover"]')
    Copy(url, "small").write("leftover", b"1")
    Upload(url, run, told.append, unheard).begin()
    assert set(contents(url)) == {"state.json", "metrics.jsonl", "redis/step-000000/appendonly.aof"}


def test_without_a_url_nothing_happens(run: Path, told: list[str]) -> None:
    with Upload(None, run, told.append, unheard) as upload:
        upload.begin()
        upload.in_background()
    assert told == []


# Checkpoints come and go meanwhile


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    """Let something happen in the run folder as soon as the next file has been sent."""

    def arrange(change: Change) -> None:
        waiting, send = [change], Copy.send

        def slowly(self: Copy, name: str, source: Path) -> None:
            send(self, name, source)
            if waiting:
                waiting.pop()()

        monkeypatch.setattr(Copy, "send", slowly)

    return arrange


def test_a_state_that_changes_meanwhile_is_not_ahead_of_its_checkpoint(
    url: Url, run: Path, told: list[str], meanwhile: Callable[[Change], None]
) -> None:
    checkpoint(run, 2)
    upload = Upload(url, run, told.append, unheard)
    meanwhile(lambda: checkpoint(run, 4))
    upload.begin()
    assert steps(url) == ["2", "000002/a", "000002/b"]


def test_a_checkpoint_that_makes_way_while_it_is_copied_leaves_the_copy_with_the_one_before(
    url: Url, run: Path, told: list[str], meanwhile: Callable[[Change], None]
) -> None:
    checkpoint(run, 2)
    upload = Upload(url, run, told.append, unheard)
    upload.begin()
    checkpoint(run, 4, without=2)
    meanwhile(lambda: checkpoint(run, 6, without=4))
    round_of(upload)
    assert steps(url) == ["2", "000002/a", "000002/b", "000004/a"]
    round_of(upload)
    assert steps(url) == ["6", "000006/a", "000006/b"]
    assert told == [f"upload to {url}/small failed, the next checkpoint tries again: {GONE}"]


def test_a_checkpoint_that_is_just_making_way_is_not_taken_for_a_whole_one(
    url: Url, run: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a look at the state and one at the checkpoint that it names."""
    checkpoint(run, 2)
    upload = Upload(url, run, told.append, unheard)
    upload.begin()
    looks = iter([lambda: (run / "checkpoints/step-000002/a").unlink(), lambda: None])

    def look(folder: RunFolder, state: State) -> Path | None:
        if state.step == 2:
            checkpoint(run, 4)
        next(looks)()
        return newest_checkpoint(folder, state)

    monkeypatch.setattr(uploading, "newest_checkpoint", look)
    round_of(upload)
    assert steps(url) == ["4", "000002/b", "000004/a", "000004/b"]


def test_an_older_checkpoint_that_makes_way_does_not_hold_up_the_state(
    url: Url, run: Path, told: list[str], meanwhile: Callable[[Change], None]
) -> None:
    checkpoint(run, 2)
    upload = Upload(url, run, told.append, unheard)
    upload.begin()
    checkpoint(run, 4)
    meanwhile(lambda: checkpoint(run, 6, without=2))
    round_of(upload)
    assert steps(url)[0] == "4"
    assert set(steps(url)) >= {"000004/a", "000004/b"}


def test_the_buffer_in_the_copy_is_that_of_its_state(
    url: Url, run: Path, told: list[str], meanwhile: Callable[[Change], None], tmp_path: Path
) -> None:
    """The run's own goes on, and at the next checkpoint forgets programs that the copy's state still names."""
    checkpoint(run, 2)
    write(run, {"redis/appendonly.aof": "draw 2"})
    upload = Upload(url, run, told.append, unheard)

    def next_checkpoint() -> None:
        checkpoint(run, 4)
        write(run, {"redis/appendonly.aof": "draw 2 draw 4 commit 4", "redis/temp-rewriteaof-7.aof": "half of it"})

    meanwhile(next_checkpoint)
    upload.begin()
    assert (steps(url)[0], buffers(url)) == ("2", {"step-000002/appendonly.aof": "draw 2"})
    fetch(url, tmp_path / "back" / "small")
    assert [path.name for path in (tmp_path / "back" / "small" / "redis").iterdir()] == ["appendonly.aof"]
    assert (tmp_path / "back" / "small" / "redis" / "appendonly.aof").read_text() == "draw 2"
    round_of(upload)
    assert (steps(url)[0], buffers(url)) == ("4", {"step-000004/appendonly.aof": "draw 2 draw 4 commit 4"})


def test_a_state_that_changes_while_the_buffer_is_set_aside_is_read_again(
    url: Url, run: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(run, 2)
    changes = [lambda: (checkpoint(run, 4), write(run, {"redis/appendonly.aof": "commit 4"}))]
    copy = shutil.copy2

    def after_a_change(source: Path, target: Path) -> object:
        if changes:
            changes.pop()()
        return copy(source, target)

    monkeypatch.setattr(shutil, "copy2", after_a_change)
    Upload(url, run, told.append, unheard).begin()
    assert (steps(url)[0], buffers(url)) == ("4", {"step-000004/appendonly.aof": "commit 4"})


def test_no_sample_of_an_evaluation_is_copied_without_its_count(url: Url, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch ends after each file that is sent: it is counted first, then written."""
    start, send = run / "evaluations" / "start", Copy.send
    write(start, {"counts.jsonl": "1\n", "samples.jsonl": "1\n"})

    def slowly(self: Copy, name: str, source: Path) -> None:
        send(self, name, source)
        for file in ("counts.jsonl", "samples.jsonl"):
            write(start, {file: (start / file).read_text() + "1\n"})

    monkeypatch.setattr(Copy, "send", slowly)
    Upload(url, run, unheard, unheard).begin()
    counts, samples = (contents(url)[f"evaluations/start/{file}.jsonl"] for file in ("counts", "samples"))
    assert len(counts) > len(samples) > 0


def test_a_run_that_ends_without_its_checkpoint_has_no_whole_copy(url: Url, run: Path, told: list[str]) -> None:
    checkpoint(run, 2)
    upload = Upload(url, run, told.append, unheard, pause=unheard)
    upload.begin()
    checkpoint(run, 4, without=4)
    with pytest.raises(RunError) as caught:
        upload.__exit__(None, None, None)
    assert caught.value.message == (
        f"the run is in {run}, and not all of it at {url}/small: the checkpoint that its state.json names is not there"
    )
    assert steps(url) == ["2", "000002/a", "000002/b"]


def test_each_checkpoint_of_a_supervised_stage_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    run = train.Run(parse_recipe({"name": "small", "output": str(tmp_path)}), None)  # type: ignore[arg-type]
    vars(run).update(
        _cluster=None,
        _state=State(run="small-1"),
        _course=SimpleNamespace(stage=lambda *_: nullcontext()),
        _monitor=SimpleNamespace(post=lambda _: done.append("size")),
        _upload=SimpleNamespace(in_background=lambda: done.append("copied")),
    )
    monkeypatch.setattr(train, "run_stage", lambda *arguments: arguments[-1](tmp_path))
    run._supervised(Stage("warm start", "base", OptimizerConfig(), 25, 4))
    assert done == ["size", "copied"]
