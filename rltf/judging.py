"""What judging by hand has in common, from files and from other programs: settings, places, and which problem a row is about."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from contracts.errors import UserError
from contracts.recipe import parse_recipe
from contracts.records import Problem
from contracts.sections import ExecutorsConfig
from problems.asserts import assert_tests

Compare = Literal["strict", "apps"]
Prelude = Literal["none", "apps"]
ALL_TESTS = 1_000_000
"""For `max_tests`: as many as there are."""
_REMEMBERED = 1024
_MOST_CPU_SECONDS = 86_400
_LEAST_MEMORY_MB = 64


def executors_config(
    compare: Compare, cores: int | None = None, prelude: Prelude | None = None, **settings: Any
) -> ExecutorsConfig:
    """Executors as `compare` means them: `apps` with the APPS harness's prelude, `strict` with none. `cores` None: all.

    `settings` are other keys of the recipe's section `executors`. Raises UserError for bad ones, for more cores than there are
    CPUs, for more than a day of CPU time a test, and for less than 64 MB of memory.
    """
    cpus = len(os.sched_getaffinity(0))
    asked = {
        "compare": compare,
        "prelude": prelude or ("apps" if compare == "apps" else "none"),
        "cores": cpus if cores is None else cores,
        **settings,
    }
    config = parse_recipe({"name": "judging", "executors": asked}).executors
    if config.cores > cpus:
        raise UserError(f"cores={config.cores} is more than the {cpus} CPUs here", f"Ask for {cpus} or fewer")
    if config.cpu_seconds > _MOST_CPU_SECONDS:
        raise UserError(f"cpu_seconds={config.cpu_seconds} is no limit", "Give a test's CPU seconds, for example 2")
    if config.memory_mb < _LEAST_MEMORY_MB:
        raise UserError(f"memory_mb={config.memory_mb} is too little for Python", f"Give {_LEAST_MEMORY_MB} or more")
    return config


def output_place(output: Path, sources: Iterable[Path]) -> Path:
    """Where an output file really goes: links are followed. It grows beside that, in a file of the same name and .partial.

    Raises UserError where anything but a regular file is there, where none can be made, and where a source would be overwritten.
    """
    if str(output) == "-" or (output.exists() and not output.is_file()):
        raise UserError(f"{output} is not a regular file", "Write to another file")
    place = Path(os.path.realpath(output))
    if not place.parent.is_dir():
        raise UserError(f"no folder {output.parent} to write {output} into", "Make it or write elsewhere")
    if not os.access(place.parent, os.W_OK):
        raise UserError(f"{output} cannot be written: no permission", "Write elsewhere")
    for source in map(os.path.realpath, sources):
        for written in (place, place.with_name(f"{place.name}.partial")):
            if written.is_relative_to(source) or (written.exists() and os.path.exists(source) and written.samefile(source)):
                raise UserError(f"{source} would be overwritten by {output}", "Write to another file, elsewhere")
    return place


class Lookup:
    """Rows' problems: from a problem set, or from the tests that a row carries itself."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        named = {problem.id: problem for problem in problems}
        self._shorts: dict[str, list[str]] = {}
        """The end of an id → the ids that have it."""
        for id_ in named:
            self._shorts.setdefault(id_.rpartition("/")[2], []).append(id_)
        alone = {short: named[ids[0]] for short, ids in self._shorts.items() if len(ids) == 1}
        self._problems: dict[str, Problem] = alone | named
        self._own = lru_cache(_REMEMBERED)(_own_problem)

    def by_id(self, id_: str | int) -> Problem:
        """A problem of the set; "MBPP/11" is also 11 and "11", if no other id ends in /11. Raises ValueError for none."""
        problem = self._problems.get(str(id_))
        if problem is None:
            if len(ids := self._shorts.get(str(id_), [])) > 1:
                raise ValueError(f'{id_!r} is short for several problems, "{ids[0]}" and "{ids[1]}" among them')
            raise _UnknownProblemError(id_, self._problems)
        return problem

    def named(self, row: Mapping[str, Any]) -> tuple[str, Problem]:
        """The problem of `problem_id` or `task_id`, whatever tests the row carries; and its id. Raises ValueError likewise."""
        id_ = _id_of(row)
        if id_ is None:
            raise ValueError("it has no problem_id")
        problem = self.by_id(id_)
        return problem.id, problem

    def of_row(self, row: Mapping[str, Any]) -> tuple[str | None, Problem]:
        """The problem of `entry_point` and `test`, where a row has them, or else of `problem_id` or `task_id`; and its id.

        Raises ValueError, saying what is wrong with the row.
        """
        id_ = _id_of(row)
        entry, test = row.get("entry_point"), row.get("test")
        if test is None:
            if id_ is None:
                raise ValueError("it has neither a problem_id nor a test")
            return self.named(row)
        if not isinstance(test, str) or not isinstance(entry, str) or not entry.isidentifier():
            raise ValueError("its test needs to be text, and an entry_point beside it a function's name")
        return None if id_ is None else str(id_), self._own(entry, test)


def _id_of(row: Mapping[str, Any]) -> str | int | None:
    id_ = row.get("problem_id", row.get("task_id"))
    if not isinstance(id_, str | int | None) or isinstance(id_, bool):
        raise ValueError("its problem_id is neither text nor a whole number")
    return id_


class _UnknownProblemError(ValueError):
    """Looks for the nearest ids only when somebody reads it: that is slow in a large set."""

    def __init__(self, id_: str | int, known: Mapping[str, Problem]) -> None:
        super().__init__(id_, known)
        self._id = id_
        self._known = known

    def __str__(self) -> str:
        if not self._known:
            return f"no problem {self._id!r}: no problem set was given"
        asked = str(self._id)
        padded = [id_ for id_ in self._known if id_.isdecimal() and id_.lstrip("0") == asked.lstrip("0")]
        near = padded or difflib.get_close_matches(asked, self._known, n=3)
        ids = dict.fromkeys(f'"{self._known[id_].id}"' for id_ in near)
        return f"no problem {self._id!r}" + (f": did you mean {' or '.join(ids)}?" if ids else "")


def _own_problem(entry_point: str, test: str) -> Problem:
    """A problem that is known by its tests alone."""
    try:
        setup, tests = assert_tests(test, entry_point)
    except ValueError as err:
        raise ValueError(f"its test cannot be used: {err}") from err
    digest = hashlib.sha256(f"{entry_point}\n{test}".encode("utf-8", "surrogatepass")).hexdigest()
    return Problem(id=f"test {digest}", question="", fn_name=entry_point, test_setup=setup, tests=tests)
