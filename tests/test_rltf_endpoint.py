"""Where a run is scraped, how Prometheus finds it, and that the last values are read."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.errors import UserError
from contracts.sections import MonitorConfig
from rltf.board import Board
from rltf.endpoint import Endpoint, check_targets
from rltf.scrapes import SENT_BY_PROMETHEUS, Scrapes
from tests.scraping import read, scrape, series

# -- where it listens


def test_unset_takes_any_free_port_of_this_machine() -> None:
    first, second = (Endpoint(Board("run"), MonitorConfig()) for _ in range(2))
    try:
        hosts, ports = zip(*(endpoint.address.split(":") for endpoint in (first, second)), strict=True)
        assert set(hosts) == {"127.0.0.1"}
        assert len(set(ports)) == 2
        assert scrape(first.address) == ""
    finally:
        first.close()
        second.close()


def test_close_frees_the_port_and_ends_the_thread() -> None:
    before = threading.active_count()
    endpoint = Endpoint(Board("run"), MonitorConfig())
    port = int(endpoint.address.split(":")[1])
    endpoint.close()
    again = Endpoint(Board("run"), MonitorConfig(prometheus_port=port))
    assert again.address == f"127.0.0.1:{port}"
    again.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("config", "host", "shown"),
    [
        (MonitorConfig(), "127.0.0.2", "127.0.0.2"),
        (MonitorConfig(prometheus_host="127.0.0.3"), "127.0.0.2", "127.0.0.3"),
        (MonitorConfig(prometheus_host="0.0.0.0"), "127.0.0.2", "127.0.0.2"),
        (MonitorConfig(prometheus_host="::1"), "127.0.0.1", "[::1]"),
    ],
)
def test_the_address_that_others_are_told(config: MonitorConfig, host: str, shown: str) -> None:
    endpoint = Endpoint(Board("run"), config, host)
    try:
        assert endpoint.address.rpartition(":")[0] == shown
        assert scrape(endpoint.address) == ""
    finally:
        endpoint.close()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        Endpoint(Board("run"), MonitorConfig(prometheus_host="203.0.113.7"))
    assert caught.value.message == (
        "monitor.prometheus_host=203.0.113.7: cannot listen on 203.0.113.7:0 (Cannot assign requested address)"
    )


def test_a_port_in_use() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(UserError) as caught:
            Endpoint(Board("run"), MonitorConfig(prometheus_port=port))
    assert caught.value.message == (f"monitor.prometheus_port={port}: cannot listen on 127.0.0.1:{port} (Address already in use)")
    assert caught.value.remedy == (
        "Set monitor.prometheus_port to a free port, unset it for any free one, or set it to 0 for no endpoint"
    )


# -- how Prometheus finds it


def test_the_target_file_is_there_while_the_endpoint_is(tmp_path: Path) -> None:
    target = tmp_path / "shared" / "targets" / "mine.json"
    endpoint = Endpoint(Board("mine"), MonitorConfig())
    endpoint.announce(target)
    try:
        assert json.loads(target.read_text()) == [{"targets": [endpoint.address], "labels": {}}]
        assert [file.name for file in target.parent.iterdir()] == ["mine.json"]
    finally:
        endpoint.close()
    assert list(target.parent.iterdir()) == []


def test_a_target_file_that_is_another_endpoints_by_now_stays(tmp_path: Path) -> None:
    target = tmp_path / "mine.json"
    first, second = (Endpoint(Board("mine"), MonitorConfig()) for _ in range(2))
    first.announce(target)
    second.announce(target)
    first.close()
    try:
        assert json.loads(target.read_text()) == [{"targets": [second.address], "labels": {}}]
    finally:
        second.close()
    assert not target.exists()


def test_what_failed_runs_have_left_for_the_same_address_goes(tmp_path: Path) -> None:
    """Prometheus would take the new run for the old one, and read it twice."""
    endpoint = Endpoint(Board("new"), MonitorConfig())
    try:
        (tmp_path / "failed.json").write_bytes(msgspec.json.encode([{"targets": [endpoint.address], "labels": {}}]))
        (tmp_path / "other.json").write_bytes(msgspec.json.encode([{"targets": ["127.0.0.1:1"], "labels": {}}]))
        endpoint.announce(tmp_path / "new.json")
        assert sorted(file.name for file in tmp_path.iterdir()) == ["new.json", "other.json"]
    finally:
        endpoint.close()


def test_closing_does_not_mind_a_target_file_that_is_gone(tmp_path: Path) -> None:
    endpoint = Endpoint(Board("mine"), MonitorConfig())
    endpoint.announce(tmp_path / "mine.json")
    (tmp_path / "mine.json").unlink()
    endpoint.close()
    assert list(tmp_path.iterdir()) == []


REMEDY = "Set monitor.targets to another folder, or monitor.prometheus_port=0 for no endpoint"


def test_a_place_for_target_files_that_is_none(tmp_path: Path) -> None:
    check_targets(tmp_path / "not" / "yet")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError) as caught:
        check_targets(tmp_path / "file" / "targets")
    assert caught.value.message == (
        f"no file for Prometheus can be written into {tmp_path / 'file' / 'targets'}: {tmp_path / 'file'} is no folder"
    )
    assert caught.value.remedy == REMEDY


def test_a_place_for_target_files_that_is_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / ".prometheus"
    theirs.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != theirs or not mode & os.W_OK)
    with pytest.raises(UserError) as caught:
        check_targets(theirs)
    assert str(caught.value) == f"no file for Prometheus can be written into {theirs}: {theirs} cannot be written to. {REMEDY}"


# -- whether the last values are read


class _Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class _Watched:
    """Scrapes of an application that answers "ok", at times that the test says."""

    def __init__(self) -> None:
        self.posts = 1
        self.clock = _Clock()
        self.scrapes = Scrapes(lambda: self.posts, self.clock)
        self._app = self.scrapes.watched(lambda _environ, _start: [b"ok"])

    def read(self, at: float) -> None:
        self.clock.now = at
        assert list(self._answer()) == [b"ok"]

    def _answer(self, **environ: str) -> Iterable[bytes]:
        scrape = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", SENT_BY_PROMETHEUS: "10"}
        return self._app({**scrape, **environ}, lambda *_: None)

    def patience(self, at: float) -> float:
        self.clock.now = at
        return self.scrapes.patience


def test_nobody_is_waited_for_who_has_not_scraped_twice() -> None:
    watched = _Watched()
    assert watched.patience(0) == 0
    watched.read(10)
    watched.posts += 1
    assert watched.patience(11) == 0


def test_the_wait_is_for_one_and_a_half_intervals_after_the_last_scrape() -> None:
    watched = _Watched()
    watched.read(10)
    watched.read(15)
    watched.posts += 1
    assert watched.patience(16) == pytest.approx(6.5)
    assert watched.patience(22) == pytest.approx(0.5)
    assert watched.patience(23) == 0, "whoever scraped has gone"


def test_the_wait_has_an_end() -> None:
    watched = _Watched()
    watched.read(100)
    watched.read(160)
    watched.posts += 1
    assert watched.patience(161) == 30


def test_a_second_reader_in_between_does_not_shorten_it() -> None:
    watched = _Watched()
    for at in (0, 10, 20, 20.1):
        watched.read(at)
    watched.posts += 1
    assert watched.patience(21) == pytest.approx(20.1 + 15 - 21)


def test_what_has_been_read_is_not_waited_for() -> None:
    watched = _Watched()
    watched.read(10)
    watched.read(15)
    assert watched.patience(16) == 0
    assert watched.scrapes.wait(1000)


def test_a_scrape_that_began_before_the_last_post_does_not_count() -> None:
    watched = _Watched()
    watched.read(10)
    watched.clock.now = 15
    slow = iter(watched._answer())
    assert next(slow) == b"ok"
    watched.posts += 1
    assert list(slow) == []
    assert watched.patience(16) == pytest.approx(6.5)
    assert not watched.scrapes.wait(0)


def _endpoint(board: Board) -> Endpoint:
    endpoint = Endpoint(board, MonitorConfig())
    for _ in range(2):
        scrape(endpoint.address)
    return endpoint


@pytest.mark.parametrize("request_", [{"path": "/favicon.ico"}, {"path": "/"}, {}], ids=["a browser's icon", "a browser", "curl"])
def test_nobody_is_waited_for_who_is_not_prometheus(request_: dict[str, str]) -> None:
    board = Board("mine")
    endpoint = Endpoint(board, MonitorConfig())
    for _ in range(3):
        read(endpoint.address, **request_)
    board.post({"step": 1})
    patience = endpoint._scrapes.patience
    endpoint.close()
    assert patience == 0


@pytest.mark.parametrize("path", ["/favicon.ico", "/"])
def test_what_else_prometheus_reads_are_not_the_last_values(path: str) -> None:
    watched = _Watched()
    watched.read(10)
    watched.read(15)
    watched.posts += 1
    list(watched._answer(PATH_INFO=path))
    list(watched._answer(REQUEST_METHOD="POST"))
    assert watched.patience(16) == pytest.approx(6.5)


def test_the_last_values_are_read_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real scraper comes when the wait has been announced, and gets what was posted last."""
    board, read = Board("mine"), []
    endpoint = _endpoint(board)
    monkeypatch.setattr(Scrapes, "patience", property(lambda _: 60.0))
    board.post({"step": 7})
    scraper = threading.Thread(target=lambda: read.append(scrape(endpoint.address)))
    try:
        endpoint.wait_for_last_scrape(lambda _: scraper.start())
    finally:
        endpoint.close()
    scraper.join()
    assert series(read[0], "mine") == {("rltf_step",): 7}


def test_the_wait_is_told_and_ends_with_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    endpoint = _endpoint(Board("mine"))

    def interrupted(*_: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Scrapes, "patience", property(lambda _: 7.5))
    monkeypatch.setattr(Scrapes, "wait", interrupted)
    endpoint.wait_for_last_scrape(told.append)
    endpoint.close()
    assert told == ["waiting for Prometheus to read the last values: at most 8 s"]


def test_where_nobody_scrapes_nothing_is_told_and_nobody_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board("mine")
    board.post({"step": 1})
    endpoint = Endpoint(board, MonitorConfig())
    heard: list[object] = []
    monkeypatch.setattr(Scrapes, "wait", lambda *arguments: heard.append(arguments))
    endpoint.wait_for_last_scrape(heard.append)
    endpoint.close()
    assert heard == []
