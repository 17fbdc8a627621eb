"""The Ray actor around an executor: judges whole batches and appends what it labelled to the buffer."""

from __future__ import annotations

import time

import msgspec
import ray

from buffer.base import Append
from buffer.redis_buffer import RedisBuffer
from contracts import logs
from contracts import metrics as m
from contracts.config import Recipe
from contracts.counts import Counts, add, count
from contracts.records import LabelledGroup, decode_groups, decode_problems, encode
from executors.both import Judged, judge_both
from executors.counting import counts_of
from executors.labels import label_batch
from executors.pool import Pool

POLL_SECONDS = 0.02


class LabelReport(msgspec.Struct, kw_only=True):
    """What became of one sampled batch."""

    counts: Counts
    """Busy time among them: wall time without waits for room in the buffer."""
    example: bytes | None = None
    """One labelled group, where it was asked for."""


class ExecutorActor:
    """Judges programs on `executors.cores` cores of its node."""

    def start(self, recipe: Recipe, run: str, index: int, problems: bytes) -> logs.Started:
        """Start the zygotes. Raises UserError where this machine cannot isolate programs."""
        self._recipe = recipe
        self._problems = {problem.id: problem for problem in decode_problems(problems)}
        self._pool = Pool(recipe.executors, recipe.rewards)
        return logs.begin_actor(run, f"executor {index}", ray.util.get_node_ip_address())

    def tier(self) -> str:
        """How programs are isolated."""
        return self._pool.tier.name.lower()

    def open_buffer(self, url: str, run: str) -> None:
        """Connect to the online buffer."""
        self._buffer = RedisBuffer(url, run, self._recipe.buffer)

    def label(self, payload: bytes, example: bool) -> LabelReport:
        """Judge and label a sampled batch and append its groups, waiting for room where the buffer blocks."""
        started = time.perf_counter()
        batch = label_batch(self._pool, decode_groups(payload), self._problems, self._recipe)
        counts = counts_of(batch, self._problems)
        add(counts, self._counted(started))
        for entry in batch.entries:
            self._append(entry)
        return LabelReport(counts=counts, example=encode(batch.entries[0]) if example and batch.entries else None)

    def judge(self, payload: bytes) -> tuple[list[Judged], Counts]:
        """The results of a sampled batch by hidden tests and visible ones, program by program; nothing enters the buffer."""
        started = time.perf_counter()
        groups = decode_groups(payload)
        programs = ((self._problems[group.problem_id], program.code) for group in groups for program in group.programs)
        return list(judge_both(self._pool, programs)), self._counted(started)

    def _counted(self, started: float) -> Counts:
        """What the judges counted for a batch, and the time since it was begun."""
        counts = self._pool.collect()
        count(counts, m.PHASE_SECONDS, "executing", by=time.perf_counter() - started)
        return counts

    def _append(self, entry: LabelledGroup) -> None:
        while self._buffer.append(entry) is Append.FULL:
            time.sleep(POLL_SECONDS)
