"""Assert tests of the one form that can be grown, `assert f(ARGUMENTS) == EXPECTED` with literals, and new ones of it.

The call is to the problem's function or to `candidate`, at the top of the test or alone in `def check(candidate)`.
"""

from __future__ import annotations

import ast
import math
from typing import Any

from problems.asserts import parse

_TOLERANCE = 1e-6
"""Relative, of a number that is no whole one: two right formulas rarely agree to the last bit."""


def arguments_of(source: str, fn_name: str) -> list[Any] | None:
    """The arguments of a test's only call; None for a test of another form."""
    try:
        body = parse(source).body
    except ValueError:
        return None
    if len(body) == 2 and isinstance(body[0], ast.FunctionDef) and ast.unparse(body[1]) == "check(candidate)":
        body = body[0].body
    if len(body) != 1 or not isinstance(body[0], ast.Assert) or not isinstance(body[0].test, ast.Compare):
        return None
    compared = body[0].test
    call = compared.left
    if not isinstance(call, ast.Call) or call.keywords or [type(operator) for operator in compared.ops] != [ast.Eq]:
        return None
    if not isinstance(call.func, ast.Name) or call.func.id not in (fn_name, "candidate"):
        return None
    try:
        ast.literal_eval(compared.comparators[0])
        return [ast.literal_eval(argument) for argument in call.args]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def assert_test(fn_name: str, arguments: list[Any], expected: Any) -> str | None:
    """The source of a test; None where no literal says what is expected: floats within containers, infinities."""
    call = f"{fn_name}({', '.join(map(literal, arguments))})"
    if isinstance(expected, float):
        if not math.isfinite(expected):
            return None
        return f"assert abs({call} - {expected!r}) <= {_TOLERANCE * max(1.0, abs(expected))!r}"
    if _has_float(expected):
        return None
    return f"assert {call} == {literal(expected)}"


def literal(value: Any) -> str:
    """Source of plain data, the same in every process."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' * (len(value) == 1)})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(key)}: {literal(item)}' for key, item in value.items())}}}"
    if isinstance(value, set | frozenset):
        inner = f"{{{', '.join(sorted(map(literal, value)))}}}" if value else "set()"
        return inner if isinstance(value, set) else f"frozenset({inner})"
    return repr(value)


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_float, (*value.keys(), *value.values())))
    return isinstance(value, float) or (isinstance(value, list | tuple | set | frozenset) and any(map(_has_float, value)))
