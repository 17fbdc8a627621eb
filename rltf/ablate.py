"""`rltf ablate`: runs an ablation's arms and seeds, some at a time, each as a command of its own."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from contracts.ablation import AblationRecipe
from contracts.errors import RunError
from rltf.ablation_jobs import Job, begin, plan, summary_of
from rltf.ablation_page import refresh
from rltf.ablation_results import arms_table, gather, main_rate
from rltf.progress import Progress

SECONDS_BETWEEN_LOOKS = 0.2
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Process(Protocol):
    """A run that goes on: the part of subprocess.Popen that is used."""

    def poll(self) -> int | None:
        """The exit code; None while it runs."""

    def terminate(self) -> None:
        """Ask it to end as Ctrl-C does."""

    def wait(self) -> int:
        """Wait for its end."""


Launcher = Callable[[Job, int], Process]


def launch(job: Job, lock: int) -> Process:
    """Start a run, or go on with it, in a session of its own: a terminal's Ctrl-C comes to us alone, and we end it.

    Should we be killed, the system asks it to end. Until it has, it holds the ablation's lock, a descriptor that it inherits:
    a resumed ablation would run it twice.
    """
    command = [sys.executable, "-m", "rltf.cli", "train" if job.arm else "warmup", str(job.file)]
    with job.log.open("ab") as log:
        return subprocess.Popen(
            command + ["--resume"] * job.has_begun,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock],
            preexec_fn=_end_with_parent,
        )


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


class Ablation:
    """An ablation's runs, and what has become of them."""

    def __init__(
        self,
        recipe: AblationRecipe,
        progress: Progress,
        *,
        arms: Sequence[str],
        seeds: Sequence[int],
        resume: bool = False,
        launcher: Launcher = launch,
        pause: Callable[[], None] = lambda: time.sleep(SECONDS_BETWEEN_LOOKS),
    ) -> None:
        """`arms` and `seeds`: those to run. Raises UserError where a recipe is not valid."""
        self._recipe = recipe
        self._progress = progress
        self._resume = resume
        self._launch = launcher
        self._pause = pause
        self._jobs = plan(recipe, arms, seeds)
        self._going: dict[Job, Process] = {}
        self._failed: list[Job] = []

    def execute(self) -> None:
        """Run all that is not done yet, and write the page after each. The figures and the page are there however it ends.

        A run that fails does not stop the others. Raises UserError as `begin` does, and RunError at the end where runs failed.
        """
        with begin(self._recipe, self._jobs, resume=self._resume) as lock:
            waiting = [job for job in self._jobs if not job.is_done]
            self._progress.stage(f"ablation {self._recipe.name}", len(self._jobs), "run")
            if kept := len(self._jobs) - len(waiting):
                self._progress.note(f"{kept} runs are done already")
            try:
                self._work(waiting, lock)
            finally:
                self._end_all()
                self._progress.note(f"page: {refresh(self._recipe.folder)}")
        results = gather(self._recipe.folder)
        if results.main:
            self._progress.stage("results")
            self._progress.table(*arms_table(results))
        if self._failed:
            raise self._failure()

    def _work(self, waiting: list[Job], lock: int) -> None:
        """Keep `parallel` runs going, always the first that can start: a seed is done before the next one's arms begin."""
        refresh(self._recipe.folder)
        self._tell(len(waiting))
        while waiting or self._going:
            ready = [job for job in waiting if not self._waits(job)]
            for job in ready[: self._recipe.parallel - len(self._going)]:
                waiting.remove(job)
                self._progress.note(f"{job}: {'goes on' if job.has_begun else 'started'}, {job.log}")
                self._going[job] = self._launch(job, lock)
            self._tell(len(waiting))
            self._pause()
            for job, code in [(job, process.poll()) for job, process in self._going.items()]:
                if code is not None:
                    del self._going[job]
                    self._ended(job, code, waiting)
        self._tell(0)

    def _waits(self, job: Job) -> bool:
        """Is the warm start that it needs still to come?"""
        start = next((other for other in self._jobs if other.arm is None and other.seed == job.seed), None)
        return job.arm is not None and start is not None and (start in self._going or not start.is_done)

    def _ended(self, job: Job, code: int, waiting: list[Job]) -> None:
        if code == 0 and job.is_done:
            rate = main_rate(job)
            result = f"pass@1 {rate:.3f}" if rate is not None else "done"
            ended = len(self._jobs) - len(waiting) - len(self._going)
            self._progress.note(f"{job}: {result}; {ended} of {len(self._jobs)} ended")
        else:
            self._failed.append(job)
            self._progress.note(f"{job}: failed with exit code {code}, see {job.log}")
            if job.arm is None:  # its arms have nothing to start from
                lost = [other for other in waiting if other.seed == job.seed]
                self._failed += lost
                waiting[:] = [other for other in waiting if other not in lost]
        refresh(self._recipe.folder)

    def _tell(self, waiting: int) -> None:
        done = len(self._jobs) - waiting - len(self._going)
        going = " · ".join(map(str, self._going)) or "–"
        self._progress.update(done, going=going, failed=str(len(self._failed)))

    def _end_all(self) -> None:
        """What still runs when we are interrupted is asked to end, and waited for: it can be resumed."""
        for process in self._going.values():
            process.terminate()
        for process in self._going.values():
            process.wait()

    def _failure(self) -> RunError:
        begun = [job for job in self._failed if job.log.is_file()]
        names = ", ".join(f"{job} ({_why(job)}; {job.log})" for job in begun)
        lost = len(self._failed) - len(begun)
        more = f", and {lost} that needed them" if lost else ""
        return RunError(
            f"{len(self._failed)} of {len(self._jobs)} runs failed: {names}{more}", "Mend the cause and go on with --resume"
        )


def _why(job: Job) -> str:
    summary = summary_of(job.recipe.folder)
    return summary.error if summary and summary.error else "no reason recorded"
