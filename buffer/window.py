"""The learner's window on the FIFO: which groups each optimizer step trains on. A state machine without torch or Ray.

At a refresh the window is what waits in the FIFO, in an order drawn from the seed; steps draw from it without replacement.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from buffer.base import OnlineBuffer, Waiting
from contracts.sections import BufferConfig


class Window:
    """Draws the groups of one step after another from a buffer."""

    def __init__(self, buffer: OnlineBuffer, config: BufferConfig, groups_per_step: int, seed: int) -> None:
        self._buffer = buffer
        self._config = config
        self._groups = groups_per_step
        self._seed = seed
        self._ids: list[str] = []
        self._taken: list[str] = []
        self._since: int | None = None

    def draw(self, step: int) -> list[str] | None:
        """The ids of a step's groups; None while too few wait (call again later)."""
        if self._since is None or step - self._since >= self._config.refresh_every:
            self._refresh(step, keep=[])
        self._evict_stale(step)
        while True:
            if len(self._ids) < self._groups:
                self._exhausted(step)
            if len(self._ids) < self._groups:
                return None
            chosen = self._buffer.draw(self._ids[: self._groups], step)
            del self._ids[: self._groups]
            if len(chosen) == self._groups:
                return chosen
            self._ids = chosen + self._ids  # the others were displaced since the refresh; drawing these again counts once

    def state(self) -> dict[str, list[str] | int | None]:
        """What a checkpoint keeps."""
        return {"ids": self._ids, "taken": self._taken, "since": self._since}

    def restore(self, state: dict[str, list[str] | int | None]) -> None:
        """Continue from a checkpoint's state."""
        ids, taken, since = state["ids"], state["taken"], state["since"]
        assert isinstance(ids, list)
        assert isinstance(taken, list)
        assert not isinstance(since, list)
        self._ids, self._taken, self._since = list(ids), list(taken), since

    def _refresh(self, step: int, keep: Sequence[str]) -> None:
        """Take what waits: first what is kept of the old window, then the rest in seeded order."""
        fresh = [waiting.id for waiting in self._buffer.waiting() if waiting.id not in set(keep)]
        self._ids = [*keep, *self._shuffled(fresh, step)]
        self._taken = list(self._ids)
        self._since = step if self._ids else None

    def _exhausted(self, step: int) -> None:
        match self._config.on_exhausted:
            case "refresh":
                self._refresh(step, keep=self._ids)
            case "reshuffle":
                again = [key for key in self._taken if key not in set(self._ids)]
                self._ids += self._shuffled(again, step)
            case "wait":
                wanted = min(self._config.refresh_every * self._groups, self._whole_groups_in_capacity())
                if len(self._buffer.waiting()) >= max(wanted, self._groups):
                    self._refresh(step, keep=self._ids)

    def _whole_groups_in_capacity(self) -> int:
        queue = self._buffer.waiting()
        return self._config.capacity // max((waiting.samples for waiting in queue), default=1)

    def _evict_stale(self, step: int) -> None:
        stale = {waiting.id for waiting in self._buffer.waiting() if self._is_stale(waiting, step)}
        if stale:
            self._buffer.evict(sorted(stale), "lag")
            self._ids = [key for key in self._ids if key not in stale]

    def _is_stale(self, waiting: Waiting, step: int) -> bool:
        return step - waiting.version > self._config.max_lag

    def _shuffled(self, ids: list[str], step: int) -> list[str]:
        return random.Random(f"{self._seed}/{step}").sample(ids, len(ids))
