"""The two ends of a transport. A message is: the version, then the flat buckets of one layout, in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor


class Source(ABC):
    """The learner's end, on rank 0."""

    @abstractmethod
    def send(self, version: int, buckets: Sequence[Tensor]) -> None:
        """Send one publication to all samplers; returns when they have it. The buckets must not change meanwhile."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group."""


class Sink(ABC):
    """A sampler's end."""

    @abstractmethod
    def receive(self, buckets: Sequence[Tensor]) -> int:
        """Wait for the next publication, fill the buckets with it and return its version."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group."""
