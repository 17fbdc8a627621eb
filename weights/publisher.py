"""Staging on both ends: the learner goes on while weights are sent, the sampler goes on while they arrive.

What is trained travels each time. What is frozen travels with a stage's first publication and is staged only meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from weights.base import Sink, Source
from weights.buckets import Layout, allocate, checksum, scatter_from


class Publication(NamedTuple):
    """What is sent at a time."""

    version: int
    buckets: Sequence[Tensor]
    """Flat, the layout's first ones"""


class Received(NamedTuple):
    """What a sampler knows of a publication that has come."""

    version: int
    checksum: int | None
    """Where one was asked for."""
    size: int
    """Bytes that came."""
    seconds: float
    """From when it was waited for until it was there."""


class Publisher:
    """The learner's staging copy, sent from a thread of its own: a slow sampler never stalls a rank.

    With `hold_back` of k samplers stay k publications behind: the newest k + 1 are kept, in main memory, and the oldest is sent.
    """

    def __init__(self, source: Source, layout: Layout, device: str | torch.device, hold_back: int = 0) -> None:
        self._staging = _Staging(layout, device)
        self._held: deque[Publication] = deque(maxlen=hold_back + 1)
        self._source = source
        self._thread = ThreadPoolExecutor(1, "publisher")
        self._sending: Future[None] | None = None

    def stage(self, buckets: int) -> list[Tensor]:
        """As many buckets, to be filled: the layout's first ones. Waits for the last sending, and raises what that raised."""
        if self._sending is not None:
            self._sending.result()
        return self._staging(buckets)

    def forget(self) -> None:
        """What comes next owes nothing to what was published before: it is sent at once."""
        self._held.clear()

    def due(self, version: int, filled: Sequence[Tensor]) -> Publication:
        """Keep the staging copy, just filled, and put into it what is due for sending."""
        if self._held.maxlen == 1:
            return Publication(version, filled)
        self._held.append(Publication(version, [buffer.to("cpu", copy=True) for buffer in filled]))
        oldest = self._held[0]
        self._held[0] = oldest._replace(buckets=oldest.buckets[: self._staging.trained])  # it may be sent again
        staging = self._staging(len(oldest.buckets))
        for buffer, content in zip(staging, oldest.buckets, strict=True):
            buffer.copy_(content)
        return Publication(oldest.version, staging)

    def send(self, publication: Publication) -> None:
        """Start sending what is due."""
        self._sending = self._thread.submit(self._send, publication)

    def close(self) -> None:
        """Finish the sending and leave the group. Raises what the sending raised."""
        self.stage(0)
        self._thread.shutdown()
        self._source.close()

    def _send(self, publication: Publication) -> None:
        self._source.send(*publication)
        if not self._source.keeps_buckets:
            self._staging.shrink()


class Receiver:
    """A sampler's staging copy: filled in one thread, taken over between batches in another."""

    def __init__(self, sink: Sink, layout: Layout, device: str | torch.device) -> None:
        self._staging = _Staging(layout, device)
        self._layout = layout
        self._sink = sink
        self._lock = threading.Lock()
        self._arrived: int | None = None
        self._buckets = 0

    def receive(self, *, check: bool = False) -> Received:
        """Take the publication that is being sent. `apply` waits for a transfer under way."""
        started = time.perf_counter()
        with self._lock:
            self._arrived = None  # a transfer that breaks off leaves nothing whole to apply
            self._arrived, buckets = self._sink.receive(self._staging)
            self._buckets = max(self._buckets, buckets)
            came, seconds = self._staging(buckets), time.perf_counter() - started
            total = checksum(came) if check else None
            return Received(self._arrived, total, sum(bucket.nbytes for bucket in came), seconds)

    def apply(self, parameters: Mapping[str, Tensor]) -> int | None:
        """Copy what has arrived into a model's parameters; returns its version, None where nothing new has."""
        with self._lock:
            version, self._arrived = self._arrived, None
            if version is not None:
                for buffer, bucket in zip(self._staging(self._buckets), self._layout.buckets, strict=False):
                    scatter_from(buffer, bucket, parameters)
                self._buckets = 0
                self._staging.shrink()
            return version

    def close(self) -> None:
        """Leave the group."""
        self._sink.close()


class _Staging:
    """Flat buffers of a layout's first buckets, as many as are asked for."""

    def __init__(self, layout: Layout, device: str | torch.device) -> None:
        self.trained = layout.trained
        self._layout = layout
        self._device = device
        self._buffers: list[Tensor] = []

    def __call__(self, buckets: int) -> list[Tensor]:
        self._buffers += allocate(self._layout.buckets[len(self._buffers) : buckets], self._device)
        return self._buffers[:buckets]

    def shrink(self) -> None:
        """Keep those of what is trained."""
        del self._buffers[self.trained :]
