"""The online stage: samplers, executors and learner all at work at once.

          problems ─▶ sampler ──groups──▶ executor ──labelled groups──▶ buffer ──window──▶ learner
                        ▲                                                                   │
                        └────────────── weights, every sync_every steps ────────────────────┘

The driver only schedules: data goes from actor to actor. Who waits for whom:
- a batch of problems waits until it may be in flight (`_may_dispatch`) and a sampler is idle;
- a sampled batch waits for its executor, and that for room in the buffer where the buffer blocks;
- an optimizer step waits until the buffer holds its groups;
- nothing waits for a publication but the next batch to be sampled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import ray

from actors.actor import Sampled
from buffer.base import OnlineBuffer
from contracts import metrics as m
from contracts.config import Recipe
from contracts.counts import add, count, number_of
from contracts.errors import RunError
from contracts.metrics import Value
from executors.actor import LabelReport
from learner.step_metrics import StepMetrics
from problems.order import ProblemOrder
from rltf.board import Values
from rltf.cluster import Cluster
from rltf.interrupts import uninterrupted
from rltf.pulse import Pulse
from rltf.runs import State
from rltf.totals import Totals, take_counts
from weights.publisher import Received

Handler = Callable[[Any], None]
FEW_PROGRAMS = 200
MOST_FRUITLESS_BATCHES = 50


class OnlineLoop:
    """Runs optimizer steps `state.step` … `recipe.steps` and keeps `state` up to date."""

    def __init__(
        self,
        cluster: Cluster,
        buffer: OnlineBuffer,
        order: ProblemOrder,
        state: State,
        on_step: Callable[[int, Values, bytes | None], None],
        on_checkpoint: Callable[[State], None],
        pulse: Pulse,
    ) -> None:
        """`on_step` hears of each step: its number, metrics and, now and then, a labelled group. `on_checkpoint` saves.

        `pulse` shows between the steps where the stage is.
        """
        self._cluster = cluster
        self._recipe: Recipe = cluster.recipe
        self._buffer = buffer
        self._order = order
        self._on_step = on_step
        self._on_checkpoint = on_checkpoint
        self._pulse = pulse
        self.step = state.step
        self.reported = state.step
        """The newest step that `on_step` has heard of, in whole, however a run ends."""
        self.totals: Totals = state.totals
        self._before = state
        self._position = state.position
        self._again = list(state.pending)
        self._in_flight: list[int] = []
        self._idle = list(cluster.samplers)
        self._load = dict.fromkeys(cluster.executors, 0)
        self._handlers: dict[Any, Handler] = {}
        self._stepping = False
        self._fruitless = 0
        self._version = state.step
        self._receiving: set[Any] = set()
        self._checksums: list[Any] = []
        self._example: bytes | None = None
        self._sync_seconds = 0.0
        self._stepped_at = time.perf_counter()

    def run(self) -> None:
        """Until the last step is made. Errors of any actor are raised here."""
        while self.step < self._recipe.steps:
            while self._idle and self._may_dispatch():
                self._dispatch()
            if self._may_step():
                self._start_step()
            self._handle_one(list(self._handlers))
        while self._handlers:  # what is still in flight has come too late; its executors may wait for room
            self._drop_waiting()
            self._handle_one(list(self._handlers), timeout=0.1)
        self._drop_waiting()
        self._pulse.show(self._standing)

    def _handle_one(self, refs: list[Any], timeout: float | None = None) -> None:
        ready, _ = ray.wait(refs, num_returns=1, timeout=self._pulse.left if timeout is None else timeout)
        for ref in ready:
            self._handlers.pop(ref)(ref)
        self._pulse.beat(self._standing)

    def _drop_waiting(self) -> None:
        self._buffer.evict([waiting.id for waiting in self._buffer.waiting()], "left_over")

    # problems → sampler → executor → buffer

    def _may_dispatch(self) -> bool:
        recipe = self._recipe
        if self._receiving:  # the next batch is sampled with the newest weights: this bounds the lag
            return False
        oldest = min(self._in_flight, default=self._next())
        if self._next() - oldest >= recipe.in_flight:
            return False
        if recipe.deterministic:
            return not self._stepping and not self._enough_waits()
        if recipe.buffer.max_uses != 1:
            return True
        n, counts = recipe.sampling.samples_per_problem, self._buffer.counts()
        under_way = len(self._in_flight) * recipe.sampling.problems_per_batch * n
        return counts.drawn + counts.waiting + under_way < recipe.steps * recipe.samples_per_step

    def _next(self) -> int:
        return self._again[0] if self._again else self._position

    def _dispatch(self) -> None:
        batch = self._next()
        if self._again:
            self._again.pop(0)
        else:
            self._position += 1
        self._in_flight.append(batch)
        sampler = self._idle.pop()
        payload, figures = sampler.sample.options(num_returns=2).remote(
            batch, self._order.batch_at(batch), f"{self._recipe.seed}/online/{batch}", self._recipe.needs_greedy
        )
        self._handlers[figures] = partial(self._sampled, batch, sampler, payload)

    def _sampled(self, batch: int, sampler: Any, payload: Any, ref: Any) -> None:
        figures: Sampled = ray.get(ref)
        self._idle.append(sampler)
        add(self.totals.online, figures.counts("train"))
        self.totals.prompt_cut += figures.prompt_cut
        executor = min(self._load, key=lambda candidate: self._load[candidate])
        self._load[executor] += 1
        self._handlers[executor.label.remote(payload, self._example is None)] = partial(self._labelled, batch, executor)

    def _labelled(self, batch: int, executor: Any, ref: Any) -> None:
        report: LabelReport = ray.get(ref)
        self._in_flight.remove(batch)
        self._load[executor] -= 1
        add(self.totals.online, report.counts)
        self._example = self._example or report.example
        self._stop_where_hopeless(report)

    def _stop_where_hopeless(self, report: LabelReport) -> None:
        online, limit = self.totals.online, self._recipe.executors.max_sandbox_error_rate
        judged, failed = number_of(online, m.JUDGED), number_of(online, m.SANDBOX_ERRORS)
        if judged >= FEW_PROGRAMS and failed > limit * judged:
            raise RunError(
                f"{failed:.0f} of {judged:.0f} programs ended in a SANDBOX_ERROR: the executors are at fault",
                "See `rltf doctor`; executors.max_sandbox_error_rate says how many are borne",
            )
        self._fruitless = 0 if m.PROGRAMS.name in report.counts else self._fruitless + 1
        if self._fruitless == MOST_FRUITLESS_BATCHES:
            raise RunError(
                f"{self._fruitless} sampled batches in a row held nothing to train on; dropped so far: {self.totals.dropped}",
                "Set sampling.truncated=label, or raise sampling.max_new_tokens",
            )

    # buffer → learner → weights

    def _may_step(self) -> bool:
        """One step at a time; the learner itself waits for its groups. In deterministic mode it is told when to draw."""
        if self._stepping or not self._recipe.deterministic:
            return not self._stepping
        return not self._in_flight and self._enough_waits()

    def _enough_waits(self) -> bool:
        return len(self._buffer.waiting()) >= self._recipe.groups_per_step

    def _start_step(self) -> None:
        self._stepping = True
        steps = [rank.online_step.remote(self.step) for rank in self._cluster.ranks]
        for rank, ref in enumerate(steps):
            self._handlers[ref] = self._stepped if rank == 0 else ray.get

    def _stepped(self, ref: Any) -> None:
        metrics: StepMetrics = ray.get(ref)
        self._stepping = False
        self.step += 1
        add(self.totals.online, take_counts(metrics))
        self.totals.lag_max = max(self.totals.lag_max, int(number_of(metrics, m.LAG_MAX)))
        metrics[m.LAST_PROGRESS.name] = time.time()
        last = self.step == self._recipe.steps
        if last or self.step % self._recipe.weights.sync_every == 0:
            self._publish()
        every = self._recipe.checkpoint.every
        checkpoint = last or (every > 0 and self.step % every == 0)
        if checkpoint:
            self._report(metrics)
            self._on_checkpoint(self.state())
        elif not every:
            self._buffer.commit(self.step)
        if not last and self._may_step():
            self._start_step()
        if not checkpoint:
            self._report(metrics)  # after the start: the learner need not wait for this

    def _publish(self) -> None:
        while self._receiving:  # the one before is still under way: let it end first
            self._handle_one(list(self._receiving))
        refs = self._cluster.publish(self.step)
        self._version = self.step
        self._receiving = set(refs)
        self._checksums = []
        self._sync_seconds = 0.0
        self._handlers |= dict.fromkeys(refs, self._received)
        self.totals.published += 1

    def _received(self, ref: Any) -> None:
        self._receiving.remove(ref)
        result: Received | int | None = ray.get(ref)
        online = self.totals.online
        checksum = result
        if isinstance(result, Received):
            checksum = result.checksum
            self._sync_seconds = max(self._sync_seconds, result.seconds)
            count(online, m.SYNC_BYTES, by=result.size)
        if checksum is not None:
            self._checksums.append(checksum)
        if len(set(self._checksums)) > 1:
            raise RuntimeError(f"weights arrived damaged: checksums {self._checksums}")
        if not self._receiving:
            count(online, m.PUBLICATIONS)
            count(online, m.SYNC_SECONDS, by=self._sync_seconds)

    def state(self) -> State:
        """From which the loop could go on, if a checkpoint were written now."""
        counts = self._buffer.counts()
        return msgspec.structs.replace(
            self._before,
            step=self.step,
            position=self._position,
            pending=sorted([*self._in_flight, *self._again]),
            sequence=counts.sequence,
            drawn=counts.drawn,
            totals=self.totals,
        )

    def _standing(self) -> dict[str, Value]:
        """Where the stage is now."""
        counts, oldest = self._buffer.counts(), self._buffer.oldest()
        self.totals.evicted = counts.evicted
        return {
            m.STEP.name: self.step,
            m.POLICY_VERSION.name: self._version,
            m.BUFFER_FILL.name: counts.waiting,
            m.BUFFER_AGE.name: 0 if oldest is None else self.step - oldest,
            m.LAG_LARGEST.name: self.totals.lag_max,
            **self.totals.values(),
        }

    def _report(self, metrics: StepMetrics) -> None:
        """Tell of a step: its own metrics, and where the stage is."""
        now = time.perf_counter()
        seconds, self._stepped_at = now - self._stepped_at, now
        example, self._example = self._example, None
        values = {**self._standing(), **metrics, m.STEP_SECONDS.name: seconds}
        with uninterrupted():
            self._on_step(self.step, values, example)
            self.reported = self.step
