"""The address at which Prometheus scrapes a run, and the file by which it finds it.

OUTPUT/.prometheus/RUN.json names the endpoint of each run below OUTPUT that goes on, for Prometheus' file_sd_configs. RUN is the
run's name and a word of its own. The file stays where a run fails or is killed, so that its target is seen to be down.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, start_http_server

from contracts.errors import UserError
from contracts.files import write_in_one_move
from contracts.sections import MonitorConfig
from rltf.board import Board
from rltf.host import LOOPBACK
from rltf.scrapes import Scrapes


def check_targets(folder: Path) -> None:
    """Raises UserError where runs cannot leave their targets' files in a folder, which need not be there yet."""
    nearest = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        why = f"{nearest} cannot be written to" if nearest.is_dir() else f"{nearest} is no folder"
        raise UserError(
            f"no file for Prometheus can be written into {folder}: {why}",
            "Set monitor.targets to another folder, or monitor.prometheus_port=0 for no endpoint",
        )


class Endpoint:
    """Serves a board over HTTP in a thread of its own. Raises UserError where it cannot listen."""

    def __init__(self, board: Board, config: MonitorConfig, host: str = LOOPBACK) -> None:
        """`host` is where it listens unless the config says so, and what others are told where it listens everywhere."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(board)
        bound, port = config.prometheus_host or host, config.prometheus_port or 0
        try:
            self._server, self._thread = start_http_server(port, bound, registry)
        except OSError as err:
            raise _refused(bound, port, err) from err
        self._scrapes = Scrapes(lambda: board.posts)
        self._server.set_app(self._scrapes.watched(self._server.get_app()))  # type: ignore[arg-type]
        self._target: Path | None = None
        self.address = f"{_shown(host if _is_everywhere(bound) else bound)}:{self._server.server_port}"

    def announce(self, target: Path) -> None:
        """Write the file that tells Prometheus. What others have left there for the same address goes: it is this run's now."""
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob("*.json"):
            with suppress(FileNotFoundError):  # a run that ends takes its own away
                if left.read_bytes() == self._told:
                    left.unlink()
        write_in_one_move(target, self._told)
        self._target = target

    @property
    def _told(self) -> bytes:
        return msgspec.json.encode([{"targets": [self.address], "labels": {}}])

    def wait_for_last_scrape(self, note: Callable[[str], None]) -> None:
        """Give whoever scrapes in a rhythm the time to read the last values; Ctrl-C ends the wait, and nothing else."""
        if patience := self._scrapes.patience:
            note(f"waiting for Prometheus to read the last values: at most {patience:.0f} s")
            with suppress(KeyboardInterrupt):
                self._scrapes.wait(patience)

    def close(self, *, failed: bool = False) -> None:
        """End the thread and free the port; take the target's file away, unless it is another's by then or the run has failed."""
        with suppress(FileNotFoundError):
            if self._target and not failed and self._target.read_bytes() == self._told:
                self._target.unlink()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _refused(host: str, port: int, err: OSError) -> UserError:
    reason = f"cannot listen on {_shown(host)}:{port} ({err.strerror})"
    if port:
        remedy = "Set monitor.prometheus_port to a free port, unset it for any free one, or set it to 0 for no endpoint"
        return UserError(f"monitor.prometheus_port={port}: {reason}", remedy)
    return UserError(f"monitor.prometheus_host={host}: {reason}", "Set monitor.prometheus_host to an address of this machine")


def _is_everywhere(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_unspecified
    return False


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
