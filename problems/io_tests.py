"""Tests with inputs and outputs, in the form that APPS has them: {"inputs": [...], "outputs": [...], "fn_name"?: "..."}.

Call-based outputs are kept as they are: some sets wrap them in a list, which is the comparison's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.records import Test
from problems.digits import any_digits

_NUMBER = re.compile(r"0|-?[1-9][0-9]*")


def function_name(data: Mapping[str, Any]) -> str | None:
    """The function that call-based tests call; None: stdin tests. Raises ValueError for what can name no function."""
    name = data.get("fn_name")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"its fn_name {name!r:.40} is no name of a function")
    return name


@any_digits()
def io_tests(data: Mapping[str, Any], fn_name: str | None) -> tuple[Test, ...]:
    """The tests, none where there are no inputs. Raises ValueError, saying what is wrong with it, for other data."""
    inputs, outputs = data.get("inputs", []), data.get("outputs", [])
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise ValueError("it needs inputs and outputs, two lists of one length")
    pairs = zip(inputs, outputs, strict=True)
    if fn_name is None:
        return tuple(Test(_text(given), _text(wanted)) for given, wanted in pairs)
    if not all(isinstance(arguments, list) for arguments in inputs):
        raise ValueError("it is call-based: each of its inputs must be a list of arguments")
    return tuple(Test([*map(_int_keys, given[:1]), *given[1:]], _int_keys_within(wanted)) for given, wanted in pairs)


def input_output(tests: Sequence[Test], fn_name: str | None) -> dict[str, Any]:
    """What `io_tests` and `function_name` read back."""
    data: dict[str, Any] = {} if fn_name is None else {"fn_name": fn_name}
    return data | {"inputs": [test.input for test in tests], "outputs": [test.expected for test in tests]}


def read_back(test: Test, fn_name: str | None) -> Test:
    """The test as it is read where it has been written. Raises ValueError or TypeError where JSON cannot hold it."""
    return io_tests(json.loads(json.dumps(input_output([test], fn_name))), fn_name)[0]


def _int_keys(value: Any) -> Any:
    """JSON has no numbers as keys: as the APPS harness does, a dict whose keys are all numbers gets them back."""
    if not isinstance(value, dict) or not all(_NUMBER.fullmatch(key) for key in value):
        return value
    return {int(key): item for key, item in value.items()}


def _int_keys_within(value: Any) -> Any:
    """Of an output also where it stands in a list by itself, as some sets have it."""
    return [_int_keys(item) for item in value] if isinstance(value, list) and len(value) == 1 else _int_keys(value)


def _text(value: Any) -> str:
    """Text of a stdin test; some sets give it as a list of lines."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    if not isinstance(value, str):
        raise ValueError("it has no fn_name: each input and output must be text or a list of lines")
    return value
