"""The order in which problems are drawn: seeded and resumable."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence


class ProblemOrder:
    """Batches of problem ids, each epoch a fresh seeded permutation of all of them.

    The order is one endless row of epochs cut into batches, so a batch may hold the end of one epoch and the start of the
    next. That start is then arranged such that no problem is in the batch twice (unless a batch is larger than the set).
    """

    def __init__(self, ids: Sequence[str], seed: int, batch: int) -> None:
        self._ids = tuple(ids)
        self._seed = seed
        self._batch = batch
        # Every so many epochs one starts with a batch of its own: it depends on no epoch before it.
        self._period = batch // math.gcd(batch, len(self._ids))
        self._epoch = 0
        self._row = self._arrange(0, ())

    def batch_at(self, position: int) -> list[str]:
        """The batch number `position`, from 0: a pure function of ids, seed and position."""
        size = len(self._ids)
        start = position * self._batch
        return [self._permutation(at // size)[at % size] for at in range(start, start + self._batch)]

    def _permutation(self, epoch: int) -> tuple[str, ...]:
        """The epoch's permutation, from the cached one where that is on the way; O(batch · ids) at worst."""
        anchor = epoch - epoch % self._period
        if not anchor <= self._epoch <= epoch:
            self._epoch, self._row = anchor, self._arrange(anchor, ())
        while self._epoch < epoch:
            self._epoch, self._row = self._epoch + 1, self._arrange(self._epoch + 1, self._row)
        return self._row

    def _arrange(self, epoch: int, before: tuple[str, ...]) -> tuple[str, ...]:
        """A fresh permutation whose first ids are none of those at the end of `before` that share a batch with them."""
        row = list(self._ids)
        random.Random(f"{self._seed} {epoch}").shuffle(row)
        shared = epoch * len(row) % self._batch
        if shared == 0 or len(row) < self._batch:
            return tuple(row)
        taken = set(before[-shared:])
        head = [id_ for id_ in row if id_ not in taken][: self._batch - shared]
        started = set(head)
        return (*head, *(id_ for id_ in row if id_ not in started))
