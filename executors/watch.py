"""One child watched from outside: hand it work, wait until it has done it, kill it where it goes too far.

CPU time is limited per test; the wall-clock backstop max(3 · limit, limit + 2 s) counts wall time minus the time that the child
waited for a CPU, so that verdicts do not depend on the machine's load. A test's time starts when the report of the one before it
is seen; a child that makes up reports only ends its own program sooner.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum, auto
from typing import NamedTuple

from executors.confine import Ceilings
from executors.measure import cpu_seconds, peak_resident_bytes, process_of, queue_seconds, resident_bytes, threads
from executors.worker import Worker, ZygoteDied

_POLL_MS = 5
_LONG_SECONDS = 0.02
"""Shorter lives cannot have filled the memory between two looks."""
_MOST_THREADS = 256
"""A thread takes memory of the kernel's that is not resident in the process."""
_LOAD_FACTOR = 10
"""Wall time is never more than this many backstops, whatever the child waited for."""
_SLACK = 65536
"""Bytes of reports beside returned values."""


class Ended(Enum):
    """How a child's work, or its share of it, ended."""

    REPORTED = auto()
    DIED = auto()
    TIMEOUT = auto()
    MEMORY = auto()
    OUTPUT_LIMIT = auto()


_BY_SIGNAL: dict[int, Ended] = {signal.SIGXFSZ: Ended.OUTPUT_LIMIT, signal.SIGXCPU: Ended.TIMEOUT}
"""The kernel's own kills, at the ceilings of executors/confine.py."""


class Bounds(NamedTuple):
    """How far a child may go."""

    cpu_seconds: float
    """Per test."""
    memory: int
    """Bytes resident."""
    output: int
    """Bytes of stdout and stderr, and of returned values, in all tests together."""
    all_cpu_seconds: int = 60
    """All tests together, compilation included."""

    @property
    def wall_seconds(self) -> float:
        """The backstop."""
        return max(3 * self.cpu_seconds, self.cpu_seconds + 2.0)


class Ran(NamedTuple):
    """What came of some work, all of it the program's own word but how it ended and the time."""

    ended: Ended
    reports: list[bytes]
    """Complete ones, since the last time."""
    out: bytes
    """All of stdout."""
    seconds: float
    """CPU time since the last report that was seen, or since the work was handed out."""
    status: int = 0
    """The child's wait status, where it died."""
    doubtful: bool = False
    """A wall-clock kill that may be the machine's fault: the kernel doesn't say how long the child waited for a CPU."""


class Child:
    """A forked child that has begun with its job. Raises ZygoteDied from every method when the zygote is gone."""

    def __init__(self, worker: Worker, bounds: Bounds, job: bytes) -> None:
        self._worker = worker
        self._bounds = bounds
        self._read = 0
        self._lives = False
        self._poll = select.poll()
        self._owned = ExitStack()
        try:
            self._open(job)
        except BaseException:
            self.close()
            raise

    def _open(self, job: bytes) -> None:
        self._channel, theirs = socket.socketpair()
        self._owned.enter_context(self._channel)
        with theirs:
            self._feed, self._reports, given, self._out, self._err = (self._own(os.memfd_create(name)) for name in _FILES)
            for descriptor in (self._out, self._err, self._reports):
                _append_only(descriptor)
            _write(self._feed, job)
            descriptors = [theirs.fileno(), self._feed, self._reports, given, self._out, self._err]
            ceilings = Ceilings(self._bounds.all_cpu_seconds, max(self._bounds.output + _SLACK, len(job)))
            self._pidfd = self._own(self._worker.fork(descriptors, ceilings))
        self._lives = True
        with _present():
            self.pid = process_of(self._pidfd)
        self._poll.register(self._channel, select.POLLIN)
        self._poll.register(self._pidfd, select.POLLIN)

    def _own(self, descriptor: int) -> int:
        self._owned.callback(os.close, descriptor)
        return descriptor

    def wait(self, spent: float = 0.0) -> Ran:
        """Wait until the child says that it is done; `spent` seconds of its test's time are gone already."""
        with _present():
            return self._wait(cpu_seconds(self.pid) - spent if self._read else -spent)

    def ask(self, request: bytes, spent: float = 0.0) -> Ran:
        """Put a request into the feed, tell the child, and wait."""
        _write(self._feed, request)
        with _present():
            since = cpu_seconds(self.pid) - spent
            try:
                self._channel.send(b".")
            except ConnectionError:
                return self._end(Ended.DIED, spent)
            return self._wait(since)

    def close(self) -> None:
        """Kill the child, whatever it is doing, and give everything back; again, it does nothing."""
        with self._owned:
            if self._lives:
                self._kill()
                self._worker.forget()

    def _wait(self, since: float) -> Ran:
        """Until a byte, the end, or a limit; `since` is where the current test's CPU time starts."""
        began = time.monotonic()
        queued: float | None = None
        size = os.fstat(self._reports).st_size
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll(_POLL_MS)}
            done = self._channel.fileno() in ready and self._hears()
            now = cpu_seconds(self.pid)
            if not done and (grown := os.fstat(self._reports).st_size) != size:
                size, since, began, queued = grown, now, time.monotonic(), queue_seconds(self.pid)
            seconds = now - since
            if seconds > self._bounds.cpu_seconds and not done:
                return self._end(Ended.TIMEOUT, seconds)
            if self._has_flooded():
                return self._end(Ended.OUTPUT_LIMIT, seconds)
            if self._is_too_big(now, done):
                return self._end(Ended.MEMORY, seconds)
            if done:
                return Ran(Ended.REPORTED, self._new_reports(), self._printed(), seconds)
            if self._pidfd in ready:
                return self._end(Ended.DIED, seconds)
            wall = time.monotonic() - began
            if wall > self._bounds.wall_seconds:
                waiting = queue_seconds(self.pid)
                waited = waiting - (queued or 0.0) if waiting is not None else 0.0
                if wall - waited > self._bounds.wall_seconds or wall > _LOAD_FACTOR * self._bounds.wall_seconds:
                    ran = self._end(Ended.TIMEOUT, seconds)
                    return ran._replace(doubtful=waiting is None and seconds < self._bounds.cpu_seconds / 2)

    def _hears(self) -> bool:
        """Take the child's bytes; False where its end is closed."""
        try:
            return self._channel.recv(4096) != b""
        except ConnectionError:
            return False

    def _has_flooded(self) -> bool:
        sizes = os.fstat(self._out).st_size + os.fstat(self._err).st_size
        return sizes >= self._bounds.output or os.fstat(self._reports).st_size >= self._bounds.output + _SLACK

    def _is_too_big(self, seconds: float, done: bool) -> bool:
        """Memory now; when the work is done its peak, since that doesn't depend on when one looks."""
        if done:
            return seconds > _LONG_SECONDS and peak_resident_bytes(self.pid) > self._bounds.memory
        return resident_bytes(self.pid) > self._bounds.memory or threads(self.pid) > _MOST_THREADS

    def _new_reports(self) -> list[bytes]:
        """Complete reports that were not read before."""
        content = os.pread(self._reports, os.fstat(self._reports).st_size - self._read, self._read)
        reports, start = [], 0
        while start + 4 <= len(content):
            end = start + 4 + int.from_bytes(content[start : start + 4], "little")
            if end > len(content):
                break
            reports.append(content[start + 4 : end])
            start = end
        self._read += start
        return reports

    def _printed(self) -> bytes:
        return os.pread(self._out, min(os.fstat(self._out).st_size, self._bounds.output), 0)

    def _end(self, ended: Ended, seconds: float) -> Ran:
        self._kill()
        status = self._worker.reap()
        if ended is Ended.DIED:
            ended = _BY_SIGNAL.get(os.WTERMSIG(status), ended)
        return Ran(ended, self._new_reports(), self._printed(), seconds, status)

    def _kill(self) -> None:
        """It is a zombie until the zygote reaps it, so that its id cannot be another's."""
        self._lives = False
        with _present():
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


_FILES = ("feed", "reports", "given", "out", "err")


@contextmanager
def _present() -> Iterator[None]:
    """A child that vanishes unreaped was reaped by another: its zygote is gone."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError) as err:
        raise ZygoteDied from err


def _append_only(descriptor: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)


def _write(descriptor: int, content: bytes) -> None:
    """Make a file's content this."""
    os.ftruncate(descriptor, 0)
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written : written + (1 << 30)], written)
