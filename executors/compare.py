"""Is an answer right? Two ways to compare, as pure functions of plain data.

`strict` is for training. `apps` accepts whatever the harness of APPS (Hendrycks et al. 2021, arXiv 2105.09938) accepts, for
published numbers: also permuted or repeated lines and tokens, 1000009 for 1000000, and 7 for [7, 8, 9].

Numbers of an answer are never hashed, since a program can choose thousands of one hash; their texts are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Literal

from executors.plain import NotPlain, Unhashed

Mode = Literal["strict", "apps"]

_TOLERANCE = 1e-6
_REAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def same_output(output: str, expected: str, mode: Mode) -> bool:
    """Does a program's stdout answer the test?"""
    return _strict_output(output, expected) if mode == "strict" else _apps_output(output, expected)


def same_value(value: Any, expected: Any, mode: Mode) -> bool:
    """Does a function's return value, as plain.decode_answer gives it, answer the test? Raises NotPlain for impossible keys."""
    return _strict_value(value, expected) if mode == "strict" else _apps_value(value, expected)


def _strict_output(output: str, expected: str) -> bool:
    """Line by line, token by token; blanks at line ends and blank lines at the end are free."""
    if output == expected:
        return True
    lines, wanted = lines_of(output, expected)
    if len(lines) != len(wanted):
        return False
    return all(_strict_line(line.split(), other.split()) for line, other in zip(lines, wanted, strict=True))


def lines_of(output: str, expected: str) -> tuple[list[str], list[str]]:
    """The lines that are compared, of both."""
    if expected[:1].isspace():  # the data's own carelessness
        output, expected = output.lstrip(), expected.lstrip()
    return output.rstrip().split("\n"), expected.rstrip().split("\n")


def _strict_line(tokens: list[str], wanted: list[str]) -> bool:
    return tokens == wanted or (len(tokens) == len(wanted) and all(map(_strict_token, tokens, wanted)))


def _strict_token(token: str, wanted: str) -> bool:
    """Equal text, or numbers within tolerance where the expected one has a point or an exponent."""
    if token == wanted:
        return True
    if not re.search("[.eE]", wanted) or not _REAL.fullmatch(wanted) or not _REAL.fullmatch(token):
        return False
    return math.isfinite(float(wanted)) and _is_close(float(token), float(wanted))


def _is_close(number: float, wanted: float) -> bool:
    return abs(number - wanted) <= _TOLERANCE * max(1.0, abs(wanted))


def _strict_value(value: Any, expected: Any) -> bool:
    """Plain data equal: tuple ≡ list, bool is not int, floats within tolerance, NaN never."""
    if isinstance(value, Unhashed):
        return _same_items(value, expected, _strict_value, exact=True)
    if isinstance(value, bool) or isinstance(expected, bool):
        return type(value) is type(expected) and value == expected
    if isinstance(expected, float) and isinstance(value, int | float):
        return value == expected or (_is_small(value) and math.isfinite(expected) and _is_close(value, expected))
    if isinstance(expected, list | tuple):
        return isinstance(value, list | tuple) and len(value) == len(expected) and all(map(_strict_value, value, expected))
    return bool(value == expected)


def _same_items(value: Unhashed, expected: Any, same: Callable[[Any, Any], bool], *, exact: bool) -> bool:
    """Is it the expected set, or the expected dict with values that are the same?"""
    if value.kind is not dict:
        if not isinstance(expected, set | frozenset) or len(value.items) != len(expected):
            return False
        return {_key(item, exact) for item in value.items} == {_key(item, exact) for item in expected}
    if not isinstance(expected, dict) or len(value.items) != len(expected):
        return False
    items = {_key(key, exact): item for key, item in value.items}
    wanted = {_key(key, exact): item for key, item in expected.items()}
    return items.keys() == wanted.keys() and all(same(items[key], item) for key, item in wanted.items())


def _key(key: Any, exact: bool) -> str:
    """A text that equal keys share; an exact one tells True from 1. Raises NotPlain for what cannot be a key."""
    if key is None or (exact and isinstance(key, bool)):
        return str(key)
    if isinstance(key, float):
        if not key.is_integer():
            return f"nan {id(key)}" if math.isnan(key) else repr(key)
        key = int(key)
    if isinstance(key, int):
        return hex(key)
    if isinstance(key, str):
        return json.dumps(key)
    if isinstance(key, tuple):
        return f"({','.join(_key(item, exact) for item in key)})"
    if isinstance(key, frozenset):
        key = Unhashed(frozenset, list(key))
    if isinstance(key, Unhashed) and key.kind is frozenset:
        texts = {_key(item, exact) for item in key.items}
        if len(texts) < len(key.items):
            raise NotPlain("an item twice")
        return f"{{{','.join(sorted(texts))}}}"
    raise NotPlain("not a key")


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


def _apps_sets(lines: list[str], form: Callable[[str], str]) -> set[str]:
    """Each line as the text of its set of tokens."""
    return {" ".join(sorted({form(token) for token in line.split()})) for line in lines}


def _rounded(token: str) -> str:
    """A number to three decimals. Raises ValueError for any other token, and for NaN: no set that has it equals another."""
    number = round(float(token), 3)
    if math.isnan(number):
        raise ValueError(token)
    return repr(number + 0.0)  # −0 is 0


def _apps_value(value: Any, expected: Any) -> bool:
    """result == expected or == expected[0]; a tuple, or a list of tuples against expected[0], counts as lists."""
    if isinstance(value, tuple):
        value = list(value)
    if _equal(value, expected):
        return True
    if not isinstance(expected, list) or not expected:
        return False
    if _equal(value, expected[0]):
        return True
    return isinstance(value, list) and bool(value) and isinstance(value[0], tuple) and _equal(_as_lists(value), expected[0])


def _equal(value: Any, expected: Any) -> bool:
    """Python's own equality."""
    if isinstance(value, Unhashed):
        return _same_items(value, expected, _equal, exact=False)
    if isinstance(value, list | tuple):
        kind = list if isinstance(value, list) else tuple
        return isinstance(expected, kind) and len(value) == len(expected) and all(map(_equal, value, expected))
    return bool(value == expected)


def _as_lists(value: list[Any]) -> list[Any]:
    return [list(item) if isinstance(item, tuple) else item for item in value]
