"""One child watched from outside: hand it work, wait until it has done it, kill it where it goes too far.

CPU time is limited per test; the wall-clock backstop max(3 · limit, limit + 2 s) counts wall time minus the time that the child
waited for a CPU, so that verdicts do not depend on the machine's load. A test's time starts when the report of the one before it
is complete. A child that makes reports up has no more time for that than all its tests together would have had.
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
_LOOKS = 4
"""Looks in a row at a process without a main thread before it is taken for one."""
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
    DISALLOWED = auto()
    """It played with the channel, the reports or its main thread."""


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


class Mark(NamedTuple):
    """Where a test's time starts."""

    cpu: float
    """The child's CPU seconds."""
    wall: float
    """On the monotonic clock."""
    queued: float | None
    """What its threads had waited for a CPU; None where the kernel doesn't say."""


class Ran(NamedTuple):
    """What came of some work, all of it the program's own word but how it ended and the time."""

    ended: Ended
    reports: list[bytes]
    """Complete ones, since the last time."""
    out: bytes
    """All of stdout."""
    seconds: float
    """CPU time since the last report that was seen, or since the test began."""
    mark: Mark
    """Where that was."""
    status: int = 0
    """The child's wait status, where it died."""
    doubtful: bool = False
    """A wall-clock kill that may be the machine's fault: the kernel doesn't say how long the child waited for a CPU."""


class Child:
    """A forked child that has begun with its job, and will make so many reports before it is asked for anything.

    Raises ZygoteDied from every method when the zygote is gone.
    """

    def __init__(self, worker: Worker, bounds: Bounds, job: bytes, reports: int = 1) -> None:
        self._worker = worker
        self._bounds = bounds
        self._read = 0
        self._counted = 0
        self._seen = 0
        self._expected = reports
        self._looked_dead = 0
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
            ceilings = Ceilings(self._bounds.all_cpu_seconds, coarse(max(self._bounds.output + _SLACK, len(job))))
            self._pidfd = self._own(self._worker.fork(descriptors, ceilings))
        self._lives = True
        with _present():
            self.pid = process_of(self._pidfd)
        self._poll.register(self._channel, select.POLLIN)
        self._poll.register(self._pidfd, select.POLLIN)

    def _own(self, descriptor: int) -> int:
        self._owned.callback(os.close, descriptor)
        return descriptor

    def wait(self, until: int | None = None) -> Ran:
        """Wait until the child says that it is done, or has made so many reports."""
        with _present():
            return self._wait(Mark(0.0, time.monotonic(), 0.0), until)

    def ask(self, request: bytes, mark: Mark | None = None) -> Ran:
        """Put a request into the feed, tell the child, and wait; the test that it is part of began at `mark`, or begins now."""
        with _present():
            _write(self._feed, request)
            mark = mark or self._mark()
            try:
                self._channel.send(b".", socket.MSG_DONTWAIT)
            except OSError as err:
                return self._end(Ended.DIED if isinstance(err, ConnectionError) else Ended.DISALLOWED, mark)
            return self._wait(mark, None)

    def close(self) -> None:
        """Kill the child, whatever it is doing, and give everything back; again, it does nothing."""
        with self._owned:
            if self._lives:
                self._kill()
                self._worker.forget()

    def _mark(self) -> Mark:
        return Mark(cpu_seconds(self.pid), time.monotonic(), queue_seconds(self.pid))

    def _wait(self, mark: Mark, until: int | None) -> Ran:
        """Until a byte, the end, a limit, or so many reports."""
        look_at = self._bounds.wall_seconds
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll(_POLL_MS)}
            done = self._channel.fileno() in ready and self._hear()
            ended = self._pidfd in ready
            now = cpu_seconds(self.pid)
            if not done and self._count_reports() and self._seen <= self._expected:
                mark, look_at = Mark(now, time.monotonic(), queue_seconds(self.pid)), self._bounds.wall_seconds
            if self._is_too_big(now, done):  # before time: making pages takes more of it on a busy machine
                return self._end(Ended.MEMORY, mark)
            if now - mark.cpu > self._bounds.cpu_seconds and not done:
                return self._end(Ended.TIMEOUT, mark)
            if self._has_flooded():
                return self._end(Ended.OUTPUT_LIMIT, mark)
            if done or (until is not None and self._seen >= until):
                return Ran(Ended.REPORTED, self._new_reports(), self._printed(), now - mark.cpu, mark)
            if ended:
                return self._end(Ended.DIED, mark)
            if self._has_no_main_thread():
                return self._end(Ended.DISALLOWED, mark)
            if time.monotonic() - mark.wall > look_at:
                look_at += self._bounds.wall_seconds / 10
                if (ran := self._overdue(mark, now)) is not None:
                    return ran

    def _overdue(self, mark: Mark, now: float) -> Ran | None:
        """The end of a test that has had its wall time, not counting what it waited for a CPU."""
        limit, wall, waiting = self._bounds.wall_seconds, time.monotonic() - mark.wall, queue_seconds(self.pid)
        waited = waiting - (mark.queued or 0.0) if waiting is not None else 0.0
        if wall - waited <= limit and wall <= _LOAD_FACTOR * limit:
            return None
        doubtful = waiting is None and now - mark.cpu < self._bounds.cpu_seconds / 2
        return self._end(Ended.TIMEOUT, mark)._replace(doubtful=doubtful)

    def _hear(self) -> bool:
        """Take the child's bytes; False where its end is closed, which is no longer looked at."""
        try:
            if self._channel.recv(4096):
                return True
        except ConnectionError:
            pass
        self._poll.unregister(self._channel)
        return False

    def _count_reports(self) -> bool:
        """Is there a complete report that was not seen before?"""
        size, before = os.fstat(self._reports).st_size, self._seen
        while self._counted + 4 <= size:
            end = self._counted + 4 + int.from_bytes(os.pread(self._reports, 4, self._counted), "little")
            if end > size or self._seen > self._expected:
                break
            self._counted, self._seen = end, self._seen + 1
        return self._seen > before

    def _has_no_main_thread(self) -> bool:
        """Is nothing resident although other threads live? A process that is ending looks like that too, but not for long."""
        looks_dead = resident_bytes(self.pid) == 0 and threads(self.pid) > 1
        self._looked_dead = self._looked_dead + 1 if looks_dead else 0
        return self._looked_dead >= _LOOKS

    def _has_flooded(self) -> bool:
        sizes = os.fstat(self._out).st_size + os.fstat(self._err).st_size
        return sizes >= self._bounds.output or os.fstat(self._reports).st_size >= self._bounds.output + _SLACK

    def _is_too_big(self, seconds: float, done: bool) -> bool:
        """Memory now; when the work is done its peak, since that doesn't depend on when one looks."""
        if done:
            peak = peak_resident_bytes(self.pid) if seconds > _LONG_SECONDS else 1
            return not 0 < peak <= self._bounds.memory
        return resident_bytes(self.pid) > self._bounds.memory or threads(self.pid) > _MOST_THREADS

    def _new_reports(self) -> list[bytes]:
        """Complete reports that were not read before."""
        content = os.pread(self._reports, max(0, os.fstat(self._reports).st_size - self._read), self._read)
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

    def _end(self, ended: Ended, mark: Mark) -> Ran:
        seconds = cpu_seconds(self.pid) - mark.cpu
        self._kill()
        status = self._worker.reap()
        if ended is Ended.DIED:
            ended = _BY_SIGNAL.get(os.WTERMSIG(status), ended)
        return Ran(ended, self._new_reports(), self._printed(), seconds, mark, status)

    def _kill(self) -> None:
        """It is a zombie until the zygote reaps it, so that its id cannot be another's."""
        self._lives = False
        with _present():
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


_FILES = ("feed", "reports", "given", "out", "err")


def coarse(size: int) -> int:
    """The next power of two: what a child may know of a number that its tests' answers have a part in."""
    return 1 << (size - 1).bit_length()


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
