"""Runs the primer's own programs in this process: they are generated here and trusted. Sampled programs never come here."""

from __future__ import annotations

from collections.abc import Sequence
from types import CodeType
from typing import Any

from contracts.records import Outcome, Test


def answer(code: CodeType, fn_name: str | None, given: Any) -> Any:
    """What a program prints for a text, or what its function returns for a list of arguments. Raises what it raises."""
    lines = iter(given.splitlines() if fn_name is None else ())
    printed: list[str] = []
    names: dict[str, Any] = {
        "input": lambda: next(lines),
        "print": lambda *values: printed.append(" ".join(map(str, values)) + "\n"),
    }
    exec(code, names)
    return "".join(printed) if fn_name is None else names[fn_name](*given)


def compiled(program: str) -> CodeType:
    """The program's code. Raises SyntaxError."""
    return compile(program, "<program>", "exec")


def outcome(program: str, fn_name: str | None, tests: Sequence[Test]) -> Outcome:
    """PASS, FAILURE, RUNTIME_ERROR or SYNTAX_ERROR on these tests; blanks and line ends in what is printed do not count."""
    try:
        code = compiled(program)
    except SyntaxError:
        return Outcome.SYNTAX_ERROR
    try:
        answers = [answer(code, fn_name, test.input) for test in tests]
    except Exception:  # noqa: BLE001 - whatever a program raises is its outcome
        return Outcome.RUNTIME_ERROR
    same = all(_same(got, test.expected, fn_name) for got, test in zip(answers, tests, strict=True))
    return Outcome.PASS if same else Outcome.FAILURE


def _same(got: Any, expected: Any, fn_name: str | None) -> bool:
    return bool(got == expected) if fn_name is not None else got.split() == expected.split()
