"""`problems.corpus: verified`: supervised steps imitate only the corpus programs that pass their problem's visible tests.

The programs are untrusted text: they run in the executors' sandboxes, on the driver's machine, before any actor starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import compress, islice
from pathlib import Path

import msgspec

from contracts.config import Recipe
from contracts.errors import RunError, UserError
from contracts.files import write_in_one_move
from contracts.records import Outcome, Problem
from executors.pool import Job, Pool

FILE = "verified.json"
"""In the run folder: problem id → for each of its corpus programs, does it pass? A resumed run reads it again."""


def verified(problems: Sequence[Problem], recipe: Recipe, folder: Path, progress: Callable[[int], None]) -> list[Problem]:
    """The problems with what is left of their corpora; `progress` hears how many programs have been judged.

    Raises UserError where no program is left, RunError where the sandbox fails too often, and what Pool raises where programs
    cannot be isolated here.
    """
    path = folder / FILE
    if not path.is_file():
        write_in_one_move(path, msgspec.json.encode(_passing(problems, recipe, progress)))
    passing = msgspec.json.decode(path.read_bytes(), type=dict[str, list[bool]])
    kept = [msgspec.structs.replace(p, corpus=tuple(compress(p.corpus, passing[p.id]))) for p in problems]
    if not any(problem.corpus for problem in kept):
        raise UserError(
            f"problems.corpus=verified: none of {sum(map(len, passing.values()))} corpus programs passes its problem's tests",
            "Set problems.corpus=all, or see `rltf problems check` and executors.compare",
        )
    return kept


def _passing(problems: Sequence[Problem], recipe: Recipe, progress: Callable[[int], None]) -> dict[str, list[bool]]:
    """One verdict per corpus program, by as many cores as the recipe's executors have and this machine can give."""
    executors = recipe.executors
    cores = min(executors.count * executors.cores, len(os.sched_getaffinity(0)))
    jobs = (Job(problem, text) for problem in problems for text in problem.corpus)
    passed: list[bool] = []
    broken = 0
    with Pool(executors.model_copy(update={"cores": cores, "analyse": False}), recipe.rewards) as pool:
        for verdict in pool.judge_all(jobs):
            passed.append(verdict.outcome is Outcome.PASS)
            broken += verdict.outcome is Outcome.SANDBOX_ERROR
            progress(len(passed))
    if broken > executors.max_sandbox_error_rate * len(passed):
        raise RunError(
            f"{broken} of {len(passed)} corpus programs ended in a SANDBOX_ERROR: the executors are at fault",
            "See `rltf doctor`; executors.max_sandbox_error_rate says how many are borne",
        )
    rest = iter(passed)
    return {problem.id: list(islice(rest, len(problem.corpus))) for problem in problems}
