"""`rltf problems grow`: a problem set with more tests, and an account of where they came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from statistics import median

import msgspec
from rich.console import Console

from contracts.files import write_in_one_move
from contracts.records import Problem
from contracts.sections import ExecutorsConfig
from problems.read import read_problems
from problems.write import check_destination, write_problems
from rltf.growing import Grower, Grown, GrowSettings
from rltf.judging import output_place
from rltf.progress import Progress

REASONS = {
    "duplicate": "the tests have it already, or it was made twice",
    "error": "a reference fails on it",
    "slow": "a reference takes more than a quarter of the time limit",
    "unrun": "not run, after slow ones",
    "unusable": "an answer is empty, too long, or cannot be written down",
    "disagree": "references answer differently",
    "disputed": "references differ on another input of the problem, or fail on most",
    "rule": "its rule made another input that a reference fails on, or is slow on",
    "flaky": "the same answer does not come again",
    "surplus": "there are enough without it",
}
"""Why inputs are dropped, in the order in which they are."""


class GrowReport(msgspec.Struct, kw_only=True):
    """What is written beside the grown set."""

    problem_set: str
    settings: GrowSettings
    compare: str
    cpu_seconds: float
    problems: dict[str, Grown]
    """By problem id."""


def grow_problems(
    path: Path, output: Path, config: ExecutorsConfig, settings: GrowSettings, console: Console
) -> dict[str, Grown]:
    """Write the set with its grown tests to `output`, and the account to its sibling OUTPUT.grow.json; print a table.

    Raises UserError for a bad problem set, and before anything is run where the output is taken or cannot hold the problems.
    """
    place = output_place(output.with_name(f"{output.name}.grow.json"), [path])
    problems, without_tests = read_problems(path)
    check_destination(output, problems)
    with Progress(console) as progress:
        progress.stage("grow", len(problems), "problem")
        grown: list[Problem] = []
        reports: dict[str, Grown] = {}
        for problem, report in grow_all(problems, config, settings):
            grown.append(problem)
            reports[problem.id] = report
            progress.update(len(grown), tests=str(sum(each.grown for each in reports.values())))
    whole = GrowReport(
        problem_set=str(path), settings=settings, compare=config.compare, cpu_seconds=config.cpu_seconds, problems=reports
    )
    write_problems(output, grown)
    write_in_one_move(place, msgspec.json.format(msgspec.json.encode(whole)) + b"\n")
    _show(reports, without_tests, progress)
    return reports


def grow_all(problems: Sequence[Problem], config: ExecutorsConfig, settings: GrowSettings) -> Iterator[tuple[Problem, Grown]]:
    """Each problem grown, in order, `config.cores` at a time; the same for any number of cores."""
    idle: SimpleQueue[Grower] = SimpleQueue()

    def grow(problem: Problem) -> tuple[Problem, Grown]:
        grower = idle.get()
        try:
            return grower.grow(problem)
        finally:
            idle.put(grower)

    with ExitStack() as started:
        for _ in range(config.cores):
            idle.put(started.enter_context(Grower(config, settings)))
        threads = ThreadPoolExecutor(config.cores, thread_name_prefix="grow")
        started.callback(threads.shutdown, cancel_futures=True)
        yield from threads.map(grow, problems)


def _show(reports: dict[str, Grown], without_tests: int, progress: Progress) -> None:
    dropped = sum((Counter(report.dropped) for report in reports.values()), Counter[str]())
    if dropped:
        rows = [[f"{reason}: {what}", str(dropped[reason])] for reason, what in REASONS.items() if dropped[reason]]
        progress.table("inputs that made no test", ["", "inputs"], rows)
    grown = [report for report in reports.values() if report.grown]
    left = Counter(report.reason for report in reports.values() if report.reason)
    if left:
        progress.table("problems left as they are", ["", "problems"], [[why, str(count)] for why, count in left.most_common()])
    rows = [
        ["problems", str(len(reports))],
        ["problems grown", str(len(grown))],
        ["by a single reference", str(sum(report.single_reference for report in grown))],
        ["tests grown", str(sum(report.grown for report in grown))],
        ["per problem grown, median", f"{median([report.grown for report in grown] or [0]):g}"],
        ["without tests, left out", str(without_tests)],
    ]
    progress.table("problem set", ["", ""], rows)
