"""What is wrong with a recipe's value, in words for its writer: pydantic's are about Python's types."""

from __future__ import annotations

from pydantic_core import ErrorDetails

from contracts.errors import UserError

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "a path, as text",
    "dict": "names with a value each, such as {a: 1}",
    "tuple": "a list",
}
"""First word of pydantic's error types → what is wanted."""
OTHER_KIND = ("type", "parsing", "parsing_size", "from_float")
"""The rest of those error types that say that it is something else."""


def key_of(error: ErrorDetails) -> str:
    """Its dotted key: without what pydantic says in brackets, such as the kind of a union's that it has tried."""
    return ".".join(str(part) for part in error["loc"] if "[" not in str(part))


def refusal(key: str, error: ErrorDetails) -> UserError:
    """One line that names the key, its value, what it must be, and how to write it."""
    value = error["input"]
    if value is None:
        return UserError(f"{key} has no value", "Give it one, or leave the key out")
    return UserError(f"{key}={value!r} is not valid: {wanted(error)}", _remedy(key, error))


def wanted(error: ErrorDetails) -> str:
    """What the value must be."""
    kind, _, what = error["type"].partition("_")
    if kind in KINDS and what in OTHER_KIND:
        return f"it must be {KINDS[kind]}"
    if error["type"] == "too_short":
        return "it must not be empty"
    return error["msg"]


def _remedy(key: str, error: ErrorDetails) -> str:
    if error["type"] == "tuple_type" and not isinstance(error["input"], dict):
        return f"Write {key}=[{error['input']}]"
    if error["type"] in ("string_type", "path_type"):
        return f"Quote it, on the command line as \"{key}='…'\""
    return "Mend it in the recipe or on the command line"
