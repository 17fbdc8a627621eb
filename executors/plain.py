"""Plain data on its way between judge and sandbox: a JSON form that keeps Python's types apart.

Both sides use it, so it imports nothing but the standard library. Encoding looks only at exact types and calls no method of
the objects it meets; decoding builds nothing but plain data.

    None, bool, str, int within ±2**53, finite float   as JSON has them
    list                                               a JSON array
    tuple, set, frozenset                              {"tuple": […]}, {"set": […]}, {"frozenset": […]}
    dict                                               {"dict": [[key, value], …]}
    any other int, nan and infinities                  {"int": "0x…"}, {"float": "nan"}
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 64
MAX_NODES = 2_000_000
_SAFE = 2**53


class NotPlain(ValueError):
    """A value that is not plain data, or too big, too deep, recursive; it equals nothing."""


class _Room:
    """How many values may still be encoded."""

    def __init__(self) -> None:
        self.left = MAX_NODES


def encode(value: Any) -> bytes:
    """Plain data as ASCII JSON. Raises NotPlain."""
    return json.dumps(_tagged(value, MAX_DEPTH, _Room())).encode("ascii")


def decode(payload: bytes) -> Any:
    """The value that `encode` was given. Raises NotPlain for anything that `encode` does not make."""
    try:
        return _untagged(json.loads(payload), MAX_DEPTH)
    except (ValueError, TypeError, KeyError, RecursionError) as err:
        raise NotPlain("not the encoding of plain data") from err


def _tagged(value: Any, depth: int, room: _Room) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -_SAFE <= value <= _SAFE else {"int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if depth == 0:
        raise NotPlain("too deep or recursive")
    if kind in (list, tuple, set, frozenset, dict):
        room.left -= len(value)
        if room.left < 0:
            raise NotPlain("too big")
    if kind is list:
        return [_tagged(item, depth - 1, room) for item in value]
    if kind is tuple or kind is set or kind is frozenset:
        return {kind.__name__: [_tagged(item, depth - 1, room) for item in value]}
    if kind is dict:
        return {"dict": [[_tagged(key, depth - 1, room), _tagged(item, depth - 1, room)] for key, item in value.items()]}
    raise NotPlain("not plain data")


def _untagged(tree: Any, depth: int) -> Any:
    if depth < 0:
        raise NotPlain("too deep")
    if isinstance(tree, list):
        return [_untagged(item, depth - 1) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((tag, body),) = tree.items()
    match tag:
        case "int":
            return int(body, 16)
        case "float":
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[body]
        case "dict":
            return {_untagged(key, depth - 1): _untagged(item, depth - 1) for key, item in body}
    items = [_untagged(item, depth - 1) for item in body]
    return {"tuple": tuple, "set": set, "frozenset": frozenset}[tag](items)
