"""The log: one JSON object per line, who says it, at which version, and no password in any."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import logs


@pytest.fixture(autouse=True)
def _left_as_it_was() -> Iterator[None]:
    logger = logging.getLogger("rltf")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def _lines(text: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in text.splitlines()]


def test_a_line_says_when_who_at_which_version_and_what(tmp_path: Path) -> None:
    path = tmp_path / logs.FILE
    with logs.to_file(path, "mine", "driver"):
        logs.info("checkpoint", 50, folder="checkpoints/step-000050")
        logs.warning("zygotes were replaced", stage="online", count=2)
    first, second = _lines(path.read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first.pop("time"))
    assert first == {
        "level": "info",
        "run": "mine",
        "role": "driver",
        "version": 50,
        "message": "checkpoint",
        "folder": "checkpoints/step-000050",
    }
    assert (second["level"], second["version"], second["stage"], second["count"]) == ("warning", None, "online", 2)


def test_a_line_is_on_disk_at_once_and_a_resumed_run_appends(tmp_path: Path) -> None:
    path = tmp_path / logs.FILE
    for message in ("begun", "resumed"):
        with logs.to_file(path, "mine", "driver"):
            logs.info(message)
            assert _lines(path.read_text())[-1]["message"] == message
        logs.info("between two runs")
    assert [line["message"] for line in _lines(path.read_text())] == ["begun", "resumed"]


def test_an_error_has_its_traceback_in_its_line(tmp_path: Path) -> None:
    with logs.to_file(tmp_path / logs.FILE, "mine", "driver"):
        try:
            raise ValueError("two\nlines")
        except ValueError as err:
            logs.error("run failed", err)
    (line,) = _lines((tmp_path / logs.FILE).read_text())
    assert line["level"] == "error"
    assert line["traceback"].startswith("Traceback (most recent call last):\n")
    assert line["traceback"].endswith("ValueError: two\nlines")


def test_an_actor_writes_to_stderr_and_first_says_where_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    started = logs.begin_actor("mine", "sampler 0", "10.0.0.3")
    logs.warning("program not judged", problem="apps/1")
    first, second = _lines(capsys.readouterr().err)
    assert (started.actor, started.node, started.gpus) == ("sampler 0", "10.0.0.3", "3")
    assert (first["run"], first["role"], first["message"], first["node"]) == ("mine", "sampler 0", "started", "10.0.0.3")
    assert (first["pid"], first["gpus"]) == (started.pid, "3")
    assert (second["role"], second["problem"]) == ("sampler 0", "apps/1")


def test_where_no_log_was_asked_for_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("rltf").handlers = [logging.NullHandler()]
    logs.warning("program not judged")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("password", ["pw7cret", 'pw7"cret', "pw7\\cret", "pw7@cret", "user:pw7cret"])
def test_passwords_are_never_written(tmp_path: Path, password: str) -> None:
    url = f"redis://:{password}@10.0.0.1:6380/0"
    with logs.to_file(tmp_path / logs.FILE, "mine", "driver"):
        logs.info(f"connected to {url}", url=url, urls=[url, "https://example.org/a@b"])
        try:
            raise ConnectionError(f"no answer from {url}")
        except ConnectionError as err:
            logs.error("run failed", err)
    text = (tmp_path / logs.FILE).read_text()
    assert "pw7" not in text
    assert "cret" not in text
    first, second = _lines(text)
    assert first["url"] == "redis://***@10.0.0.1:6380/0"
    assert first["urls"] == ["redis://***@10.0.0.1:6380/0", "https://example.org/a@b"]
    assert second["traceback"].endswith("ConnectionError: no answer from redis://***@10.0.0.1:6380/0")


def _message(path: Path, message: str) -> Any:
    with logs.to_file(path, "mine", "driver"):
        logs.info(message)
    return _lines(path.read_text())[-1]["message"]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("redis://u:s3 cret@h:1", "redis://***@h:1"),
        ("redis://u:s3/cret@h:1", "redis://***@h:1"),
        ("rediss://:6379/s3@cret@h:1/0", "rediss://***@h:1/0"),
        ("redis://h:1/0?db=1&password=s3cret&x=1", "redis://h:1/0?db=1&password=***&x=1"),
        (
            "https://h/b?X-Amz-Credential=s3cret&X-Amz-Signature=s3cret&x=1",
            "https://h/b?X-Amz-Credential=***&X-Amz-Signature=***&x=1",
        ),
        ("https://h/b?sv=1&sig=s3cret", "https://h/b?sv=1&sig=***"),
        ("https://h/x?X-Api-Token=s3cret now", "https://h/x?X-Api-Token=*** now"),
        ("redis://h:1\nask user@example.org", "redis://h:1\nask user@example.org"),
        ("https://example.org/a@b", "https://example.org/a@b"),
    ],
)
def test_what_stands_for_a_password_however_it_is_written(tmp_path: Path, said: str, written: str) -> None:
    assert _message(tmp_path / logs.FILE, f"from {said}") == f"from {written}"


def test_text_that_is_no_unicode_is_written_with_question_marks(tmp_path: Path) -> None:
    path = tmp_path / logs.FILE
    with logs.to_file(path, "mine", "driver"):
        try:
            raise ValueError("\udcff")
        except ValueError as err:
            logs.error("bad \ud800", err, folder="/x/\udcff", terms=["\udfff", "é"], count=2)
    (line,) = _lines(path.read_text())
    assert (line["message"], line["folder"], line["terms"], line["count"]) == ("bad ?", "/x/?", ["?", "é"], 2)
    assert line["traceback"].endswith("ValueError: ?")
