"""`rltf label`: run programs from a file and write their verdicts and rewards, one line each, in order. No model, no Ray."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import msgspec
from rich.console import Console

from contracts.errors import UserError
from contracts.records import Category, Outcome, Problem, Verdict
from contracts.rewards import adaptive_reward, coarse_reward
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.pool import Job, Pool
from executors.preludes import all_names
from problems.read import read_problems
from rltf.judging import Lookup, output_place
from rltf.progress import Progress, duration

_BETWEEN_UPDATES = 0.2
_CHUNK = 1 << 20
_REPORTED = 20
_PLACES = 6
_WORTH_A_HINT = 0.05
_UNDEFINED = re.compile(r"name '(\w+)' is not defined")
_FIELDS = ("outcome", "detail", "error_type", "passed", "total", "category", "span", "rewards", "seconds", "tests")
_MORE = ("expression", "trust", "message")
_ANALYSED = ("findings",)


def label_file(programs: Path, output: Path, problems: Path | None, config: ExecutorsConfig, console: Console) -> None:
    """Judge the programs; `output` is there complete or not at all, beside it grows `output`.partial.

    The first rows that cannot be used are reported on stderr with their line number, all of them counted. Raises UserError for a
    file that cannot be read or written, for a bad problem set, and where no row can be used.
    """
    if not programs.is_file():
        raise UserError(f"no file at {programs}", "Name a file of JSON lines, one program each")
    place = output_place(output, [programs, problems] if problems else [programs])
    lookup = Lookup(read_problems(problems)[0] if problems else ())
    count = _count_lines(programs)
    partial = place.with_name(f"{place.name}.partial")
    # A live panel takes stderr over and shows it above itself; where stderr goes elsewhere it must still get there.
    errors = sys.stderr if not sys.stderr.isatty() else None
    with Progress(console) as progress:
        progress.stage("label", count, "line")
        with Pool(config, RewardsConfig()) as pool, _reading(programs) as lines, _opened(partial) as out:
            rows = _Rows(lines, lookup, errors)
            fields = (*_FIELDS, *_MORE, *(_ANALYSED if config.analyse else ()))
            tally, missing, found, seconds = _write_lines(rows, pool, out, progress, fields)
            remembered = pool.cache_hits
        if not tally:
            partial.unlink()
            raise UserError(f"{programs} holds no program that can be judged", 'Write rows of {"problem_id": …, "code": …}')
        os.replace(partial, place)
    took = duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"
    progress.note(
        f"{_counted(tally.total(), 'program')} in {took}: {tally.total() / seconds:.0f} per second by "
        f"{_counted(config.cores, 'core')}; {remembered} seen before; {_counted(rows.bad, 'bad row')}"
    )
    progress.table("verdicts", ["outcome", "programs", "share"], _table(tally))
    if config.analyse:
        progress.table(
            "static findings", ["code", "programs", "share"], _shares(sorted(found.items(), key=_commonest), tally.total())
        )
    if config.prelude == "none" and missing.total() >= _WORTH_A_HINT * tally.total():
        progress.note(_hint(missing))


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
        self.read = 0

    def __iter__(self) -> Iterator[Job]:
        for number, line in enumerate(self._lines, 1):
            self.read = number
            if not line.strip():
                continue
            try:
                id_, problem, code = self._read(line)
            except ValueError as err:
                self.bad += 1
                if self.bad <= _REPORTED:
                    self._report(f"line {number}: {' '.join(str(err).split())}")
                continue
            self.waiting.append((number, id_))
            yield Job(problem, code)
        if self.bad > _REPORTED:
            self._report(f"… and {self.bad - _REPORTED} more")

    def _read(self, line: bytes) -> tuple[str | None, Problem, str]:
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as err:
            raise ValueError(f"it is not JSON: {err}") from err
        if not isinstance(row, dict):
            raise ValueError("it is not an object")
        if not isinstance(row.get("code"), str):
            raise ValueError('it has no "code" text')
        return *self._lookup.of_row(row), row["code"]

    def _report(self, text: str) -> None:
        print(text, file=self._errors or sys.stderr)


def _write_lines(
    rows: _Rows, pool: Pool, out: TextIO, progress: Progress, fields: Sequence[str]
) -> tuple[Counter[str], Counter[str], Counter[str], float]:
    """How often each kind of verdict came, each undefined name ended a program, and programs had each kind of static finding;
    and the wall seconds that it took."""
    table = RewardsConfig()
    tally: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    found: Counter[str] = Counter()

    def show(number: int, seconds: float) -> None:
        progress.update(number, programs_per_second=f"{tally.total() / seconds:.0f}", bad_rows=str(rows.bad))

    start = shown = time.monotonic()
    for verdict in pool.judge_all(rows):
        number, id_ = rows.waiting.popleft()
        out.write(json.dumps(_line(number, id_, verdict, table, fields)) + "\n")
        tally[_kind(verdict)] += 1
        found.update({finding.code for finding in verdict.findings})
        if verdict.error_type == "NameError" and (undefined := _UNDEFINED.match(verdict.message)):
            missing[undefined[1]] += 1
        now = time.monotonic()
        if now - shown > _BETWEEN_UPDATES:
            shown = now
            show(number, now - start)
    seconds = time.monotonic() - start
    show(rows.read, seconds)
    return tally, _provided(missing), found, seconds


def _line(number: int, id_: str | None, verdict: Verdict, table: RewardsConfig, names: Sequence[str]) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(verdict)
    rewards = rewards_of(verdict, table)
    fields["rewards"] = rewards and {name: value and round(value, _PLACES) for name, value in rewards.items()}
    fields["seconds"] = round(verdict.seconds, _PLACES)
    fields["tests"] = [{"outcome": test.outcome, "seconds": round(test.seconds, _PLACES)} for test in verdict.tests]
    return {"line": number, "problem_id": id_} | {name: fields[name] for name in names}


def _kind(verdict: Verdict) -> str:
    return f"{verdict.outcome}: {verdict.detail}" if verdict.detail else str(verdict.outcome)


def _table(tally: Counter[str]) -> list[list[str]]:
    order = [outcome.value for outcome in Outcome]
    kinds = sorted(tally, key=lambda kind: (order.index(kind.partition(":")[0]), -tally[kind]))
    return _shares([(kind, tally[kind]) for kind in kinds], tally.total())


def _commonest(count: tuple[str, int]) -> tuple[int, str]:
    return -count[1], count[0]


def _shares(counts: Iterable[tuple[str, int]], total: int) -> list[list[str]]:
    return [[kind, str(count), f"{count / total:.1%}"] for kind, count in counts]


def _provided(missing: Counter[str]) -> Counter[str]:
    """The undefined names that the prelude `apps` has, for either kind of test."""
    names = all_names() | {"np"}
    return Counter({name: count for name, count in missing.items() if name in names})


def _hint(missing: Counter[str]) -> str:
    commonest = missing.most_common(1)[0][0]
    if missing.total() == 1:
        return f"1 program uses a name that it doesn't import, {commonest}: --prelude apps provides it"
    return f"{missing.total()} programs use names that they don't import, such as {commonest}: --prelude apps provides them"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _reading(programs: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(programs)) if programs.suffix == ".gz" else programs.open("rb")


def _opened(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as err:
        raise UserError(f"{path} cannot be written: {err.strerror}", "Write elsewhere") from err


def _count_lines(programs: Path) -> int:
    """The last line counts whether it ends or not."""
    count, last = 0, b"\n"
    try:
        with _reading(programs) as file:
            while chunk := file.read(_CHUNK):
                count += chunk.count(b"\n")
                last = chunk
    except (OSError, EOFError, zlib.error) as err:
        raise UserError(f"{programs} cannot be read: {err}", "Name a file of JSON lines, gzipped if it ends in .gz") from err
    return count + (not last.endswith(b"\n"))
