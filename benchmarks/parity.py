"""Are verdicts what others say they are? `make parity`, or `python -m benchmarks.parity [--no-plain] [--output FILE]`.

RLTF_DATA names the folder of the benchmark data. Three comparisons, in `apps` mode; what `strict` mode changes is counted:

    programs     of MBPP and HumanEval: with the published pass or fail, and with a plain run of prelude, program and test
    outcomes     of APPS programs: with the published one of four
    references   the solutions that the data sets publish: all of them should pass

A plain run is a fresh `python -I` on one script, not isolated in any way; exit code 0 is a pass. Prints agreements and every
disagreement by name; docs/verdict-parity.md explains each. Exit code: 0, or 1 where an agreement is below what is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from contracts.errors import UserError
from contracts.files import write_in_one_move
from contracts.records import Detail, Outcome, Problem, Trust, Verdict
from contracts.sections import RewardsConfig
from executors.pool import Job, Pool
from problems.read import read_problems
from rltf.judging import ALL_TESTS, Compare, Lookup, executors_config

CPU_SECONDS = 4.0
"""Per test, as long as the APPS harness lets one run."""
_PLAIN_SECONDS = 10.0
"""Wall time of a plain run: all tests of a program together."""
PLAIN_PRELUDE = """from typing import *
import math, re, collections, itertools, functools, heapq, string, sys, random, copy, operator
"""
_PLAIN_MEMORY = 4 << 30
_REFERENCES = {"APPS": "apps/train", "MBPP": "mbpp/mbpp.jsonl", "HumanEval": "humaneval/HumanEval.jsonl.gz"}
_OUTCOMES = "APPS outcomes"
_ASKED = {"published": 0.985, "plain": 0.997, "outcomes": 0.95}
"""Least agreement with each."""


class Case(NamedTuple):
    """A program and what is said about it."""

    set: str
    name: str
    problem: Problem
    code: str
    published: str
    """`pass` or `fail`, of an APPS program one of the four outcomes."""
    script: str | None = None
    """What a plain run runs."""


class Compared(msgspec.Struct, kw_only=True):
    """A program's verdicts by everybody."""

    set: str
    name: str
    published: str
    plain: str | None
    """`pass`, `fail` or `timeout`; None where there was no plain run."""
    ours: Outcome
    detail: Detail | None
    error_type: str | None
    message: str
    passed: int
    total: int
    slowest: float
    """CPU seconds of the test that took longest."""
    trust: Trust
    strict: Outcome
    strict_error: str | None

    def agrees(self, other: str) -> bool:
        """Is ours as `published` or as `plain` says it is?"""
        theirs = self.plain if other == "plain" else self.published
        if self.set == _OUTCOMES:
            return self.ours == theirs
        return (self.ours is Outcome.PASS) == (theirs == "pass")


def data_folder() -> Path:
    """The benchmark data's. Raises UserError where RLTF_DATA names none."""
    folder = Path(os.environ.get("RLTF_DATA", ""))
    if "RLTF_DATA" not in os.environ or not (folder / "verdicts").is_dir():
        raise UserError("no benchmark data: RLTF_DATA names no folder with verdicts/, apps/, mbpp/ and humaneval/", "Set it")
    return folder


def cases(folder: Path) -> list[Case]:
    """All programs, in one order."""
    return [*_programs(folder), *_outcomes(folder), *_references(folder)]


def judge(all_cases: Sequence[Case], compare: Compare) -> list[Verdict]:
    """Our verdicts, by all tests."""
    config = executors_config(compare, cpu_seconds=CPU_SECONDS, max_tests=ALL_TESTS, cached_verdicts=0)
    with Pool(config, RewardsConfig()) as pool:
        return list(pool.judge_all(Job(case.problem, case.code) for case in all_cases))


def run_plain(all_cases: Sequence[Case]) -> list[str | None]:
    """Each script's end in a fresh interpreter: two at a time, in an empty folder, without input."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
        return list(threads.map(lambda case: None if case.script is None else _run_plain(case.script, folder), all_cases))


def compared(
    all_cases: Iterable[Case], ours: Iterable[Verdict], strict: Iterable[Verdict], plain: Iterable[str | None]
) -> list[Compared]:
    """What everybody says, side by side."""
    return [
        Compared(
            set=case.set,
            name=case.name,
            published=case.published,
            plain=ended,
            ours=verdict.outcome,
            detail=verdict.detail,
            error_type=verdict.error_type,
            message=verdict.message,
            passed=verdict.passed,
            total=verdict.total,
            slowest=max((test.seconds for test in verdict.tests), default=0.0),
            trust=verdict.trust,
            strict=other.outcome,
            strict_error=other.error_type,
        )
        for case, verdict, other, ended in zip(all_cases, ours, strict, plain, strict=True)
    ]


def agreements(rows: Sequence[Compared]) -> dict[tuple[str, str], tuple[int, int, float]]:
    """(set, with whom) → how many agree, of how many, and the least share that is asked."""
    found = {}
    for name in dict.fromkeys(row.set for row in rows):
        members = [row for row in rows if row.set == name]
        for other in ("published", "plain"):
            chosen = [row for row in members if other == "published" or row.plain is not None]
            if chosen:
                asked = 0.0 if "references" in name else _ASKED["outcomes" if name == _OUTCOMES else other]
                found[name, other] = sum(row.agrees(other) for row in chosen), len(chosen), asked
    return found


def disagreements(rows: Iterable[Compared]) -> list[Compared]:
    """Those on which somebody disagrees with us."""
    return [row for row in rows if not row.agrees("published") or (row.plain is not None and not row.agrees("plain"))]


def _programs(folder: Path) -> Iterator[Case]:
    lookup = Lookup()
    for name, file in (("MBPP", "mbpp_passed"), ("HumanEval", "humaneval_passed")):
        for row in _rows(folder / "verdicts" / f"{file}.jsonl"):
            id_, problem = lookup.of_row(row)
            test = row["test"]
            call = "" if any(line.startswith("check(") for line in test.splitlines()) else f"\ncheck({row['entry_point']})"
            yield Case(
                set=f"{name} programs",
                name=f"{id_} {row['source'].removeprefix('ldb-')}",
                problem=problem,
                code=row["code"],
                published="pass" if row["passed"] else "fail",
                script=f"{PLAIN_PRELUDE}{row['code']}\n{test}{call}\n",
            )


def _outcomes(folder: Path) -> Iterator[Case]:
    lookup = Lookup(read_problems(folder / _REFERENCES["APPS"])[0])
    for row in _rows(folder / "verdicts" / "apps_outcomes.jsonl"):
        problem = lookup.by_id(row["problem_id"])
        yield Case(_OUTCOMES, f"{problem.id} sample {row['sample']}", problem, row["code"], row["outcome"])


def _references(folder: Path) -> Iterator[Case]:
    for name, place in _REFERENCES.items():
        for problem in read_problems(folder / place)[0]:
            for at, solution in enumerate(problem.solutions):
                yield Case(f"{name} references", f"{problem.id} solution {at}", problem, solution, "pass")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _run_plain(script: str, folder: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8", errors="surrogatepass") as file:
        file.write(script)
        file.flush()
        try:
            done = subprocess.run(
                [sys.executable, "-I", file.name],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_PLAIN_SECONDS,
                preexec_fn=_limit_memory,
            )
        except subprocess.TimeoutExpired:
            return "timeout"
    return "fail" if done.returncode else "pass"


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_PLAIN_MEMORY, _PLAIN_MEMORY))


def _print(console: Console, rows: Sequence[Compared]) -> None:
    table = Table("programs", "compared with", "agree", "share", "asked")
    for (name, other), (agree, total, asked) in agreements(rows).items():
        table.add_row(name, other, f"{agree}/{total}", f"{agree / total:.2%}", f"{asked:.1%}" if asked else "")
    console.print(table)
    table = Table("program", "published", "plain", "ours", "tests", "error", "trust", title="disagreements")
    for row in disagreements(rows):
        error = f"{row.error_type or ''}: {row.message}".strip(": ")
        ours = f"{row.ours}: {row.detail}" if row.detail else str(row.ours)
        table.add_row(row.name, row.published, row.plain or "", ours, f"{row.passed}/{row.total}", error, row.trust)
    console.print(table)
    table = Table("programs", "in apps mode", "in strict mode", "error", "how many", title="what strict mode changes")
    changes = Counter((row.set, row.ours, row.strict, row.strict_error) for row in rows if row.strict is not row.ours)
    for (name, before, after, kind), count in changes.items():
        table.add_row(name, before, after, kind, str(count))
    console.print(table)
    low = Counter(row.set for row in rows if row.trust is Trust.LOW)
    console.print(f"low trust: {', '.join(f'{count} of {name}' for name, count in low.items()) or 'none'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-plain", action="store_true", help="leave the plain runs out: they take minutes, without isolation")
    parser.add_argument("--output", type=Path, help="write every program's verdicts there, as JSON")
    options = parser.parse_args(arguments)
    try:
        all_cases = cases(data_folder())
        ours, strict = judge(all_cases, "apps"), judge(all_cases, "strict")
    except UserError as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    plain = [None] * len(all_cases) if options.no_plain else run_plain(all_cases)
    rows = compared(all_cases, ours, strict, plain)
    _print(Console(width=160), rows)
    if options.output is not None:
        write_in_one_move(options.output, msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
    return 0 if all(agree >= asked * total for agree, total, asked in agreements(rows).values()) else 1


if __name__ == "__main__":
    sys.exit(main())
