"""`rltf label`: run programs from a file and write their verdicts and rewards, one line each, in order. No model, no Ray."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec
from rich.console import Console

from contracts.errors import UserError
from contracts.records import Category, Outcome, Problem, Verdict
from contracts.rewards import adaptive_reward, coarse_reward
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.pool import Job, Pool
from problems.read import read_problems
from rltf.judging import Lookup
from rltf.progress import Progress, duration

_BETWEEN_UPDATES = 0.2
_CHUNK = 1 << 20
_FIELDS = ("outcome", "detail", "error_type", "passed", "total", "category", "span", "rewards", "seconds", "tests")
_MORE = ("expression", "trust", "message")


def label_file(programs: Path, output: Path, problems: Path | None, config: ExecutorsConfig, console: Console) -> None:
    """Judge the programs; `output` is there complete or not at all, beside it grows `output`.partial.

    Rows that cannot be used are reported on stderr with their line number. Raises UserError for a file that cannot be read or
    written, for a bad problem set, and where no row can be used.
    """
    _check_places(programs, output)
    lookup = Lookup(read_problems(problems)[0] if problems else ())
    partial = output.with_name(f"{output.name}.partial")
    # A live panel takes stderr over and shows it above itself; where stderr goes elsewhere it must still get there.
    errors = sys.stderr if not sys.stderr.isatty() else None
    with Progress(console) as progress:
        progress.stage("label", _count_lines(programs), "line")
        with Pool(config, RewardsConfig()) as pool, programs.open("rb") as lines, _opened(partial) as out:
            rows = _Rows(lines, lookup, errors)
            tally, seconds = _write_lines(rows, pool, out, progress)
            remembered = pool.cache_hits
        if not tally:
            partial.unlink()
            raise UserError(f"{programs} holds no program that can be judged", 'Write rows of {"problem_id": …, "code": …}')
        os.replace(partial, output)
    progress.note(
        f"{tally.total()} programs in {duration(seconds)}: {tally.total() / seconds:.0f} per second by {config.cores} cores; "
        f"{remembered} seen before; {rows.bad} bad rows"
    )
    progress.table("verdicts", ["outcome", "programs", "share"], _table(tally))


def rewards_of(verdict: Verdict, table: RewardsConfig) -> dict[str, float | None] | None:
    """The three granularities of reward; None for a SANDBOX_ERROR. `fine` is 0 where no part of the program is to blame."""
    if verdict.outcome is Outcome.SANDBOX_ERROR:
        return None
    blamed = verdict.category is Category.GLOBAL or (verdict.category is Category.LINE and verdict.span is not None)
    return {
        "coarse": coarse_reward(verdict, table),
        "fine": table.fine if blamed else 0.0,
        "adaptive": adaptive_reward(verdict, table),
    }


class _Rows:
    """The file's good rows as jobs, with their places in `waiting`; bad rows are reported and counted."""

    def __init__(self, lines: Iterator[bytes], lookup: Lookup, errors: TextIO | None) -> None:
        self._lines = lines
        self._lookup = lookup
        self._errors = errors
        self.waiting: deque[tuple[int, str | None]] = deque()
        self.bad = 0

    def __iter__(self) -> Iterator[Job]:
        for number, line in enumerate(self._lines, 1):
            if not line.strip():
                continue
            try:
                id_, problem, code = self._read(line)
            except ValueError as err:
                self.bad += 1
                print(f"line {number}: {' '.join(str(err).split())}", file=self._errors or sys.stderr)
                continue
            self.waiting.append((number, id_))
            yield Job(problem, code)

    def _read(self, line: bytes) -> tuple[str | None, Problem, str]:
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as err:
            raise ValueError(f"it is not JSON: {err}") from err
        if not isinstance(row, dict) or not isinstance(row.get("code"), str):
            raise ValueError("it is no object with a program as its code")
        return *self._lookup.of_row(row), row["code"]


def _write_lines(rows: _Rows, pool: Pool, out: TextIO, progress: Progress) -> tuple[Counter[str], float]:
    """How often each kind of verdict came, and the wall seconds that it took."""
    table = RewardsConfig()
    tally: Counter[str] = Counter()
    start = shown = time.monotonic()
    for verdict in pool.judge_all(rows):
        number, id_ = rows.waiting.popleft()
        out.write(json.dumps(_line(number, id_, verdict, table)) + "\n")
        tally[_kind(verdict)] += 1
        now = time.monotonic()
        if now - shown > _BETWEEN_UPDATES:
            shown = now
            progress.update(number, programs_per_second=tally.total() / (now - start), bad_rows=str(rows.bad))
    return tally, time.monotonic() - start


def _line(number: int, id_: str | None, verdict: Verdict, table: RewardsConfig) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(verdict)
    fields["rewards"] = rewards_of(verdict, table)
    return {"line": number, "problem_id": id_} | {name: fields[name] for name in (*_FIELDS, *_MORE)}


def _kind(verdict: Verdict) -> str:
    return f"{verdict.outcome}: {verdict.detail}" if verdict.detail else str(verdict.outcome)


def _table(tally: Counter[str]) -> list[list[str]]:
    order = [outcome.value for outcome in Outcome]
    kinds = sorted(tally, key=lambda kind: (order.index(kind.partition(":")[0]), -tally[kind]))
    return [[kind, str(tally[kind]), f"{tally[kind] / tally.total():.1%}"] for kind in kinds]


def _check_places(programs: Path, output: Path) -> None:
    if not programs.is_file():
        raise UserError(f"no file at {programs}", "Name a file of JSON lines, one program each")
    if not output.parent.is_dir():
        raise UserError(f"no folder {output.parent} to write into", "Make it or write elsewhere")
    if output.is_dir() or (output.exists() and output.samefile(programs)):
        raise UserError(f"{output} would be overwritten", "Write to another file")


def _opened(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as err:
        raise UserError(f"{path} cannot be written: {err.strerror}", "Write elsewhere") from err


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))
