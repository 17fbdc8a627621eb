"""Where a run may be copied to, before it begins; and a run that is brought back from its copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations

from contracts.errors import UserError
from contracts.recipe import parse_recipe
from rltf.copies import COPIED, Copy, check_url, fetch
from rltf.upload import Upload
from tests.copying import Url, contents, state, write


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Url:
    """An empty place of either kind."""
    return f"memory://{uuid4()}" if request.param == "memory" else f"file://{tmp_path}/there"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "small"
    write(folder, {"state.json": state(), "metrics.jsonl": "1\n", "checkpoints/step-000002/model/w": "2"})
    return folder


def copied(url: Url, run: Path) -> None:
    Upload(url, run, print, lambda _: None).begin()


def refused(url: Url, folder: Path, *, resume: bool = False) -> tuple[str, str]:
    with pytest.raises(UserError) as caught:
        check_url(url, folder, resume=resume)
    assert caught.value.exit_code == 2
    return caught.value.message, caught.value.remedy


# The place


class Down(MemoryFileSystem):
    """Nobody listens where it connects to."""

    protocol = "down"

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")


class ReadOnly(MemoryFileSystem):
    """Takes nothing."""

    protocol = "readonly"

    def pipe_file(self, *_: Any, **__: Any) -> None:
        raise PermissionError("no\nwriting here")


@pytest.fixture
def _backends(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in (Down, ReadOnly):
        fsspec.register_implementation(backend.protocol, backend, clobber=True)
    lacking = {"class": "nobody_has_this.System", "err": "Install nobody_has_this"}
    monkeypatch.setitem(known_implementations, "lacking", lacking)


@pytest.mark.usefixtures("_backends")
@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("nope://bucket/runs", "ValueError: Protocol not known: nope"),
        ("lacking://bucket/runs", "ImportError: Install nobody_has_this"),
        ("down://host/runs", "ConnectionRefusedError: [Errno 111] Connection refused"),
    ],
)
def test_urls_that_cannot_be_used(url: Url, error: str, tmp_path: Path) -> None:
    message, remedy = refused(url, tmp_path / "small")
    assert message.startswith(f"upload={url} cannot be asked: {error}")
    assert remedy == "Mend upload or its credentials, install what it needs"
    with pytest.raises(UserError) as caught:
        fetch(url, tmp_path / "small")
    assert caught.value.message == message


@pytest.mark.usefixtures("_backends")
def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_moved(tmp_path: Path) -> None:
    said, _ = refused("readonly://bucket", tmp_path / "small")
    assert said == "upload=readonly://bucket cannot be written to: PermissionError: no writing here"


def test_trying_leaves_nothing(url: Url, tmp_path: Path) -> None:
    check_url(url, tmp_path / "small", resume=False)
    system, root = fsspec.url_to_fs(url)
    assert system.find(root) == []


@pytest.mark.parametrize(("url", "folder"), [("a/small/copies", "a/small"), ("a", "a/small"), ("a", "a/small/runs/small")])
def test_a_copy_within_its_run_or_around_it_is_refused(tmp_path: Path, url: str, folder: str) -> None:
    said, _ = refused(f"file://{tmp_path / url}", tmp_path / folder)
    assert said == f"file://{tmp_path / url}/small and the run folder {tmp_path / folder} are not apart"
    assert list(tmp_path.iterdir()) == []


# What is there


def test_a_run_that_is_there_is_not_overwritten(url: Url, run: Path) -> None:
    copied(url, run)
    assert refused(url, run) == (
        f"{url}/small holds a run",
        "Go on with it with --resume, or choose another name=… or upload=…",
    )
    check_url(url, run.with_name("other"), resume=False)
    check_url(url, run, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_what_is_no_run_is_not_written_to(url: Url, run: Path, *, resume: bool) -> None:
    Copy(url, "small").write("thesis.tex", b"years of work")
    assert refused(url, run, resume=resume)[0] == f"{url}/small holds something else than a run"
    assert contents(url) == {"thesis.tex": "years of work"}


def test_a_first_copy_that_was_broken_off_is_no_obstacle(url: Url, run: Path) -> None:
    Copy(url, "small").write(COPIED, b'["metrics.jsonl"]')
    Copy(url, "small").write("metrics.jsonl", b"1")
    check_url(url, run, resume=False)


FURTHER = [
    ({}, {"step": 1}),
    ({"stage": "warm start", "stage_step": 5}, {"stage": "warm start", "stage_step": 9}),
    ({"stage": "warm start", "stage_step": 9}, {"done": ["warm start"], "stage": "warm start", "stage_step": 5}),
    ({"done": ["warm start"], "stage": "warm start", "stage_step": 9}, {"done": ["warm start"], "step": 2}),
    ({"done": ["warm start"], "step": 9}, {"done": ["warm start", "online"], "step": 9}),
]


@pytest.mark.parametrize(("less", "more"), FURTHER)
def test_an_older_folder_does_not_overwrite_its_copy(url: Url, run: Path, less: dict[str, Any], more: dict[str, Any]) -> None:
    write(run, {"state.json": state(**less)})
    Copy(url, "small").write("state.json", state(**more).encode())
    remedy = f"Move {run} away: --resume brings it back from there"
    assert refused(url, run, resume=True) == (f"{url}/small is ahead of {run}", remedy)
    write(run, {"state.json": state(**more)})
    check_url(url, run, resume=True)
    Copy(url, "small").write("state.json", state(**less).encode())
    check_url(url, run, resume=True)


def test_another_run_does_not_overwrite_the_copy(url: Url, run: Path) -> None:
    Copy(url, "small").write("state.json", b'{"run": "small-2"}')
    assert refused(url, run, resume=True) == (
        f"{url}/small holds the run small-2, {run} the run small-1",
        f"Choose another upload=…, or move {run} away to go on with what is at the URL",
    )


def test_a_state_that_is_none_is_told(url: Url, run: Path) -> None:
    Copy(url, "small").write("state.json", b"<html>")
    assert refused(url, run, resume=True)[0].startswith(f"state.json in {url}/small cannot be read: ")


# Resuming where the folder has gone


def test_a_run_is_brought_back(url: Url, run: Path, tmp_path: Path) -> None:
    copied(url, run)
    back = tmp_path / "elsewhere" / "small"
    fetch(url, back)
    files = {str(path.relative_to(back)): path.read_text() for path in back.rglob("*") if path.is_file()}
    assert files == {"state.json": state(), "metrics.jsonl": "1\n", "checkpoints/step-000002/model/w": "2"}
    assert [path.name for path in back.parent.iterdir()] == ["small"]


def test_what_was_left_of_bringing_one_back_is_no_part_of_it(url: Url, run: Path, tmp_path: Path) -> None:
    copied(url, run)
    write(tmp_path, {"small~fetched/old": "old"})
    fetch(url, tmp_path / "small")
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == ["checkpoints", "metrics.jsonl", "state.json"]
    assert not (tmp_path / "small~fetched").exists()


class Keyed(MemoryFileSystem):
    """A store whose keys may be any text."""

    protocol = "keyed"
    key = ""

    def find(self, path: str, *_: Any, **__: Any) -> list[str]:
        return [f"{path}/{self.key}", f"{path}/state.json"]

    def cat_file(self, *_: Any, **__: Any) -> bytes:
        return state().encode()

    def get_file(self, _: str, target: str, **__: Any) -> None:
        Path(target).write_bytes(b"theirs")


@pytest.mark.parametrize("key", ["../../escaped.py", "tests/../../../escaped.py", "redis/step-000000/../../../escaped.py"])
def test_a_copy_that_leads_out_of_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    fsspec.register_implementation("keyed", Keyed, clobber=True)
    monkeypatch.setattr(Keyed, "key", key)
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        fetch("keyed://bucket", tmp_path / "a" / "b" / "small")
    assert caught.value.message == f"keyed://bucket/small holds {key!r}, which leads out of the run folder"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_run_that_is_nowhere(url: Url, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fetch(url, tmp_path / "small")
    assert caught.value.message == f"there is no run to resume in {tmp_path / 'small'} or at {url}/small"
    assert not (tmp_path / "small").exists()


# In a recipe


def upload_of(url: str | None) -> str | None:
    return parse_recipe({"name": "r", "upload": url}).upload


def test_urls_of_recipes() -> None:
    assert (upload_of(None), upload_of("")) == (None, None)
    assert (upload_of("s3://bucket/"), upload_of("file:///a/b/")) == ("s3://bucket", "file:///a/b")
    assert upload_of("sftp://me@host/runs") == "sftp://me@host/runs"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/mnt/runs", "/mnt/runs is no URL: a folder's is file:///A/FOLDER"),
        ("://bucket", "://bucket is no URL: a folder's is file:///A/FOLDER"),
        ("file://runs", "file://runs depends on where the run is started: write file:///A/FOLDER"),
        ("s3://", "s3:// names no place below which copies could be"),
        ("file:///", "file:/// names no place below which copies could be"),
        ("memory://runs", "memory://runs goes when the run has ended: name a place that stays"),
    ],
)
def test_urls_that_lead_nowhere(url: Url, said: str) -> None:
    with pytest.raises(UserError) as caught:
        upload_of(url)
    assert caught.value.message == f"upload: {said}"


@pytest.mark.parametrize(
    "url", ["s3://KEY:hush@bucket/runs", "s3://KEY:hu/sh@bucket", "simplecache::s3://K:hush@b/c", "me:hush@host"]
)
def test_passwords_are_refused_and_not_repeated(url: Url) -> None:
    with pytest.raises(UserError) as caught:
        upload_of(url)
    assert caught.value.message == (
        "upload: it holds a password, and is written to config.yaml: use the environment variables of its backend"
    )
