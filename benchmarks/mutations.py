"""Programs made worse, in their characters, tokens, lines or statements: pure functions of two programs and a generator."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from random import Random

Mutation = Callable[[str, str, Random], str]
"""(program, another program, generator) → the program, changed; the same where there is nothing to change."""

_TOKENS = re.compile(r"\s+|\w+|'[^'\n]*'|\"[^\"\n]*\"|[-+*/%<>=!&|^]+|.", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")
_OPERATOR = re.compile(r"[-+*/%<>=!&|^]+")
_OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", ">", "<=", ">=", "=", "+=", "-=", "<<", ">>", "&", "|", "^"]
_ODD = (
    *"\0\ufeff\udc80\ud800\r\f\t\x1a\x7f\u2028\U0001f600\uff13\\'\"()[]{}:;,#@`$?",
    *('"""', "\\x", "\\u12", "\\N{", "f'{", "0x", "1e999", "9" * 5000, "await ", "yield "),
)
"""What texts are not made of, or what means much in a wrong place."""


def mutate(program: str, other: str, rng: Random) -> str:
    """The program after one to three mutations drawn at random; half of the time only such as often leave it a program."""
    names = rng.choice((list(MUTATIONS), GENTLE))
    for _ in range(rng.randint(1, 3)):
        program = MUTATIONS[rng.choice(names)](program, other, rng)
    return program


def cut(program: str, _: str, rng: Random) -> str:
    """End too early."""
    return program[: _place(program, rng)]


def drop_line(program: str, _: str, rng: Random) -> str:
    """Leave a line out."""
    return _without(program.splitlines(keepends=True), rng)


def duplicate_line(program: str, _: str, rng: Random) -> str:
    """Say a line again, somewhere."""
    lines = program.splitlines(keepends=True)
    if lines:
        lines.insert(rng.randint(0, len(lines)), rng.choice(lines))
    return "".join(lines)


def swap_lines(program: str, _: str, rng: Random) -> str:
    """Two lines change places."""
    return "".join(_swapped(program.splitlines(keepends=True), rng))


def indent_line(program: str, _: str, rng: Random) -> str:
    """A line is indented otherwise."""
    lines = program.splitlines(keepends=True)
    if lines:
        at = rng.randrange(len(lines))
        lines[at] = rng.choice(("", " ", "    ", "\t", "        ")) + lines[at].lstrip(" \t")
    return "".join(lines)


def delete_characters(program: str, _: str, rng: Random) -> str:
    """A few characters in a row are gone."""
    at = _place(program, rng)
    return program[:at] + program[at + rng.randint(1, 8) :]


def insert_characters(program: str, _: str, rng: Random) -> str:
    """An odd text comes between."""
    at = _place(program, rng)
    return program[:at] + rng.choice(_ODD) * rng.choice((1, 1, 1, 200)) + program[at:]


def insert_bytes(program: str, _: str, rng: Random) -> str:
    """Random bytes come between, as a tolerant reader decodes them."""
    at = _place(program, rng)
    return program[:at] + rng.randbytes(rng.randint(1, 40)).decode("utf-8", "surrogateescape") + program[at:]


def only_bytes(_: str, __: str, rng: Random) -> str:
    """Nothing but random bytes."""
    return rng.randbytes(rng.randint(0, 400)).decode("utf-8", rng.choice(("surrogateescape", "replace", "ignore")))


def swap_operator(program: str, _: str, rng: Random) -> str:
    """An operator becomes another."""
    return _replaced(program, _OPERATOR, _OPERATORS, rng)


def swap_name(program: str, _: str, rng: Random) -> str:
    """A name or keyword becomes another of the program's."""
    return _replaced(program, _NAME, _NAME.findall(program), rng)


def swap_tokens(program: str, _: str, rng: Random) -> str:
    """Two tokens change places."""
    return "".join(_swapped(_TOKENS.findall(program), rng))


def drop_token(program: str, _: str, rng: Random) -> str:
    """A token is gone."""
    return _without(_TOKENS.findall(program), rng)


def splice(program: str, other: str, rng: Random) -> str:
    """The beginning of one program and the end of another, cut between tokens."""
    tokens, others = _TOKENS.findall(program), _TOKENS.findall(other)
    return "".join(tokens[: rng.randint(0, len(tokens))] + others[rng.randint(0, len(others)) :])


def repeat(program: str, _: str, rng: Random) -> str:
    """A token, or a stretch of the text, comes many times."""
    at = _place(program, rng)
    return program[:at] + program[at : at + rng.randint(1, 12)] * rng.choice((2, 50, 3000)) + program[at:]


def swap_statements(program: str, _: str, rng: Random) -> str:
    """Two statements of the program change places, whole blocks too; what cannot be parsed stays."""
    try:
        tree = ast.parse(program)
        bodies = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]  # type: ignore[attr-defined]
        one, another = rng.choice(bodies), rng.choice(bodies)
        first, second = rng.randrange(len(one)), rng.randrange(len(another))
        one[first], another[second] = another[second], one[first]
        return ast.unparse(tree) + "\n"
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return program


MUTATIONS: dict[str, Mutation] = {
    function.__name__: function
    for function in (
        cut, drop_line, duplicate_line, swap_lines, indent_line, delete_characters, insert_characters, insert_bytes, only_bytes,
        swap_operator, swap_name, swap_tokens, drop_token, splice, repeat, swap_statements,
    )
}  # fmt: skip
GENTLE = ["duplicate_line", "swap_operator", "swap_name", "swap_statements", "swap_statements"]


def _place(program: str, rng: Random) -> int:
    return rng.randint(0, len(program))


def _without(parts: list[str], rng: Random) -> str:
    if parts:
        del parts[rng.randrange(len(parts))]
    return "".join(parts)


def _swapped(parts: list[str], rng: Random) -> list[str]:
    if len(parts) > 1:
        one, another = rng.sample(range(len(parts)), 2)
        parts[one], parts[another] = parts[another], parts[one]
    return parts


def _replaced(program: str, pattern: re.Pattern[str], choice: list[str], rng: Random) -> str:
    found = list(pattern.finditer(program))
    if not found:
        return program
    match = rng.choice(found)
    return program[: match.start()] + rng.choice(choice) + program[match.end() :]
