"""Problems as JSON lines of one's own, one object a line: docs/problems.md has the table of its keys.

What is written is read back as the same problem.
"""

from __future__ import annotations

import difflib
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from contracts.files import write_in_one_move
from contracts.records import Problem, Test, TestKind
from problems.asserts import parse
from problems.checked import Seconds
from problems.digits import any_digits
from problems.io_tests import function_name, io_tests


class TestRow(msgspec.Struct, omit_defaults=True):
    """A test: `input` and `expected`, or `assert`."""

    input: Any = UNSET
    """stdin: text. Call-based: the list of arguments."""
    expected: Any = UNSET
    """stdin: text. Call-based: the plain result."""
    assertion: str | UnsetType = msgspec.field(default=UNSET, name="assert")
    """Source that calls the function and asserts something about what it returns."""


class ProblemRow(msgspec.Struct, omit_defaults=True):
    """A row. A test that is only text is an assertion; a corpus that is left out is the solutions."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    question: str
    tests: list[str | TestRow]
    hidden_tests: list[str | TestRow] = []
    fn_name: str | None = None
    test_setup: str | None = None
    starter_code: str = ""
    solutions: list[str] = []
    corpus: list[str] | None = None
    difficulty: str = "unknown"
    split: str = ""
    source: str = ""
    reference_seconds: Seconds | None = None


def own_problem(data: dict[str, Any]) -> Problem:
    """A row's problem. Raises ValueError, saying what is wrong with it, for a malformed row or one with unknown keys."""
    _refuse_unknown(data, ProblemRow)
    row = msgspec.convert(data, ProblemRow)
    for test in (*data["tests"], *data.get("hidden_tests", ())):
        if isinstance(test, dict):
            _refuse_unknown(test, TestRow)
    tests, hidden = _test_rows(row.tests), _test_rows(row.hidden_tests)
    asserting = row.test_setup is not None or any(test.assertion is not UNSET for test in tests + hidden)
    solutions = tuple(row.solutions)
    return Problem(
        id=row.id,
        question=row.question,
        starter_code=row.starter_code,
        fn_name=function_name(data),
        test_setup=_setup(row) if asserting else None,
        tests=_tests(tests, row.fn_name, asserting),
        hidden_tests=_tests(hidden, row.fn_name, asserting),
        solutions=solutions,
        corpus=solutions if row.corpus is None else tuple(row.corpus),
        difficulty=row.difficulty,
        split=row.split,
        source=row.source,
        reference_seconds=row.reference_seconds,
    )


@any_digits()
def write_rows(path: Path, problems: Iterable[Problem]) -> None:
    """Write JSON lines in one move, gzipped where the name ends in .gz."""
    text = "".join(json.dumps(msgspec.to_builtins(_row(problem))) + "\n" for problem in problems)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_in_one_move(path, gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())


def _refuse_unknown(data: dict[str, Any], row: type[msgspec.Struct]) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(row)]
    for key in data:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            raise ValueError(f"unknown key {key!r} ({f'did you mean {near[0]}?' if near else 'there are: ' + ', '.join(names)})")


def _test_rows(tests: Sequence[str | TestRow]) -> list[TestRow]:
    return [TestRow(assertion=test) if isinstance(test, str) else test for test in tests]


def _setup(row: ProblemRow) -> str:
    if row.fn_name is None:
        raise ValueError("its tests are assertions: it needs a fn_name, the function that they call")
    parse(row.test_setup or "")
    return row.test_setup or ""


def _tests(rows: Sequence[TestRow], fn_name: str | None, asserting: bool) -> tuple[Test, ...]:
    for row in rows:
        has = (row.input is not UNSET, row.expected is not UNSET, row.assertion is not UNSET)
        if has != (not asserting, not asserting, asserting):
            raise ValueError(f"each of its tests needs {'an assert and nothing else' if asserting else 'input and expected'}")
    if not asserting:
        return io_tests({"inputs": [row.input for row in rows], "outputs": [row.expected for row in rows]}, fn_name)
    for row in rows:
        parse(str(row.assertion))
    return tuple(Test(row.assertion, None) for row in rows)


def _row(problem: Problem) -> ProblemRow:
    asserting = problem.kind is TestKind.ASSERT
    return ProblemRow(
        id=problem.id,
        question=problem.question,
        tests=[_test_row(test, asserting) for test in problem.tests],
        hidden_tests=[_test_row(test, asserting) for test in problem.hidden_tests],
        fn_name=problem.fn_name,
        test_setup=problem.test_setup or None,
        starter_code=problem.starter_code,
        solutions=list(problem.solutions),
        corpus=None if problem.corpus == problem.solutions else list(problem.corpus),
        difficulty=problem.difficulty,
        split=problem.split,
        source=problem.source,
        reference_seconds=problem.reference_seconds,
    )


def _test_row(test: Test, asserting: bool) -> TestRow:
    return TestRow(assertion=test.input) if asserting else TestRow(test.input, test.expected)
