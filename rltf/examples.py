"""The few programs that a run keeps for its report: examples.jsonl in the run folder, one `Example` a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from contracts.files import write_in_one_move
from contracts.records import Category, Detail, Outcome

FILE = "examples.jsonl"


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One sampled program with its verdict and its labels."""

    step: int
    """Optimizer step that trained on it."""
    policy_version: int
    """Version of the weights that wrote it."""
    problem_id: str
    question: str
    text: str
    starts: list[int]
    """First character of each token in `text`."""
    ends: list[int]
    """One past each token's last character."""
    penalised: list[bool]
    """Per token: does the fine reward apply to it?"""
    static: list[bool] = []
    """Per token: is it in a static finding? Empty where nothing was looked for."""
    findings: list[str] = []
    """What static analysis says, one message per finding."""
    outcome: Outcome
    detail: Detail | None = None
    error_type: str | None = None
    message: str = ""
    passed: int = 0
    total: int = 0
    category: Category | None = None
    coarse: float
    fine: float
    adaptive: float | None = None


_decoder = msgspec.json.Decoder(Example)


def append_examples(folder: Path, examples: Iterable[Example]) -> None:
    """Add examples to the run's file in one move: a reader sees the old file or the new one."""
    path = folder / FILE
    _write(path, _complete_lines(path) + [msgspec.json.encode(example) for example in examples])


def forget_examples(folder: Path, step: int) -> None:
    """Drop the examples of later steps, which a resumed run makes again."""
    kept = [msgspec.json.encode(example) for example in read_examples(folder) if example.step <= step]
    _write(folder / FILE, kept)


def read_examples(folder: Path) -> list[Example]:
    """The run's examples, none where it has no file yet.

    A last line without its end is left out. Raises msgspec.DecodeError for anything else that is not an `Example`.
    """
    return [_decoder.decode(line) for line in _complete_lines(folder / FILE)]


def _write(path: Path, lines: list[bytes]) -> None:
    write_in_one_move(path, b"".join(line + b"\n" for line in lines))


def _complete_lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
