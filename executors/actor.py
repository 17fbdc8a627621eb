"""The Ray actor around an executor: judges whole batches and appends what it labelled to the buffer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from itertools import islice

import msgspec

from buffer.base import Append
from buffer.redis_buffer import RedisBuffer
from contracts.config import Recipe
from contracts.records import Detail, LabelledGroup, Outcome, Verdict, decode_groups, decode_problems, encode
from executors.labels import label_batch
from executors.pool import Job, Pool

POLL_SECONDS = 0.02


class LabelReport(msgspec.Struct, kw_only=True):
    """What became of one sampled batch."""

    outcomes: dict[str, int]
    """Outcome → sampled programs that entered the buffer."""
    errors: dict[str, int]
    """Kind of error → likewise."""
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
        return LabelReport(
            outcomes=dict(Counter(verdict.outcome.value for verdict in verdicts)),
            errors=dict(Counter(error_kind(verdict) for verdict in verdicts if is_error(verdict))),
            dropped=batch.dropped,
            judged=batch.judged,
            sandbox_errors=batch.sandbox_errors,
            remembered=self._pool.cache_hits - hits,
            replaced=self._pool.restarts - restarts,
            seconds=busy,
            example=encode(batch.entries[0]) if example and batch.entries else None,
        )

    def judge(self, payload: bytes) -> list[list[Verdict]]:
        """The verdicts of a sampled batch by hidden tests, group by group; nothing enters the buffer."""
        groups = decode_groups(payload)
        jobs = (Job(self._problems[group.problem_id], program.code, True) for group in groups for program in group.programs)
        verdicts = self._pool.judge_all(jobs)
        return [list(islice(verdicts, len(group.programs))) for group in groups]

    def _append(self, entry: LabelledGroup) -> None:
        while self._buffer.append(entry) is Append.FULL:
            time.sleep(POLL_SECONDS)


def is_error(verdict: Verdict) -> bool:
    """Did the program raise, or not compile?"""
    return verdict.outcome in (Outcome.RUNTIME_ERROR, Outcome.SYNTAX_ERROR)


def error_kind(verdict: Verdict) -> str:
    """What people call the error: its exception's class, or timeout, memory …"""
    if verdict.detail in (None, Detail.EXCEPTION):
        return verdict.error_type or verdict.outcome.value
    return verdict.detail.value


def _sampled_verdicts(entries: Iterable[LabelledGroup]) -> Iterable[Verdict]:
    for entry in entries:
        for program, verdict in zip(entry.group.programs, entry.verdicts, strict=True):
            if not program.greedy:
                yield verdict
