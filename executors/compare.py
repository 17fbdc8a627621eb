"""Is an answer right? Two ways to compare, as pure functions of plain data.

`strict` is for training. `apps` accepts whatever the harness of APPS (Hendrycks et al. 2021, arXiv 2105.09938) accepts, for
published numbers: also permuted or repeated lines and tokens, 1000009 for 1000000, and 7 for [7, 8, 9].
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Literal

Mode = Literal["strict", "apps"]

_TOLERANCE = 1e-6
_REAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def same_output(output: str, expected: str, mode: Mode) -> bool:
    """Does a program's stdout answer the test?"""
    return _strict_output(output, expected) if mode == "strict" else _apps_output(output, expected)


def same_value(value: Any, expected: Any, mode: Mode) -> bool:
    """Does a function's plain return value answer the test?"""
    return _strict_value(value, expected) if mode == "strict" else _apps_value(value, expected)


def _strict_output(output: str, expected: str) -> bool:
    """Line by line, token by token; blanks at line ends and blank lines at the end are free."""
    lines, wanted = output.rstrip().split("\n"), expected.rstrip().split("\n")
    if len(lines) != len(wanted):
        return False
    return all(_strict_line(line.split(), other.split()) for line, other in zip(lines, wanted, strict=True))


def _strict_line(tokens: list[str], wanted: list[str]) -> bool:
    return tokens == wanted or (len(tokens) == len(wanted) and all(map(_strict_token, tokens, wanted)))


def _strict_token(token: str, wanted: str) -> bool:
    """Equal text, or numbers within tolerance where the expected one has a point or an exponent."""
    if token == wanted:
        return True
    if not re.search("[.eE]", wanted) or not _REAL.fullmatch(wanted) or not _REAL.fullmatch(token):
        return False
    return _is_close(float(token), float(wanted))


def _is_close(number: float, wanted: float) -> bool:
    return abs(number - wanted) <= _TOLERANCE * max(1.0, abs(wanted))


def _strict_value(value: Any, expected: Any) -> bool:
    """Plain data equal: tuple ≡ list, bool is not int, floats within tolerance, NaN never."""
    if isinstance(value, bool) or isinstance(expected, bool):
        return type(value) is type(expected) and value == expected
    if isinstance(expected, float) and isinstance(value, int | float):
        return value == expected or (_is_small(value) and math.isfinite(expected) and _is_close(value, expected))
    if isinstance(expected, list | tuple):
        return isinstance(value, list | tuple) and len(value) == len(expected) and all(map(_strict_value, value, expected))
    if isinstance(expected, dict):
        return isinstance(value, dict) and _strict_dict(value, expected)
    if isinstance(expected, set | frozenset):
        return isinstance(value, set | frozenset) and {_typed(item) for item in value} == {_typed(item) for item in expected}
    return bool(value == expected)


def _strict_dict(value: dict[Any, Any], expected: dict[Any, Any]) -> bool:
    others = {_typed(key): item for key, item in value.items()}
    wanted = {_typed(key): item for key, item in expected.items()}
    return others.keys() == wanted.keys() and all(_strict_value(others[key], item) for key, item in wanted.items())


def _typed(key: Any) -> Any:
    """A key that tells True from 1."""
    return tuple(map(_typed, key)) if isinstance(key, tuple) else (isinstance(key, bool), key)


def _is_small(number: float) -> bool:
    """Finite and, for an int, within a float's range."""
    return -1.7e308 < number < 1.7e308


def _apps_output(output: str, expected: str) -> bool:
    """Any of: equal but for blanks around it, line by line, as numbers, as sets of sets of tokens, as such of rounded numbers."""
    if output.strip() == expected.strip():
        return True
    lines = [line.strip() for line in output.splitlines()]
    if "\n".join(lines).strip() == expected.strip() or lines == [expected]:
        return True
    wanted = [line.strip() for line in expected.split("\n") if line]
    lines = [line for line in lines if line]
    if lines == wanted or _apps_numbers(lines, wanted):
        return True
    if _apps_sets(lines, str) == _apps_sets(wanted, str):
        return True
    try:
        return _apps_sets(lines, _rounded) == _apps_sets(wanted, _rounded)
    except ValueError:
        return False


def _apps_numbers(lines: list[str], wanted: list[str]) -> bool:
    """numpy.allclose of lines that are one number each: |a − b| ≤ 1e-8 + 1e-5 · |b|, equal infinities, NaN never."""
    try:
        pairs = [(float(line), float(other)) for line, other in zip(lines, wanted, strict=True)]
    except ValueError:
        return False
    return all(a == b or (math.isfinite(b) and abs(a - b) <= 1e-8 + 1e-5 * abs(b)) for a, b in pairs)


def _apps_sets(lines: list[str], form: Callable[[str], Any]) -> set[frozenset[Any]]:
    return {frozenset(form(token) for token in line.split()) for line in lines}


def _rounded(token: str) -> float:
    return round(float(token), 3)


def _apps_value(value: Any, expected: Any) -> bool:
    """result == expected or == expected[0]; a tuple, or a list of tuples against expected[0], counts as lists."""
    if isinstance(value, tuple):
        value = list(value)
    if value == expected:
        return True
    if not isinstance(expected, list) or not expected:
        return False
    if value == expected[0]:
        return True
    return isinstance(value, list) and bool(value) and isinstance(value[0], tuple) and _as_lists(value) == expected[0]


def _as_lists(value: list[Any]) -> list[Any]:
    return [list(item) if isinstance(item, tuple) else item for item in value]
