"""The copy of a run folder at a URL: what is sent when, what is told, and what stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from contracts.errors import RunError, UserError
from contracts.recipe import parse_recipe
from contracts.training import OptimizerConfig
from rltf import train
from rltf import upload as uploading
from rltf.copies import COPIED, Copy
from rltf.runs import RunFolder, State
from rltf.supervised import Stage, newest_checkpoint
from rltf.upload import Upload
from tests.copying import Url, contents, state, write

Change = Callable[[], None]


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Url:
    """An empty place of either kind."""
    return f"memory://{uuid4()}" if request.param == "memory" else f"file://{tmp_path}/there"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "small"
    write(folder, {"state.json": state(), "metrics.jsonl": "1\n", "redis/appendonly.aof": "*"})
    return folder


@pytest.fixture
def told() -> list[str]:
    return []


def test_the_copy_follows_the_folder(url: Url, run: Path, told: list[str]) -> None:
    with Upload(url, run, told.append) as upload:
        upload.begin()
        assert contents(url) == {"state.json": state(), "metrics.jsonl": "1\n", "redis/appendonly.aof": "*"}
        write(run, {"state.json": state(step=2), "metrics.jsonl": "1\n2\n", "checkpoints/step-000002/w": "2"})
        write(run, {"checkpoints/step-000004.partial/w": "half of it", "config.yaml.partial": "half of it"})
    assert contents(url) == {
        "state.json": state(step=2),
        "metrics.jsonl": "1\n2\n",
        "redis/appendonly.aof": "*",
        "checkpoints/step-000002/w": "2",
    }
    (run / "redis" / "appendonly.aof").unlink()
    with Upload(url, run, told.append) as upload:
        upload.begin()
    assert set(contents(url)) == {"state.json", "metrics.jsonl", "checkpoints/step-000002/w"}
    assert told == [f"copy: {url}/small"] * 2


def test_what_others_have_put_there_stays(url: Url, run: Path, told: list[str]) -> None:
    theirs = {"notes.txt": "mine", "checkpoints/best/w": "mine"}
    write(run, {"evaluations/a.json": "{}"})
    with Upload(url, run, told.append) as upload:
        upload.begin()
        for name, text in theirs.items():
            Copy(url, "small").write(name, text.encode())
        (run / "evaluations" / "a.json").unlink()
    with Upload(url, run, told.append) as upload:
        upload.begin()
    assert contents(url) == {"state.json": state(), "metrics.jsonl": "1\n", "redis/appendonly.aof": "*", **theirs}


def test_what_was_sent_is_not_sent_again_and_the_state_comes_last(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    for method in ("put_file", "pipe_file"):
        monkeypatch.setattr(MemoryFileSystem, method, _noting(sent, getattr(MemoryFileSystem, method), method))
    with Upload(f"memory://{uuid4()}", run, lambda _: None) as upload:
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
    Upload(url, run, told.append).begin()
    assert set(contents(url)) == {"state.json", "metrics.jsonl", "redis/appendonly.aof"}


def test_without_a_url_nothing_happens(run: Path, told: list[str]) -> None:
    with Upload(None, run, told.append) as upload:
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


def checkpoint(run: Path, step: int, *, without: int | None = None) -> None:
    """Write one, and the state that names it; then an old one makes way."""
    write(run, {f"checkpoints/step-{step:06d}/{name}": f"{step}" for name in "ab"})
    write(run, {"state.json": state(step=step)})
    if without is not None:
        for file in (run / "checkpoints" / f"step-{without:06d}").iterdir():
            file.unlink()


def steps(url: Url) -> list[str]:
    """The step of the copy's state, and its files of checkpoints."""
    files = contents(url)
    return [str(json.loads(files["state.json"])["step"]), *sorted(name[-8:] for name in files if name.startswith("checkpoints"))]


def round_of(upload: Upload) -> None:
    """One in the background, to its end."""
    upload.in_background()
    assert upload._under_way
    upload._under_way.result()


def test_a_state_that_changes_meanwhile_is_not_ahead_of_its_checkpoint(
    url: Url, run: Path, told: list[str], meanwhile: Callable[[Change], None]
) -> None:
    checkpoint(run, 2)
    upload = Upload(url, run, told.append)
    meanwhile(lambda: checkpoint(run, 4))
    upload.begin()
    assert steps(url) == ["2", "000002/a", "000002/b"]


def test_a_checkpoint_that_makes_way_while_it_is_copied_leaves_the_copy_with_the_one_before(
    url: Url, run: Path, told: list[str], meanwhile: Callable[[Change], None]
) -> None:
    checkpoint(run, 2)
    upload = Upload(url, run, told.append)
    upload.begin()
    checkpoint(run, 4, without=2)
    meanwhile(lambda: checkpoint(run, 6, without=4))
    round_of(upload)
    assert steps(url) == ["2", "000002/a", "000002/b", "000004/a"]
    round_of(upload)
    assert steps(url) == ["6", "000006/a", "000006/b"]
    assert told == []


def test_a_checkpoint_that_is_just_making_way_is_not_taken_for_a_whole_one(
    url: Url, run: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a look at the state and one at the checkpoint that it names."""
    checkpoint(run, 2)
    upload = Upload(url, run, told.append)
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
    upload = Upload(url, run, told.append)
    upload.begin()
    checkpoint(run, 4)
    meanwhile(lambda: checkpoint(run, 6, without=2))
    round_of(upload)
    assert steps(url)[0] == "4"
    assert set(steps(url)) >= {"000004/a", "000004/b"}


def test_a_run_that_ends_without_its_checkpoint_has_no_whole_copy(url: Url, run: Path, told: list[str]) -> None:
    checkpoint(run, 2)
    upload = Upload(url, run, told.append, lambda _: None)
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


# Places that fail


class Broken(MemoryFileSystem):
    """Fails so many times."""

    protocol = "broken"
    failures = 0
    error: OSError = PermissionError("no\nwriting here")

    def put_file(self, *arguments: Any, **options: Any) -> None:
        if Broken.failures:
            Broken.failures -= 1
            raise Broken.error
        super().put_file(*arguments, **options)


@pytest.fixture
def broken() -> Iterator[Url]:
    fsspec.register_implementation("broken", Broken, clobber=True)
    Broken.failures = 0
    yield f"broken://{uuid4()}"
    Broken.failures = 0


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_paid_for(broken: Url, run: Path, told: list[str]) -> None:
    Broken.failures = 1
    with pytest.raises(UserError) as caught, Upload(broken, run, told.append) as upload:
        upload.begin()
    assert caught.value.message == f"{broken}/small cannot be written to: PermissionError: no writing here"
    assert told == []


def test_a_checkpoint_whose_copy_fails_is_told_and_made_good_by_the_next(broken: Url, run: Path, told: list[str]) -> None:
    upload = Upload(broken, run, told.append)
    upload.begin()
    Broken.failures = 1
    write(run, {"metrics.jsonl": "1\n2\n"})
    with pytest.raises(PermissionError):
        round_of(upload)
    assert told == []
    round_of(upload)
    assert told == [f"upload to {broken}/small failed, the next checkpoint tries again: PermissionError: no writing here"]
    assert contents(broken)["metrics.jsonl"] == "1\n2\n"


def test_a_target_that_has_gone_is_not_taken_for_a_file_of_the_run_that_has(
    broken: Url, run: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Broken, "error", FileNotFoundError("no such bucket"))
    upload = Upload(broken, run, told.append)
    upload.begin()
    Broken.failures = 1
    write(run, {"metrics.jsonl": "1\n2\n"})
    with pytest.raises(FileNotFoundError, match="no such bucket"):
        round_of(upload)


def test_at_the_end_it_is_tried_three_times_and_then_fails_loudly(broken: Url, run: Path, told: list[str]) -> None:
    pauses: list[float] = []
    with Upload(broken, run, told.append, pauses.append) as upload:
        upload.begin()
        Broken.failures = 2
        write(run, {"metrics.jsonl": "1\n2\n"})
    assert contents(broken)["metrics.jsonl"] == "1\n2\n"
    assert pauses == [5.0, 5.0]
    again = f"upload to {broken}/small failed, tried again: PermissionError: no writing here"
    assert told == [again, again, f"copy: {broken}/small"]

    with pytest.raises(RunError) as caught:
        _run_whose_last_copy_fails(Upload(broken, run, told.append, pauses.append), run)
    assert caught.value.message == f"the run is in {run}, and not all of it at {broken}/small: PermissionError: no writing here"
    assert Broken.failures == 6


def test_what_ended_the_run_is_what_is_raised(broken: Url, run: Path, told: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        _run_whose_last_copy_fails(Upload(broken, run, told.append, lambda _: None), run, KeyboardInterrupt())
    assert told[-1].startswith(f"the run is in {run}, and not all of it at {broken}/small")


def _run_whose_last_copy_fails(upload: Upload, run: Path, end: BaseException | None = None) -> None:
    with upload:
        upload.begin()
        Broken.failures = 9
        write(run, {"metrics.jsonl": "1\n2\n3\n"})
        if end:
            raise end
