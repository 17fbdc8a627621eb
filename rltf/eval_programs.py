"""`rltf eval --problems --programs`: pass@k of programs from a file. No model, no Ray."""

from __future__ import annotations

import io
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rich.console import Console

from contracts.errors import UserError
from contracts.evaluation import PROGRAMS, EvaluationSummary, Sample, read_evaluation
from contracts.records import Problem
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors import tiers
from executors.both import judge_both
from executors.pool import Pool
from problems.read import read_problems
from rltf.eval_tables import show
from rltf.judged import digest_of, judged_by, judging, sample_of
from rltf.judging import Lookup
from rltf.progress import Progress
from rltf.recording import SUMMARY, Key, Recording, begin_folder, check_folder
from rltf.rows import Row, Rows, count_lines, nothing_to_judge, reading
from rltf.runs import differences
from rltf.summing import About

_BATCH = 128


def evaluate_programs(
    problems: Path,
    programs: Path,
    output: Path,
    ks: tuple[int, ...],
    config: ExecutorsConfig,
    console: Console,
    *,
    resume: bool = False,
) -> EvaluationSummary:
    """Judge the programs and write the evaluation's folder, or go on in it.

    Rows that cannot be used are reported as `rltf label` does. Raises UserError for a file that cannot be read, for a bad problem
    set, for a folder that cannot be made or resumed or that holds a source, where no row can be used, and where programs cannot
    be isolated here.
    """
    output = output.absolute()
    if output.resolve().is_relative_to(problems.resolve()):
        raise UserError(f"{output} is where what is to be read is", "Choose another --output")
    check_folder(output, None, (problems, programs), resume=resume)
    tiers.require(config)
    lines = count_lines(programs)
    asked, without_tests = read_problems(problems)
    lookup = Lookup(asked)
    batches, bad = _planned(programs, lookup)
    if not batches:
        raise nothing_to_judge(programs)
    notes = [f"{without_tests} problems without tests are left out"] if without_tests else []
    notes += [f"{bad} of {lines} lines of {programs} could not be used"] if bad else []
    settings = {"problems": str(problems), "programs": str(programs), "k": list(ks), "judging": judging(config)}
    about = _about(asked, settings, config.max_sandbox_error_rate, notes)
    if resume:
        _check_settings(output, about)
    else:
        begin_folder(output, None)
    count = sum(map(len, batches))
    with Progress(console) as progress, Recording(output, about, count) as recording, reading(programs) as file:
        rows = zip(chain.from_iterable(batches), Rows(file, lookup.named, io.StringIO()), strict=True)
        done = recording.resume(batches, (row.code for _, row in rows))
        progress.stage("evaluate", count, "program")
        with Pool(config, RewardsConfig()) as pool:
            samples = _judge(rows, pool)
            for batch in batches[done:]:
                recording.add(list(islice(samples, len(batch))))
                progress.update(recording.tally.programs)
        summary = recording.finish()
        show(summary, progress, output)
    return summary


def _about(asked: Sequence[Problem], settings: dict[str, Any], most_failed: float, notes: Iterable[str]) -> About:
    return About(
        main=PROGRAMS,
        model=None,
        judged_by=judged_by(asked),
        problems=len(asked),
        ks=tuple(settings["k"]),
        settings=settings,
        most_failed=most_failed,
        notes=tuple(notes),
    )


def _planned(programs: Path, lookup: Lookup) -> tuple[list[list[Key]], int]:
    """The programs of all good rows, in order and in batches, and how many rows are bad: those are reported."""
    seen: Counter[str] = Counter()
    digests: dict[str, str] = {}
    keys: list[Key] = []
    with reading(programs) as file:
        rows = Rows(file, lookup.named, None)
        for row in rows:
            id_ = row.problem.id
            if id_ not in digests:
                digests[id_] = digest_of(row.problem)
            keys.append((PROGRAMS, id_, seen[id_], digests[id_]))
            seen[id_] += 1
    return [keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH)], rows.bad


def _check_settings(output: Path, about: About) -> None:
    """Raises UserError where an evaluation was started with other settings."""
    before = read_evaluation(output / SUMMARY).settings
    if before != about.settings:
        changed = ", ".join(differences(before, about.settings))
        raise UserError(f"what is in {output} was started with other values: {changed}", "Resume as it was started")


def _judge(rows: Iterable[tuple[Key, Row]], pool: Pool) -> Iterator[Sample]:
    """A line per row, in order."""
    waiting: deque[tuple[Key, Row]] = deque()

    def programs() -> Iterator[tuple[Problem, str]]:
        for key, row in rows:
            waiting.append((key, row))
            yield row.problem, row.code

    for judged in judge_both(pool, programs()):
        (_, _, index, digest), row = waiting.popleft()
        yield sample_of(row.problem, digest, PROGRAMS, index, judged, row.code)
