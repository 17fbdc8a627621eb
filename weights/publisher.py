"""Staging on both ends: the learner goes on while weights are sent, the sampler goes on while they arrive."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from weights.base import Sink, Source
from weights.buckets import Layout, allocate, checksum, scatter_from


class Publisher:
    """The learner's staging copy, sent from a thread of its own: a slow sampler never stalls a rank.

    With `hold_back` of k samplers stay k publications behind: the newest k + 1 are kept, in main memory, and the oldest is sent.
    """

    def __init__(self, source: Source, layout: Layout, device: str | torch.device, hold_back: int = 0) -> None:
        self.staging = allocate(layout, device)
        self._held: deque[tuple[int, list[Tensor]]] = deque(maxlen=hold_back + 1)
        self._source = source
        self._thread = ThreadPoolExecutor(1, "publisher")
        self._sending: Future[None] | None = None

    def wait(self) -> None:
        """Return when the staging copy may be overwritten. Raises what the last sending raised."""
        if self._sending is not None:
            self._sending.result()

    def forget(self) -> None:
        """What comes next owes nothing to what was published before: it is sent at once."""
        self._held.clear()

    def hold(self, version: int) -> int:
        """Keep the staging copy, just filled, and put into it what is due for sending; returns the version of that."""
        if self._held.maxlen == 1:
            return version
        self._held.append((version, [buffer.to("cpu", copy=True) for buffer in self.staging]))
        oldest, kept = self._held[0]
        for buffer, content in zip(self.staging, kept, strict=True):
            buffer.copy_(content)
        return oldest

    def send(self, version: int) -> None:
        """Start sending the staging copy."""
        self._sending = self._thread.submit(self._source.send, version, self.staging)

    def close(self) -> None:
        """Finish the sending and leave the group."""
        self.wait()
        self._thread.shutdown()
        self._source.close()


class Receiver:
    """A sampler's staging copy: filled in one thread, taken over between batches in another."""

    def __init__(self, sink: Sink, layout: Layout, device: str | torch.device) -> None:
        self._staging = allocate(layout, device)
        self._layout = layout
        self._sink = sink
        self._lock = threading.Lock()
        self._arrived: int | None = None

    def receive(self) -> int:
        """Take the publication that is being sent; returns its version. `apply` waits for a transfer under way."""
        with self._lock:
            self._arrived = None  # a transfer that breaks off leaves nothing whole to apply
            self._arrived = self._sink.receive(self._staging)
            return self._arrived

    def apply(self, parameters: Mapping[str, Tensor]) -> int | None:
        """Copy what has arrived into a model's parameters; returns its version, None where nothing new has."""
        with self._lock:
            version, self._arrived = self._arrived, None
            if version is not None:
                for buffer, bucket in zip(self._staging, self._layout.buckets, strict=True):
                    scatter_from(buffer, bucket, parameters)
            return version

    def checksum(self) -> int:
        """Of the staging copy."""
        return checksum(self._staging)

    def close(self) -> None:
        """Leave the group."""
        self._sink.close()
