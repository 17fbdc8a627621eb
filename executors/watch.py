"""One child watched from outside: hand it a test, wait for its report, kill it where it goes too far.

CPU time is limited per test; the wall-clock backstop max(3 · limit, limit + 2 s) counts wall time minus the time that the child
waited for a CPU, so that verdicts do not depend on the machine's load.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum, auto
from typing import NamedTuple

from contracts.sections import ExecutorsConfig
from executors.child import Files
from executors.measure import cpu_seconds, peak_resident_bytes, queue_seconds, resident_bytes
from executors.worker import Worker, ZygoteDied, memory_file

_POLL_MS = 5
_LONG_SECONDS = 0.02
"""Shorter tests cannot have filled the memory between two looks."""
_LOAD_FACTOR = 10
"""Wall time is never more than this many backstops, whatever the child waited for."""
_SLACK = 65536
"""Bytes of a report beside the returned value."""


class Ended(Enum):
    """How a test, or the compilation before the first one, ended."""

    REPORTED = auto()
    DIED = auto()
    TIMEOUT = auto()
    MEMORY = auto()
    OUTPUT_LIMIT = auto()
    DISALLOWED = auto()
    """A report longer than the child would make."""


_BY_SIGNAL: dict[int, Ended] = {signal.SIGXFSZ: Ended.OUTPUT_LIMIT, signal.SIGXCPU: Ended.TIMEOUT}
"""The kernel's own kills, at the ceilings of executors/confine.py."""


class Ran(NamedTuple):
    """What came of one test, all of it the program's own word but how it ended and its time."""

    ended: Ended
    seconds: float
    report: bytes = b""
    out: bytes = b""
    status: int = 0
    """The child's wait status, where it died."""
    doubtful: bool = False
    """A wall-clock kill that may be the machine's fault: the kernel doesn't say how long the child waited for a CPU."""


class Child:
    """A forked child with one program. Raises ZygoteDied from every method when the zygote is gone."""

    def __init__(self, worker: Worker, config: ExecutorsConfig, job: bytes) -> None:
        self._worker = worker
        self._limit = config.cpu_seconds
        self._memory = config.memory_mb << 20
        self._output = config.output_mb << 20
        self._written = 0
        self._pidfd: int | None = None
        self._lives = False
        self._poll = select.poll()
        self._owned = ExitStack()
        try:
            self._open(job)
        except BaseException:
            self.close()
            raise

    def _open(self, job: bytes) -> None:
        feed = self._own(memory_file("feed"))
        out, err = self._own(memory_file("out", append=True)), self._own(memory_file("err", append=True))
        self._files = Files(feed, out, err, -1)
        _write_all(feed, job)
        self._channel, theirs = socket.socketpair()
        self._owned.enter_context(self._channel)
        self._poll.register(self._channel, select.POLLIN)
        with theirs, _present():
            self.pid = self._worker.fork(theirs, self._files)
            self._lives = True
            if hasattr(os, "pidfd_open"):
                self._pidfd = self._own(os.pidfd_open(self.pid))
                self._poll.register(self._pidfd, select.POLLIN)

    def _own(self, descriptor: int) -> int:
        self._owned.callback(os.close, descriptor)
        return descriptor

    def prepare(self) -> Ran:
        """Wait until the program is compiled."""
        with _present():
            return self._wait(0.0, None)

    def run(self, feed: bytes) -> Ran:
        """Run the program on one test's input."""
        os.ftruncate(self._files.feed, 0)
        _write_all(self._files.feed, feed)
        os.ftruncate(self._files.out, 0)
        with _present():
            before = cpu_seconds(self.pid)
            queued = queue_seconds(self.pid)
            try:
                self._channel.send(b"g")
            except ConnectionError:
                return self._end(Ended.DIED, 0.0)
            return self._wait(before, queued)

    def close(self) -> None:
        """Kill the child, whatever it is doing, and give everything back; again, it does nothing."""
        with self._owned:
            if self._lives:
                self._kill()

    def _wait(self, before: float, queued: float | None) -> Ran:
        """The child's next report, or its end; `before` and `queued` are its CPU and waiting seconds so far."""
        began = time.monotonic()
        frame = bytearray()
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll(_POLL_MS)}
            open_end = self._receive(frame) if self._channel.fileno() in ready or self._pidfd in ready else True
            seconds = cpu_seconds(self.pid) - before
            if seconds > self._limit:
                return self._end(Ended.TIMEOUT, seconds)
            size = 4 + int.from_bytes(frame[:4], "little")
            complete = len(frame) >= 4 and len(frame) >= size
            if len(frame) >= 4 and size > self._output + _SLACK:
                return self._end(Ended.DISALLOWED, seconds)
            if self._has_flooded():
                return self._end(Ended.OUTPUT_LIMIT, seconds)
            if self._is_too_big(seconds, complete):
                return self._end(Ended.MEMORY, seconds)
            if complete:
                return self._reported(bytes(frame[4:size]), seconds)
            if self._pidfd in ready or not open_end:
                return self._end(Ended.DIED, seconds)
            wall = time.monotonic() - began
            if wall > self._backstop:
                now = queue_seconds(self.pid)
                waited = now - (queued or 0.0) if now is not None else 0.0
                if wall - waited > self._backstop or wall > _LOAD_FACTOR * self._backstop:
                    ran = self._end(Ended.TIMEOUT, seconds)
                    return ran._replace(doubtful=now is None and seconds < self._limit / 2)

    @property
    def _backstop(self) -> float:
        return max(3 * self._limit, self._limit + 2.0)

    def _receive(self, frame: bytearray) -> bool:
        """Take what is in the channel; False once the other end is closed."""
        try:
            while chunk := self._channel.recv(1 << 16, socket.MSG_DONTWAIT):
                frame += chunk
                if len(frame) > self._output + _SLACK:
                    return True
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        return False

    def _has_flooded(self) -> bool:
        sizes = os.fstat(self._files.out).st_size + os.fstat(self._files.err).st_size
        return self._written + sizes >= self._output

    def _is_too_big(self, seconds: float, complete: bool) -> bool:
        """Memory now; at a test's end its peak, since that doesn't depend on when one looks."""
        if complete:
            return seconds > _LONG_SECONDS and peak_resident_bytes(self.pid) > self._memory
        return resident_bytes(self.pid) > self._memory

    def _reported(self, report: bytes, seconds: float) -> Ran:
        out = self._out()
        self._written += len(out)
        return Ran(Ended.REPORTED, seconds, report, out)

    def _out(self) -> bytes:
        return os.pread(self._files.out, self._output, 0)

    def _end(self, ended: Ended, seconds: float) -> Ran:
        status = self._kill()
        if ended is Ended.DIED:
            ended = _BY_SIGNAL.get(os.WTERMSIG(status), ended)
        return Ran(ended, seconds, out=self._out(), status=status)

    def _kill(self) -> int:
        """Kill the child and wait for its end. It is a zombie until reaped, so that its id cannot be another's."""
        self._lives = False
        with _present():
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)
        return self._worker.reap()


@contextmanager
def _present() -> Iterator[None]:
    """A child that vanishes unreaped was reaped by another: its zygote is gone."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError) as err:
        raise ZygoteDied from err


def _write_all(descriptor: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written : written + (1 << 30)], written)
