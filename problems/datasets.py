"""MBPP and HumanEval: problems whose tests are assertions, from the rows of their files.

MBPP (Austin et al. 2021, arXiv 2108.07732): mbpp.jsonl or sanitized-mbpp.json. Its statements don't name the function, so they
are followed by the tests, as in that paper: "Your code should pass these tests:", a blank line, all tests. Nothing comes before
a statement: not the paper's three examples of the split `prompt`, nor its "You are an expert Python programmer", which a recipe
can put into `prompt.template`. Challenge tests are left out: published results don't use them. Both files number their problems
alike, and the numbers tell the paper's splits.
HumanEval (Chen et al. 2021, arXiv 2107.03374): HumanEval.jsonl. The prompt, a signature and its docstring, is statement and
starter code. Helpers that a prompt defines belong to the tests as well: what a check calls is the data set's helper, whatever
the program made of it. All problems are for testing.
"""

from __future__ import annotations

import ast
import builtins
from typing import Any

import msgspec

from contracts.records import Problem, Test
from problems.asserts import assert_tests, parse, without

_ASKED = "\nYour code should pass these tests:\n\n"
_SPLITS = ((10, "prompt"), (510, "test"), (600, "validation"), (974, "train"))
"""The last number of each of MBPP's splits."""


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


def mbpp_problem(data: dict[str, Any]) -> Problem:
    """A row's problem. Raises ValueError, saying what is wrong with it, for a malformed row."""
    row = msgspec.convert(data, _Mbpp)
    shown = "\n".join(test.strip() for test in row.test_list)
    return Problem(
        id=f"MBPP/{row.task_id}",
        question=(row.text or row.prompt) + _ASKED + shown + "\n",
        fn_name=_called(row) if row.test_list else None,
        test_setup="\n".join(part for part in (*row.test_imports, row.test_setup_code) if part),
        tests=tuple(Test(test, None) for test in row.test_list),
        solutions=(row.code,),
        corpus=(row.code,),
        split=next((split for last, split in _SPLITS if row.task_id <= last), ""),
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


def humaneval_problem(data: dict[str, Any]) -> Problem:
    """A row's problem. Raises ValueError, saying what is wrong with it, for a malformed row."""
    row = msgspec.convert(data, _HumanEval)
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
        split="test",
        source="HumanEval",
    )
