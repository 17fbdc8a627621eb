"""The Ray actor around an executor: judges whole batches and appends what it labelled to the buffer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from itertools import compress

import msgspec

from buffer.base import Append
from buffer.redis_buffer import RedisBuffer
from contracts.config import Recipe
from contracts.records import LabelledGroup, Outcome, Verdict, decode_groups, decode_problems, encode, error_kind
from executors.both import Judged, judge_both
from executors.labels import label_batch
from executors.pool import Pool

POLL_SECONDS = 0.02


class LabelReport(msgspec.Struct, kw_only=True):
    """What became of one sampled batch."""

    outcomes: dict[str, int]
    """Outcome → sampled programs that entered the buffer."""
    errors: dict[str, int]
    """Kind of error → likewise."""
    difficulties: dict[str, int]
    """Difficulty of the problem → likewise."""
    passes: dict[str, int]
    """Difficulty → those that pass."""
    dropped: dict[str, int]
    """Reason → sampled programs that never entered the buffer."""
    judged: int
    """Programs run, greedy ones too."""
    sandbox_errors: int
    remembered: int
    """Programs whose verdict was known from an equal one."""
    replaced: int
    """Zygotes that had to be replaced meanwhile."""
    seconds: float
    """Busy wall time, not counting waits for room in the buffer."""
    example: bytes | None = None
    """One labelled group, where it was asked for."""


class ExecutorActor:
    """Judges programs on `executors.cores` cores of its node."""

    def start(self, recipe: Recipe, problems: bytes) -> None:
        """Start the zygotes. Raises UserError where this machine cannot isolate programs."""
        self._recipe = recipe
        self._problems = {problem.id: problem for problem in decode_problems(problems)}
        self._pool = Pool(recipe.executors, recipe.rewards)

    def open_buffer(self, url: str, run: str) -> None:
        """Connect to the online buffer."""
        self._buffer = RedisBuffer(url, run, self._recipe.buffer)

    def label(self, payload: bytes, example: bool) -> LabelReport:
        """Judge and label a sampled batch and append its groups, waiting for room where the buffer blocks."""
        started = time.perf_counter()
        hits, restarts = self._pool.cache_hits, self._pool.restarts
        batch = label_batch(self._pool, decode_groups(payload), self._problems, self._recipe)
        busy = time.perf_counter() - started
        for entry in batch.entries:
            self._append(entry)
        verdicts = list(_sampled_verdicts(batch.entries))
        kinds = [error_kind(verdict.outcome, verdict.detail, verdict.error_type) for verdict in verdicts]
        ids = [entry.group.problem_id for entry in batch.entries for _ in range(entry.samples)]
        difficulties = [self._problems[id_].difficulty for id_ in ids]
        return LabelReport(
            outcomes=dict(Counter(verdict.outcome.value for verdict in verdicts)),
            errors=dict(Counter(kind for kind in kinds if kind)),
            difficulties=dict(Counter(difficulties)),
            passes=dict(Counter(compress(difficulties, (verdict.outcome is Outcome.PASS for verdict in verdicts)))),
            dropped=batch.dropped,
            judged=batch.judged,
            sandbox_errors=batch.sandbox_errors,
            remembered=self._pool.cache_hits - hits,
            replaced=self._pool.restarts - restarts,
            seconds=busy,
            example=encode(batch.entries[0]) if example and batch.entries else None,
        )

    def judge(self, payload: bytes) -> list[Judged]:
        """The results of a sampled batch by hidden tests and visible ones, program by program; nothing enters the buffer."""
        groups = decode_groups(payload)
        programs = ((self._problems[group.problem_id], program.code) for group in groups for program in group.programs)
        return list(judge_both(self._pool, programs))

    def _append(self, entry: LabelledGroup) -> None:
        while self._buffer.append(entry) is Append.FULL:
            time.sleep(POLL_SECONDS)


def _sampled_verdicts(entries: Iterable[LabelledGroup]) -> Iterable[Verdict]:
    for entry in entries:
        for program, verdict in zip(entry.group.programs, entry.verdicts, strict=True):
            if not program.greedy:
                yield verdict
