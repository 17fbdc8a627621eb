"""MBPP and HumanEval: files of problems whose tests are assertions.

MBPP (Austin et al. 2021, arXiv 2108.07732): mbpp.jsonl or sanitized-mbpp.json. Its statements don't name the function, so they
are followed by the tests, as in that paper. Challenge tests are left out: published results don't use them.
HumanEval (Chen et al. 2021, arXiv 2107.03374): HumanEval.jsonl. Helpers that a prompt defines belong to the tests as well: what
a check calls is the data set's helper, whatever the program made of it.
"""

from __future__ import annotations

import ast
import builtins
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from contracts.errors import UserError
from contracts.records import Problem, Test
from problems.asserts import assert_tests, parse, without

ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
_REMEDY = "Name an MBPP or HumanEval file as published, or a folder in the APPS layout"
_ASKED = "\nYour code should pass these tests:\n\n"


class _Mbpp(msgspec.Struct):
    """A row of either MBPP file; `text` and `prompt` are two names of one thing."""

    task_id: int
    code: str
    test_list: list[str]
    text: str = ""
    prompt: str = ""
    test_setup_code: str = ""
    test_imports: list[str] = []


class _HumanEval(msgspec.Struct):
    """A row of HumanEval."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str


def read_file(path: Path) -> tuple[list[Problem], int]:
    """The problems of an MBPP or HumanEval file, in its order, and how many were dropped because they have no tests.

    Raises UserError, naming the row, for a file that is neither or that is malformed.
    """
    problems: list[Problem] = []
    dropped = 0
    for where, row in _rows(path):
        problem = _problem(where, row)
        if problem is None:
            dropped += 1
        else:
            problems.append(problem)
    if not problems:
        raise UserError(f"{path} holds no problems with tests", _REMEDY)
    repeated = [id_ for id_, count in Counter(problem.id for problem in problems).items() if count > 1]
    if repeated:
        raise UserError(f"{path} has {repeated[0]} twice", "Remove one of them")
    return problems, dropped


def _problem(where: str, row: Any) -> Problem | None:
    try:
        if isinstance(row, dict) and "test_list" in row:
            return _mbpp(msgspec.convert(row, _Mbpp))
        if isinstance(row, dict) and "canonical_solution" in row:
            return _humaneval(msgspec.convert(row, _HumanEval))
        raise ValueError("a problem of MBPP has a test_list, one of HumanEval a canonical_solution")
    except ValueError as err:  # msgspec's and assert_tests' too
        _malformed(where, f"is malformed: {err}")


def _mbpp(row: _Mbpp) -> Problem | None:
    if not row.test_list:
        return None
    shown = "\n".join(test.strip() for test in row.test_list)
    return Problem(
        id=f"MBPP/{row.task_id}",
        question=(row.text or row.prompt) + _ASKED + shown + "\n",
        fn_name=_called(row),
        test_setup="\n".join(part for part in (*row.test_imports, row.test_setup_code) if part),
        tests=tuple(Test(test, None) for test in row.test_list),
        solutions=(row.code,),
        corpus=(row.code,),
        source="MBPP",
    )


def _called(row: _Mbpp) -> str:
    """The function that all tests call and that the reference defines, the last such; where it has none, any that they call."""
    called = [
        {node.func.id for node in ast.walk(parse(test)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        for test in row.test_list
    ]
    common = set.intersection(*called)
    defined = [node.name for node in parse(row.code).body if isinstance(node, ast.FunctionDef) and node.name in common]
    found = defined or sorted(common - set(dir(builtins)))
    if not found:
        raise ValueError("its tests call no function in common")
    return found[-1]


def _humaneval(row: _HumanEval) -> Problem:
    reference = row.prompt + row.canonical_solution
    helpers = ast.Module(without(parse(reference).body, row.entry_point), [])
    setup, tests = assert_tests(f"{ast.unparse(helpers)}\n{row.test}", row.entry_point)
    return Problem(
        id=row.task_id,
        question=row.prompt,
        starter_code=row.prompt,
        fn_name=row.entry_point,
        test_setup=setup,
        tests=tests,
        solutions=(reference,),
        corpus=(reference,),
        source="HumanEval",
    )


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Each row with its place: of JSON lines, or of one JSON list."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as err:
        raise UserError(f"{path} cannot be read: {err}", _REMEDY) from err
    if path.suffixes[-1:] == [".json"] or path.suffixes[-2:] == [".json", ".gz"]:
        rows = _json(str(path), text)
        if not isinstance(rows, list):
            _malformed(str(path), "is not a list of problems")
        yield from ((f"{path}, problem {number}", row) for number, row in enumerate(rows, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _json(where, line)


def _json(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        _malformed(where, f"is not JSON: {err}")


def _malformed(where: str, what: str) -> NoReturn:
    raise UserError(f"{where} {what}", _REMEDY)
