"""What an assert test and a program may hand one another: plain data and some more of the standard library's types.

Runs on the sandboxed side only, in both processes. Beyond executors/plain.py:

    complex, bytes, bytearray, range, deque, Decimal, Fraction, date, time, datetime, timedelta   as they are
    views of dicts, generators and other iterators                                                ones of the same values
    anything else that the program returns                                                        Foreign: equal to nothing
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections import deque
from collections.abc import Callable
from json import dumps
from typing import Any

from executors import plain
from executors.own import BUILTINS

__builtins__ = BUILTINS

_VIEWS: dict[type[Any], str] = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}
_BUILT_IN: dict[type[Any], Callable[[Any], Any]] = {
    complex: lambda value: (value.real, value.imag),
    bytes: bytes.hex,
    bytearray: bytearray.hex,
    range: lambda value: (value.start, value.stop, value.step),
    deque: lambda value: (list(value), value.maxlen),
}
# Modules that most programs never import: theirs is compared by name, ours is loaded when one comes.
_LIBRARY: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("decimal", "Decimal"): str,
    ("fractions", "Fraction"): lambda value: (value.numerator, value.denominator),
    ("datetime", "date"): lambda value: value.isoformat(),
    ("datetime", "time"): lambda value: value.isoformat(),
    ("datetime", "datetime"): lambda value: value.isoformat(),
    ("datetime", "timedelta"): lambda value: (value.days, value.seconds, value.microseconds),
}


class Foreign:
    """Something that a program returned and that cannot leave its process; all that is known is its class's name and truth."""

    def __init__(self, name: str, truth: bool) -> None:
        self._name = name
        self._truth = truth

    def __bool__(self) -> bool:
        return self._truth

    def __repr__(self) -> str:
        return f"<{self._name}>"


def encode_arguments(value: Any) -> bytes:
    """What a test passes. Raises plain.NotPlain for objects that cannot leave the test's process."""
    return plain.encode(value, _pack)


def encode_answer(value: Any) -> bytes:
    """What a program returns, whatever it is."""
    try:
        return plain.encode(value, _pack_any)
    except plain.NotPlain:  # too big, too deep, or recursive
        return dumps({"foreign": {"tuple": _foreign(value)[1]}}).encode("ascii")


def decode(payload: bytes) -> Any:
    """What either of them encoded. Raises plain.NotPlain."""
    return plain.decode(payload, _UNPACK)


def _pack(value: Any) -> tuple[str, Any]:
    kind = type(value)
    if kind in _BUILT_IN:
        return kind.__name__, _BUILT_IN[kind](value)
    if kind in _VIEWS:
        return _VIEWS[kind], list(value)
    for (module, name), form in _LIBRARY.items():
        if kind is getattr(sys.modules.get(module), name, None):
            return name, form(value)
    if hasattr(kind, "__next__"):
        return "iterator", list(itertools.islice(value, plain.MAX_NODES))
    raise plain.NotPlain(f"{kind.__name__} cannot leave its process")


def _pack_any(value: Any) -> tuple[str, Any]:
    try:
        return _pack(value)
    except plain.NotPlain:
        return _foreign(value)


def _foreign(value: Any) -> tuple[str, Any]:
    try:
        truth = bool(value)
    except Exception:  # noqa: BLE001  the program's own method
        truth = True
    return "foreign", (type(value).__name__, truth)


def _library(module: str, name: str, make: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    return lambda body: make(getattr(importlib.import_module(module), name), body)


_UNPACK: dict[str, Callable[[Any], Any]] = {
    "complex": lambda body: complex(*body),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "range": lambda body: range(*body),
    "deque": lambda body: deque(*body),
    "keys": lambda body: dict.fromkeys(body).keys(),
    "values": lambda body: dict(enumerate(body)).values(),
    "items": lambda body: dict(body).items(),
    "iterator": iter,
    "foreign": lambda body: Foreign(*body),
    "Decimal": _library("decimal", "Decimal", lambda kind, body: kind(body)),
    "Fraction": _library("fractions", "Fraction", lambda kind, body: kind(*body)),
    "date": _library("datetime", "date", lambda kind, body: kind.fromisoformat(body)),
    "time": _library("datetime", "time", lambda kind, body: kind.fromisoformat(body)),
    "datetime": _library("datetime", "datetime", lambda kind, body: kind.fromisoformat(body)),
    "timedelta": _library("datetime", "timedelta", lambda kind, body: kind(*body)),
}
