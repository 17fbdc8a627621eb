"""Several judges on one node, a core each: many programs → their verdicts, in order."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from types import TracebackType
from typing import NamedTuple, Self

from contracts import logs
from contracts import metrics as m
from contracts.counts import Counts, add, count, observe
from contracts.records import Detail, Outcome, Problem, Verdict
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.confine import Tier
from executors.judge import Executor
from executors.judge_process import JudgeProcess

_LIMITS = {Detail.TIMEOUT, Detail.MEMORY, Detail.OUTPUT_LIMIT, Detail.DISALLOWED}
_AHEAD = 4
"""Programs per core that are taken from the caller before their turn: bounds what waits."""


class Job(NamedTuple):
    """One program to judge."""

    problem: Problem
    text: str
    hidden: bool = False
    """Judge by the problem's hidden tests, where it has some."""


class Pool:
    """Judges programs on `config.cores` cores. Raises what Executor raises where none can start."""

    def __init__(self, config: ExecutorsConfig, rewards: RewardsConfig, tier: Tier | None = None) -> None:
        self._cores = config.cores
        self._idle: SimpleQueue[Executor | JudgeProcess] = SimpleQueue()
        self._executors: list[Executor | JudgeProcess] = []
        try:
            for _ in range(config.cores):
                self._executors.append((Executor if config.cores == 1 else JudgeProcess)(config, rewards, tier))
                self._idle.put(self._executors[-1])
        except BaseException:
            self.close()
            raise
        self._threads = ThreadPoolExecutor(config.cores, thread_name_prefix="judge")
        self._cache = _Cache(config.cached_verdicts)
        self._counts: Counts = {}
        self._counting = Lock()

    @property
    def tier(self) -> Tier:
        """How programs are isolated."""
        return self._executors[0].tier

    @property
    def zygotes(self) -> list[int]:
        """Process ids of the zygotes."""
        return [pid for executor in self._executors for pid in executor.zygotes]

    def judge(self, problem: Problem, text: str, *, hidden: bool = False) -> Verdict:
        """One verdict, in the caller's thread. Raises UserError for a problem without tests."""
        return self._judge(Job(problem, text, hidden))

    def judge_all(self, jobs: Iterable[Job]) -> Iterator[Verdict]:
        """One verdict per job, in order; jobs are taken as they are needed. Raises UserError for a problem without tests."""
        waiting: deque[Future[Verdict]] = deque()
        try:
            for job in jobs:
                waiting.append(self._threads.submit(self._judge, job))
                if len(waiting) > _AHEAD * self._cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def collect(self) -> Counts:
        """What was counted since this was last asked; nothing may be judged meanwhile."""
        counts, self._counts = self._counts, {}
        for executor in self._executors:
            add(counts, executor.collect())
        return counts

    def close(self) -> None:
        """End all judges, after what they are at."""
        if hasattr(self, "_threads"):
            self._threads.shutdown(cancel_futures=True)
        for executor in self._executors:
            executor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _judge(self, job: Job) -> Verdict:
        """A remembered verdict or a new one; a SANDBOX_ERROR is retried once, by another judge where there is one."""
        known = self._cache.get(job)
        verdict = known or self._run(job)
        if verdict.outcome is Outcome.SANDBOX_ERROR:
            verdict = self._run(job)
        if known is None:
            self._cache.put(job, verdict)
        if verdict.outcome is Outcome.SANDBOX_ERROR:
            logs.warning("program not judged", problem=job.problem.id, reason=verdict.message)
        with self._counting:
            _count(self._counts, verdict, remembered=known is not None)
        return verdict

    def _run(self, job: Job) -> Verdict:
        executor = self._idle.get()
        try:
            return executor.judge(job.problem, job.text, hidden=job.hidden)
        finally:
            self._idle.put(executor)


def _count(counts: Counts, verdict: Verdict, *, remembered: bool) -> None:
    """Each program counts as one of three: remembered, failed on, or executed."""
    count(counts, m.JUDGED)
    if remembered:
        count(counts, m.REMEMBERED)
    elif verdict.outcome is Outcome.SANDBOX_ERROR:
        count(counts, m.SANDBOX_ERRORS)
    else:
        observe(counts, m.EXECUTION, [verdict.seconds])
        if verdict.detail in _LIMITS:
            count(counts, m.KILLED, verdict.detail)


class _Cache:
    """The newest verdicts by program; time-outs and our own errors are not kept, since they may not come again."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self._entries: OrderedDict[tuple[str, bool, bytes], tuple[Problem, Verdict]] = OrderedDict()

    def get(self, job: Job) -> Verdict | None:
        key = _key(job)
        with self._lock:
            problem, verdict = self._entries.get(key, (None, None))
            if problem is not job.problem and problem != job.problem:  # another problem of the same id
                return None
            self._entries.move_to_end(key)
            return verdict

    def put(self, job: Job, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.SANDBOX_ERROR or verdict.detail is Detail.TIMEOUT:
            return
        with self._lock:
            self._entries[_key(job)] = job.problem, verdict
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)


def _key(job: Job) -> tuple[str, bool, bytes]:
    return job.problem.id, job.hidden, hashlib.sha256(job.text.encode("utf-8", "surrogatepass")).digest()
