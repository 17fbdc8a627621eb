"""The online buffer's interface. `MemoryBuffer` is the boring version, `RedisBuffer` the one that a run uses.

A group *waits* from its append until it has been drawn `max_uses` times, is displaced or is evicted. A group drawn for the
last time is kept aside until `commit`, so that a run resumed from an older checkpoint can `rewind` to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from contracts.records import LabelledGroup


class Append(StrEnum):
    """What became of an append."""

    ADDED = "added"
    DUPLICATE = "duplicate"
    """A group of that id came before: nothing was done."""
    FULL = "full"
    """At capacity under overflow=block: try again when there is room."""


class Waiting(NamedTuple):
    """A waiting group, as the window sees it."""

    id: str
    version: int
    samples: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Running totals, in samples except where it says groups."""

    waiting: int = 0
    appended: int = 0
    drawn: int = 0
    """Counted at every use; a rewind takes the uses since off again."""
    evicted: dict[str, int] = {}
    """Reason (overflow, lag, rewound, left_over) → samples."""
    sequence: int = 0
    """Number of the newest group, in the order of appends."""


class OnlineBuffer(ABC):
    """A FIFO of labelled groups, counted in samples."""

    @abstractmethod
    def append(self, entry: LabelledGroup) -> Append:
        """Add a group at the end, once: a second append of its id does nothing. Under drop_oldest the oldest make room."""

    @abstractmethod
    def waiting(self) -> list[Waiting]:
        """The waiting groups, oldest first."""

    @abstractmethod
    def draw(self, ids: Sequence[str], step: int) -> list[str]:
        """Use these groups for a step (numbered from 0); returns those that still waited. A draw repeated counts once."""

    @abstractmethod
    def fetch(self, ids: Sequence[str]) -> list[LabelledGroup]:
        """Groups by id, drawn ones included. Raises KeyError for one that is gone."""

    @abstractmethod
    def evict(self, ids: Sequence[str], reason: str) -> None:
        """Drop waiting groups, counted by reason; one that was used can be fetched until it is committed."""

    @abstractmethod
    def commit(self, steps: int) -> None:
        """Forget the groups whose last use was for one of the first `steps` steps (numbered from 0)."""

    @abstractmethod
    def rewind(self, steps: int, sequence: int, drawn: int) -> None:
        """Back to when `steps` steps had been made, group number `sequence` was the newest and `drawn` samples were counted.

        Groups used since wait again, in their old places (of several uses since, one is taken back); groups appended since
        are dropped, and may be appended again. Groups that were committed since are gone.
        """

    @abstractmethod
    def oldest(self) -> int | None:
        """The policy version of the group that has waited longest; None where none waits."""

    @abstractmethod
    def counts(self) -> Counts:
        """Running totals."""
