"""What judging by hand has in common, from files and from other programs: settings, and which problem a row is about."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

from contracts.records import Problem
from contracts.sections import ExecutorsConfig
from problems.asserts import assert_tests

Compare = Literal["strict", "apps"]
ALL_TESTS = 1_000_000
"""For `max_tests`: as many as there are."""
_REMEMBERED = 1024


def executors_config(compare: Compare, cores: int | None = None, **settings: Any) -> ExecutorsConfig:
    """Executors as `compare` means them: `apps` with the APPS harness's prelude, `strict` with none. `cores` None: all.

    `settings` are other keys of the recipe's section `executors`. Raises pydantic's ValidationError for bad ones.
    """
    prelude = "apps" if compare == "apps" else "none"
    return ExecutorsConfig.model_validate(
        {"compare": compare, "prelude": prelude, "cores": cores or len(os.sched_getaffinity(0)), **settings}
    )


class Lookup:
    """Rows' problems: from a problem set, or from the tests that a row carries itself."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        self._problems: dict[str, Problem] = {}
        for problem in problems:
            self._problems[problem.id] = problem
            self._problems.setdefault(problem.id.rpartition("/")[2], problem)
        self._own = lru_cache(_REMEMBERED)(_own_problem)

    def by_id(self, id_: str | int) -> Problem:
        """A problem of the set; "MBPP/11" is also 11 and "11". Raises ValueError where it has none."""
        problem = self._problems.get(str(id_))
        if problem is None:
            raise ValueError(f"no problem {id_!r}" + ("" if self._problems else ": no problem set was given"))
        return problem

    def of_row(self, row: Mapping[str, Any]) -> tuple[str | None, Problem]:
        """The problem of `entry_point` and `test`, where a row has them, or else of `problem_id` or `task_id`; and its id.

        Raises ValueError, saying what is wrong with the row.
        """
        id_ = row.get("problem_id", row.get("task_id"))
        if not isinstance(id_, str | int | None) or isinstance(id_, bool):
            raise ValueError("its problem_id is neither text nor a whole number")
        entry, test = row.get("entry_point"), row.get("test")
        if test is None:
            if id_ is None:
                raise ValueError("it has neither a problem_id nor a test")
            problem = self.by_id(id_)
            return problem.id, problem
        if not isinstance(test, str) or not isinstance(entry, str) or not entry.isidentifier():
            raise ValueError("its test needs to be text, and an entry_point beside it a function's name")
        return None if id_ is None else str(id_), self._own(entry, test)


def _own_problem(entry_point: str, test: str) -> Problem:
    """A problem that is known by its tests alone."""
    try:
        setup, tests = assert_tests(test, entry_point)
    except ValueError as err:
        raise ValueError(f"its test cannot be used: {err}") from err
    digest = hashlib.sha256(f"{entry_point}\n{test}".encode("utf-8", "surrogatepass")).hexdigest()
    return Problem(id=f"test {digest}", question="", fn_name=entry_point, test_setup=setup, tests=tests)
