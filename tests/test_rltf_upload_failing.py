"""The copy of a run folder at places that fail: what is told, logged and measured, what stays, and what is tried again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from contracts import logs
from contracts.errors import RunError, UserError
from rltf.board import Values
from rltf.copies import fetch
from rltf.upload import GONE, Upload
from tests.copying import Url, buffers, checkpoint, contents, round_of, run_folder, steps, unheard, write


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_folder(tmp_path)


@pytest.fixture
def told() -> list[str]:
    return []


class Broken(MemoryFileSystem):
    """Fails so many times, and always for a file of that name."""

    protocol = "broken"
    failures = 0
    failing = ""
    error: OSError = PermissionError("no\nwriting here")

    def put_file(self, *arguments: Any, **options: Any) -> None:
        if Broken.failures or (Broken.failing and str(arguments[1]).endswith(Broken.failing)):
            Broken.failures -= 1
            raise Broken.error
        super().put_file(*arguments, **options)


@pytest.fixture
def broken() -> Iterator[Url]:
    fsspec.register_implementation("broken", Broken, clobber=True)
    Broken.failures, Broken.failing = 0, ""
    yield f"broken://{uuid4()}"
    Broken.failures, Broken.failing = 0, ""


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_paid_for(broken: Url, run: Path, told: list[str]) -> None:
    Broken.failures = 1
    with pytest.raises(UserError) as caught, Upload(broken, run, told.append, unheard) as upload:
        upload.begin()
    assert caught.value.message == f"{broken}/small cannot be written to: PermissionError: no writing here"
    assert told == []


def test_a_checkpoint_whose_copy_fails_is_told_and_made_good_by_the_next(broken: Url, run: Path, told: list[str]) -> None:
    upload = Upload(broken, run, told.append, unheard)
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
    upload = Upload(broken, run, told.append, unheard)
    upload.begin()
    Broken.failures = 1
    write(run, {"metrics.jsonl": "1\n2\n"})
    with pytest.raises(FileNotFoundError, match="no such bucket"):
        round_of(upload)


def test_at_the_end_it_is_tried_three_times_and_then_fails_loudly(broken: Url, run: Path, told: list[str]) -> None:
    pauses: list[float] = []
    with Upload(broken, run, told.append, unheard, pause=pauses.append) as upload:
        upload.begin()
        Broken.failures = 2
        write(run, {"metrics.jsonl": "1\n2\n"})
    assert contents(broken)["metrics.jsonl"] == "1\n2\n"
    assert pauses == [5.0, 5.0]
    again = f"upload to {broken}/small failed, tried again: PermissionError: no writing here"
    assert told == [again, again, f"copy: {broken}/small"]

    with pytest.raises(RunError) as caught:
        _run_whose_last_copy_fails(Upload(broken, run, told.append, unheard, pause=pauses.append), run)
    assert caught.value.message == f"the run is in {run}, and not all of it at {broken}/small: PermissionError: no writing here"
    assert Broken.failures == 6


def test_what_ended_the_run_is_what_is_raised(broken: Url, run: Path, told: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        _run_whose_last_copy_fails(Upload(broken, run, told.append, unheard, pause=unheard), run, KeyboardInterrupt())
    assert told[-1].startswith(f"the run is in {run}, and not all of it at {broken}/small")


def _run_whose_last_copy_fails(upload: Upload, run: Path, end: BaseException | None = None) -> None:
    with upload:
        upload.begin()
        Broken.failures = 9
        write(run, {"metrics.jsonl": "1\n2\n3\n"})
        if end:
            raise end


def test_a_copy_that_is_broken_off_keeps_the_buffer_of_its_state(broken: Url, run: Path, tmp_path: Path) -> None:
    checkpoint(run, 2)
    upload = Upload(broken, run, unheard, unheard)
    upload.begin()
    checkpoint(run, 4)
    write(run, {"redis/appendonly.aof": "commit 4", "zebra": "comes after the buffer"})
    Broken.failing = "zebra"
    with pytest.raises(PermissionError):
        round_of(upload)
    assert steps(broken)[0] == "2"
    assert buffers(broken) == {"step-000002/appendonly.aof": "*", "step-000004/appendonly.aof": "commit 4"}
    fetch(broken, tmp_path / "back" / "small")
    assert (tmp_path / "back" / "small" / "redis" / "appendonly.aof").read_text() == "*"
    assert len(list((tmp_path / "back" / "small" / "redis").iterdir())) == 1


def test_copies_that_fail_are_counted_and_logged_until_one_does_not(broken: Url, run: Path, tmp_path: Path) -> None:
    posted: list[Values] = []
    log = tmp_path / "log.jsonl"
    with logs.to_file(log, "small-1", "driver"), Upload(broken, run, unheard, posted.append, pause=unheard) as upload:
        upload.begin()
        Broken.failures = 3
        write(run, {"metrics.jsonl": "1\n2\n"})
        for _ in range(2):
            with pytest.raises(PermissionError):
                round_of(upload)
    assert posted == [{"copies_failed": failed} for failed in (0, 1, 2, 3, 0)]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    error = {"url": f"{broken}/small", "error": "PermissionError: no writing here"}
    assert [(line["level"], line["message"], line["url"], line["error"]) for line in lines] == [
        ("warning", "a copy to upload failed", *error.values())
    ] * 2


def test_a_copy_whose_checkpoint_made_way_has_failed_too(broken: Url, run: Path, told: list[str]) -> None:
    posted: list[Values] = []
    checkpoint(run, 2)
    upload = Upload(broken, run, told.append, posted.append)
    upload.begin()
    checkpoint(run, 4, without=4)
    round_of(upload)
    assert posted == [{"copies_failed": failed} for failed in (0, 1)]
    upload.in_background()
    assert told == [f"upload to {broken}/small failed, the next checkpoint tries again: {GONE}"]


@pytest.mark.parametrize(
    ("lasts", "remedy"),
    [
        (True, "Copy it from there, or mend the cause and go on with --resume"),
        (False, "That folder goes with the job: mend the cause, then --resume goes on from what is at the URL"),
    ],
)
def test_what_goes_with_its_job_is_not_to_be_copied_from_there(broken: Url, run: Path, remedy: str, *, lasts: bool) -> None:
    with pytest.raises(RunError) as caught:
        _run_whose_last_copy_fails(Upload(broken, run, unheard, unheard, lasts=lasts, pause=unheard), run)
    assert caught.value.remedy == remedy
