"""`rltf label`: run programs from a file and write their verdicts and rewards, one line each, in order. No model, no Ray."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec
from rich.console import Console

from contracts import metrics as m
from contracts.counts import number_of
from contracts.errors import UserError
from contracts.records import Category, Outcome, Verdict
from contracts.rewards import adaptive_reward, coarse_reward
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.pool import Job, Pool
from executors.preludes import all_names
from problems.read import read_problems
from rltf.judging import Lookup, output_place
from rltf.progress import Progress, duration
from rltf.rows import Rows, count_lines, errors_stream, nothing_to_judge, reading

_BETWEEN_UPDATES = 0.2
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
    place = output_place(output, [programs, problems] if problems else [programs])
    lookup = Lookup(read_problems(problems)[0] if problems else ())
    count = count_lines(programs)
    partial = place.with_name(f"{place.name}.partial")
    errors = errors_stream()
    with Progress(console) as progress:
        progress.stage("label", count, "line")
        with Pool(config, RewardsConfig()) as pool, reading(programs) as lines, _opened(partial) as out:
            rows = Rows(lines, lookup.of_row, errors)
            fields = (*_FIELDS, *_MORE, *(_ANALYSED if config.analyse else ()))
            tally, missing, found, seconds = _write_lines(rows, pool, out, progress, fields)
            remembered = number_of(pool.collect(), m.REMEMBERED)
        if not tally:
            partial.unlink()
            raise nothing_to_judge(programs)
        os.replace(partial, place)
    took = duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"
    progress.note(
        f"{_counted(tally.total(), 'program')} in {took}: {tally.total() / seconds:.0f} per second by "
        f"{_counted(config.cores, 'core')}; {remembered:.0f} seen before; {_counted(rows.bad, 'bad row')}"
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


def _write_lines(
    rows: Rows, pool: Pool, out: TextIO, progress: Progress, fields: Sequence[str]
) -> tuple[Counter[str], Counter[str], Counter[str], float]:
    """How often each kind of verdict came, each undefined name ended a program, and programs had each kind of static finding;
    and the wall seconds that it took."""
    table = RewardsConfig()
    tally: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    found: Counter[str] = Counter()

    def show(number: int, seconds: float) -> None:
        progress.update(number, programs_per_second=f"{tally.total() / seconds:.0f}", bad_rows=str(rows.bad))

    waiting: deque[tuple[int, str | None]] = deque()

    def jobs() -> Iterator[Job]:
        for row in rows:
            waiting.append((row.number, row.id))
            yield Job(row.problem, row.code)

    start = shown = time.monotonic()
    for verdict in pool.judge_all(jobs()):
        number, id_ = waiting.popleft()
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


def _opened(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as err:
        raise UserError(f"{path} cannot be written: {err.strerror}", "Write elsewhere") from err
