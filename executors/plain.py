"""Plain data on its way between judge and sandbox: a JSON form that keeps Python's types apart.

Both sides use it, so it imports nothing but the standard library. Encoding calls no method that a program can have written: an
instance of a subclass is taken for what its built-in base says it is. Decoding builds nothing but plain data. The judge decodes
answers by `decode_answer`, in a time that the program does not choose.

    None, bool, str, int within ±2**53, finite float   as JSON has them
    list                                               a JSON array
    tuple, set, frozenset                              {"tuple": […]}, {"set": […]}, {"frozenset": […]}
    dict                                               {"dict": [[key, value], …]}
    any other int, nan and infinities                  {"int": "0x…"}, {"float": "nan"}
    numpy's numbers and arrays                         what their item and tolist say
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from json import dumps, loads
from typing import Any

from executors.own import BUILTINS

__builtins__ = BUILTINS

MAX_DEPTH = 64
MAX_NODES = 2_000_000
_SAFE = 2**53
Pack = Callable[[Any], tuple[str, Any]]
"""What stands for a value of another type: a tag and plain data. Raises NotPlain."""
Unpack = Mapping[str, Callable[[Any], Any]]
"""Tag → what makes the value again."""


class NotPlain(ValueError):
    """A value that is not plain data, or too big, too deep, recursive; it equals nothing."""


class Unhashed:
    """A set, frozenset or dict as the list of its items: many numbers of one hash would take for ever to enter a real one."""

    def __init__(self, kind: type[Any], items: list[Any]) -> None:
        self.kind = kind
        self.items = items
        """Of a dict: (key, value)."""


def _refuse(value: Any) -> tuple[str, Any]:
    raise NotPlain(f"{type(value).__name__} is not plain data")


class _Room:
    """How many values containers may still hold, whether they may be hashed, and what to make of other types and tags."""

    def __init__(self, left: int, *, hashes: bool = True, pack: Pack = _refuse, unpack: Unpack | None = None) -> None:
        self.left = left
        self.hashes = hashes
        self.pack = pack
        self.unpack = unpack or {}

    def take(self, count: int) -> None:
        """Raises NotPlain where there is no room."""
        self.left -= count
        if self.left < 0:
            raise NotPlain("too big")


def encode(value: Any, pack: Pack = _refuse) -> bytes:
    """Plain data as ASCII JSON; `pack` makes a tag and plain data of other types. Raises NotPlain."""
    return dumps(_tagged(value, MAX_DEPTH, _Room(MAX_NODES, pack=pack))).encode("ascii")


def decode(payload: bytes, unpack: Unpack | None = None) -> Any:
    """The value that `encode` was given; `unpack` undoes `pack`. Raises NotPlain for anything that `encode` does not make."""
    return _decoded(payload, _Room(MAX_NODES, unpack=unpack))


def decode_answer(payload: bytes, most: int) -> Any:
    """The same from one who is not trusted: sets and dicts come as Unhashed. Raises NotPlain also for more than `most` values."""
    return _decoded(payload, _Room(most, hashes=False))


def size(value: Any) -> int:
    """How many values the containers in plain data hold."""
    if isinstance(value, dict):
        return len(value) + sum(size(key) + size(item) for key, item in value.items())
    return len(value) + sum(map(size, value)) if isinstance(value, list | tuple | set | frozenset) else 0


def _decoded(payload: bytes, room: _Room) -> Any:
    try:
        return _untagged(loads(payload), MAX_DEPTH, room)
    except (ValueError, TypeError, KeyError, RecursionError) as err:
        raise NotPlain("not the encoding of plain data") from err


def _tagged(value: Any, depth: int, room: _Room) -> Any:
    kind: Any = type(value)
    if kind not in _KINDS:
        kind, value = _based(value, room)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -_SAFE <= value <= _SAFE else {"int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if depth == 0:
        raise NotPlain("too deep or recursive")
    if isinstance(kind, str):
        return {kind: _tagged(value, depth - 1, room)}
    room.take(len(value))
    if kind is list:
        return [_tagged(item, depth - 1, room) for item in value]
    if kind is dict:
        return {"dict": [[_tagged(key, depth - 1, room), _tagged(item, depth - 1, room)] for key, item in value.items()]}
    return {kind.__name__: [_tagged(item, depth - 1, room) for item in value]}


_KINDS = (type(None), bool, int, float, str, list, tuple, set, frozenset, dict)


def _based(value: Any, room: _Room) -> tuple[Any, Any]:
    """A value of another type as its built-in base's, or the tag and plain data that stand for it. Raises NotPlain."""
    kind = type(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.generic | numpy.ndarray):
        value = (numpy.generic.item if issubclass(kind, numpy.generic) else numpy.ndarray.tolist)(value)
        return type(value), value
    for base in (int, float):
        if issubclass(kind, base):
            return base, base.__pos__(value)
    if issubclass(kind, str):
        return str, str.__str__(value)
    for collection in (list, tuple, set, frozenset):
        if issubclass(kind, collection):
            return collection, collection(collection.__iter__(value))
    if issubclass(kind, dict):
        return dict, dict(dict.items(value))
    return room.pack(value)


def _untagged(tree: Any, depth: int, room: _Room) -> Any:
    if depth < 0:
        raise NotPlain("too deep")
    if isinstance(tree, list):
        room.take(len(tree))
        return [_untagged(item, depth - 1, room) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((tag, body),) = tree.items()
    if tag == "int":
        return int(body, 16)
    if tag == "float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[body]
    if tag in room.unpack:
        return room.unpack[tag](_untagged(body, depth - 1, room))
    kind: type[Any] = {"tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict}[tag]
    room.take(len(body))
    items: list[Any]
    if kind is dict:
        items = [(_untagged(key, depth - 1, room), _untagged(item, depth - 1, room)) for key, item in body]
    else:
        items = [_untagged(item, depth - 1, room) for item in body]
    if not room.hashes and kind is not tuple:
        return Unhashed(kind, items)
    made = kind(items)
    # A set's order depends on how it was made: keep the sender's where one of two ways gives it.
    return made if kind not in (set, frozenset) or list(made) == items else kind(set(made))
