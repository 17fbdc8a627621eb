"""The boring transport: source and sink in one process, publications in a queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from torch import Tensor

from weights.base import Arrival, Sink, Source, Staging


class MemoryTransport(Source, Sink):
    """Both ends at once."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, list[Tensor]]] = deque()

    def send(self, version: int, buckets: Sequence[Tensor]) -> None:
        self._sent.append((version, [bucket.clone() for bucket in buckets]))

    def receive(self, staging: Staging) -> Arrival:
        version, sent = self._sent.popleft()
        for bucket, content in zip(staging(len(sent)), sent, strict=True):
            bucket.copy_(content)
        return Arrival(version, len(sent))

    def close(self) -> None:
        self._sent.clear()
