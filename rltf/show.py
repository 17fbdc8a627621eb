"""`rltf problems show`: what a problem set holds, or one of its problems, for people to read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from unicodedata import category

from rich.console import Console
from rich.text import Text

from contracts.errors import UserError
from contracts.records import Problem, Test, TestKind
from problems.digits import any_digits
from problems.read import read_problems
from rltf.judging import Lookup
from rltf.progress import Progress

_COLUMNS = ("split", "difficulty", "kind", "problems", "tests", "median", "hidden", "median", "solutions", "median")
_NAMES = 3
_IDS = 5
_TESTS = 3
_LINES = 12
_CHARACTERS = 600


def show_problems(path: Path, id_: str | None, console: Console) -> None:
    """Print a table of the set, or one problem. Raises UserError for a bad problem set, and for an id that it lacks."""
    problems, without_tests = read_problems(path)
    if id_ is None:
        _show_set(problems, without_tests, console)
        return
    try:
        problem = Lookup(problems).by_id(id_)
    except ValueError as err:
        raise UserError(f"{path}: {str(err).removesuffix('?')}", "Leave the id out to see some") from err
    for heading, text in _parts(problem):
        console.print(Text(heading, style="bold"), soft_wrap=True)
        console.print(Text(_printable(text)), soft_wrap=True)


def _show_set(problems: Sequence[Problem], without_tests: int, console: Console) -> None:
    groups: dict[tuple[str, ...], list[Problem]] = defaultdict(list)
    for problem in problems:
        groups[_printable(problem.split or "-"), _printable(problem.difficulty), problem.kind.value].append(problem)
    rows = [_row(names, group) for names, group in sorted(groups.items())]
    if len(rows) > 1:
        rows.append(_row(("all", "", ""), problems))
    Progress(console).table("problem set", _COLUMNS, rows, names=_NAMES)
    ids = [_printable(problem.id) for problem in problems]
    some = ids if len(ids) <= _IDS + 1 else [*ids[:_IDS], "…", ids[-1]]
    console.print(Text(f"ids: {', '.join(some).replace(', …, ', ' … ')}"), soft_wrap=True)
    if without_tests:
        console.print(Text(f"{without_tests} without tests left out"))


def _row(names: Sequence[str], problems: Sequence[Problem]) -> list[str]:
    """What counts in totals, and beside it the median of a problem."""
    counts = ([len(part) for part in parts] for parts in zip(*map(_counted, problems), strict=True))
    figures = [figure for count in counts for figure in (f"{sum(count)}", f"{median(count):g}")]
    return [*names, str(len(problems)), *figures]


def _counted(problem: Problem) -> tuple[Sequence[Any], ...]:
    return problem.tests, problem.hidden_tests, problem.solutions


def _parts(problem: Problem) -> Iterable[tuple[str, str]]:
    about = [problem.kind.value, problem.split and f"split {problem.split}", f"difficulty {problem.difficulty}", problem.source]
    yield problem.id, " · ".join(filter(None, about)) + "\n"
    yield "statement", problem.question.rstrip() + "\n"
    if problem.starter_code and problem.starter_code != problem.question:
        yield "starter code", problem.starter_code.rstrip() + "\n"
    if problem.test_setup:
        yield "before each test", _shortened(problem.test_setup) + "\n"
    for name, tests in (("tests", problem.tests), ("hidden tests", problem.hidden_tests)):
        if tests:
            shown = "\n".join(_test(test, problem) for test in tests[:_TESTS])
            more = f"… and {len(tests) - _TESTS} more\n" if len(tests) > _TESTS else ""
            yield f"{name}: {len(tests)}", f"{shown}\n{more}"
    if problem.solutions:
        yield f"solutions: {len(problem.solutions)}, the first", problem.solutions[0].rstrip()


def _test(test: Test, problem: Problem) -> str:
    if problem.kind is TestKind.ASSERT:
        return _shortened(test.input)
    if problem.kind is TestKind.CALL:
        return _shortened(f"{problem.fn_name}({', '.join(map(_json, test.input))}) -> {_json(test.expected)}")
    return f"input\n{_indented(test.input)}\nexpected\n{_indented(test.expected)}"


@any_digits()
def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in _shortened(text).split("\n"))


def _shortened(text: str) -> str:
    """The first lines and characters, and how much more there is."""
    whole = text.rstrip("\n")
    lines = whole.split("\n")
    short = "\n".join(lines[:_LINES])[:_CHARACTERS]
    return short if short == whole else f"{short} … ({len(whole) - len(short)} more characters)"


def _printable(text: str) -> str:
    """What a terminal would obey is spelled out: a problem set is somebody else's text."""
    lines = text.replace("\r\n", "\n")
    return "".join(f"\\x{ord(char):02x}" if category(char)[0] == "C" and char not in "\n\t" else char for char in lines)
