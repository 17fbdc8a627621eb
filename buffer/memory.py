"""The online buffer in one process's memory: the same semantics as over Redis, for tests and the in-process loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from buffer.base import Append, Counts, OnlineBuffer, Waiting
from contracts.records import LabelledGroup
from contracts.sections import BufferConfig


@dataclass
class _Kept:
    entry: LabelledGroup
    sequence: int
    uses: int = 0
    last_step: int = -1
    waits: bool = True


class MemoryBuffer(OnlineBuffer):
    """A FIFO over a dict."""

    def __init__(self, config: BufferConfig) -> None:
        self._config = config
        self._kept: dict[str, _Kept] = {}
        self._seen: dict[str, int] = {}
        self._appended = 0
        self._drawn = 0
        self._sequence = 0
        self._evicted: Counter[str] = Counter()

    def append(self, entry: LabelledGroup) -> Append:
        if entry.group.id in self._seen:
            return Append.DUPLICATE
        while (queue := self.waiting()) and self._samples() + entry.samples > self._config.capacity:
            if self._config.overflow == "block":
                return Append.FULL
            self.evict([queue[0].id], "overflow")
        self._sequence += 1
        self._kept[entry.group.id] = _Kept(entry, self._sequence)
        self._seen[entry.group.id] = self._sequence
        self._appended += entry.samples
        return Append.ADDED

    def waiting(self) -> list[Waiting]:
        queue = sorted((kept for kept in self._kept.values() if kept.waits), key=lambda kept: kept.sequence)
        return [Waiting(kept.entry.group.id, kept.entry.group.policy_version, kept.entry.samples) for kept in queue]

    def draw(self, ids: Sequence[str], step: int) -> list[str]:
        drawn = []
        for key in ids:
            kept = self._kept.get(key)
            if kept is None or (not kept.waits and kept.last_step != step):
                continue
            drawn.append(key)
            if kept.last_step != step:
                kept.uses += 1
                kept.last_step = step
                self._drawn += kept.entry.samples
                kept.waits = kept.uses != self._config.max_uses
        return drawn

    def fetch(self, ids: Sequence[str]) -> list[LabelledGroup]:
        return [self._kept[key].entry for key in ids]

    def evict(self, ids: Sequence[str], reason: str) -> None:
        for key in ids:
            kept = self._kept.get(key)
            if kept is not None and kept.waits:
                kept.waits = False
                self._evicted[reason] += kept.entry.samples
                if kept.last_step < 0:
                    del self._kept[key]

    def commit(self, steps: int) -> None:
        for key in [key for key, kept in self._kept.items() if not kept.waits and kept.last_step < steps]:
            del self._kept[key]

    def rewind(self, steps: int, sequence: int, drawn: int) -> None:
        for key, kept in list(self._kept.items()):
            if kept.last_step >= steps:
                kept.uses -= 1
                kept.waits, kept.last_step = True, -1
            if kept.waits and kept.sequence > sequence:
                self._evicted["rewound"] += kept.entry.samples
                del self._kept[key]
        self._seen = {key: number for key, number in self._seen.items() if number <= sequence}
        self._drawn = drawn

    def oldest(self) -> int | None:
        return next((waiting.version for waiting in self.waiting()), None)

    def counts(self) -> Counts:
        return Counts(
            waiting=self._samples(),
            appended=self._appended,
            drawn=self._drawn,
            evicted=dict(self._evicted),
            sequence=self._sequence,
        )

    def _samples(self) -> int:
        return sum(waiting.samples for waiting in self.waiting())
