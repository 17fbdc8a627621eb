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

    def __init__(
        self, buffer: OnlineBuffer, config: BufferConfig, groups_per_step: int, samples_per_group: int, seed: int, steps: int
    ) -> None:
        """`steps`: optimizer steps in all; the last window need not be larger than what is left of them."""
        self._buffer = buffer
        self._config = config
        self._groups = groups_per_step
        self._most_groups = max(groups_per_step, config.capacity // samples_per_group)
        self._seed = seed
        self._steps = steps
        self._ids: list[str] = []
        self._taken: list[str] = []
        self._since: int | None = None
        self._part: list[str] = []

    def draw(self, step: int) -> list[str] | None:
        """The ids of a step's groups; None while too few wait (call again later)."""
        if self._since is None or step - self._since >= self._config.refresh_every:
            self._refresh(step, keep=self._part)
        self._evict_stale(step)
        while True:
            if len(self._ids) < self._groups:
                self._exhausted(step)
            if len(self._ids) < self._groups:
                return None
            chosen = self._buffer.draw(self._ids[: self._groups], step)
            del self._ids[: self._groups]
            if len(chosen) == self._groups:
                self._part = []
                return chosen
            self._part = chosen  # the others were displaced since the refresh; drawing these again counts once
            self._ids = chosen + self._ids

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
        """Take what waits, if that is enough for a step: first what is kept of the old window, then the rest in seeded order."""
        fresh = [waiting.id for waiting in self._buffer.waiting() if waiting.id not in set(keep)]
        if len(keep) + len(fresh) < self._groups:
            return
        self._ids = [*keep, *self._shuffled(fresh, step)]
        self._taken = list(self._ids)
        self._since = step

    def _exhausted(self, step: int) -> None:
        match self._config.on_exhausted:
            case "refresh":
                self._refresh(step, keep=self._ids)
            case "reshuffle":
                self._reshuffle(step)
            case "wait":
                wanted = min(self._config.refresh_every, self._steps - step) * self._groups
                if len(self._buffer.waiting()) >= min(wanted, self._most_groups):
                    self._refresh(step, keep=self._ids)

    def _reshuffle(self, step: int) -> None:
        """The same window again, without what has left the FIFO meanwhile; a new one where too little of it is left."""
        still = {*self._part, *(waiting.id for waiting in self._buffer.waiting())}
        self._taken = [key for key in self._taken if key in still]
        if len(self._taken) < self._groups:
            self._refresh(step, keep=self._part)
        else:
            left = [key for key in self._ids if key in still]
            self._ids = left + self._shuffled([key for key in self._taken if key not in set(left)], step)

    def _evict_stale(self, step: int) -> None:
        stale = {waiting.id for waiting in self._buffer.waiting() if self._is_stale(waiting, step)}
        if stale:
            self._buffer.evict(sorted(stale), "lag")
            self._ids = [key for key in self._ids if key not in stale]

    def _is_stale(self, waiting: Waiting, step: int) -> bool:
        return step - waiting.version > self._config.max_lag

    def _shuffled(self, ids: list[str], step: int) -> list[str]:
        return random.Random(f"{self._seed}/{step}").sample(ids, len(ids))
