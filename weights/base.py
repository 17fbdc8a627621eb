"""The two ends of a transport. A message is: the version, a number, and so many of a layout's flat buckets, the first ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

Staging = Callable[[int], Sequence[Tensor]]
"""How many buckets come → where they go."""


class Arrival(NamedTuple):
    """A publication that has come."""

    version: int
    buckets: int
    """How many of the layout's"""


class Source(ABC):
    """The learner's end, on rank 0."""

    keeps_buckets = False
    """Do samplers go on using the memory of buckets that were sent?"""

    @abstractmethod
    def send(self, version: int, buckets: Sequence[Tensor]) -> None:
        """Send one publication to all samplers; returns when they have it. The buckets must not change meanwhile."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group."""


class Sink(ABC):
    """A sampler's end."""

    @abstractmethod
    def receive(self, staging: Staging) -> Arrival:
        """Wait for the next publication and fill as many buckets as it has."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group."""
