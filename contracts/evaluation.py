"""What an evaluation leaves in its folder: samples.jsonl, a line per program, and summary.json, what they came to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from contracts.files import write_in_one_move
from contracts.records import Category, Detail, Outcome, Span
from contracts.summary import Evaluation, Figures, JudgedBy, StageResult

PROGRAMS = "programs"
"""The `setting` of programs from a file."""


class Sample(msgspec.Struct, kw_only=True):
    """A line of samples.jsonl: one program and what became of it."""

    problem_id: str
    problem_digest: str
    """Of its statement and of the tests that decide: data sets share ids, not problems."""
    difficulty: str
    split: str
    source: str
    setting: str
    """How it was decoded: "greedy", "T=0.6" …; "programs": it came from a file."""
    index: int
    """Which of the problem's programs of this setting it is, from 0."""
    text: str | None = None
    """All that the model wrote; None for a program from a file, like what is counted in tokens."""
    code: str
    """What was run; `span` is a place in it."""
    outcome: Outcome
    detail: Detail | None = None
    error_type: str | None = None
    message: str = ""
    passed: int = 0
    total: int = 0
    category: Category | None = None
    span: Span | None = None
    visible: bool | None = None
    """Does it pass the visible tests? None where the problem has no hidden ones beside them."""
    prompt_tokens: int | None = None
    tokens: int | None = None
    truncated: bool | None = None
    """Cut off at the token limit."""

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What no two programs of an evaluation have in common."""
        return self.setting, self.problem_id, self.index, self.problem_digest


class EvaluationSummary(Figures, kw_only=True):
    """summary.json of an evaluation: the figures of its main way of decoding, and the others' under `evaluations`."""

    status: Literal["running", "interrupted", "done"]
    main: str
    """The setting that the figures on top are of: the first temperature, or "programs"."""
    model: str | None
    """Model folder or hub name; None for programs from a file."""
    judged_by: JudgedBy
    problems_without_programs: int
    standard_error: float
    """Of pass@1, over problems."""
    by_difficulty: dict[str, Figures]
    by_split: dict[str, Figures]
    """Only problems that are of a named split."""
    evaluations: dict[str, Evaluation]
    """Setting → result; empty for programs from a file."""
    settings: dict[str, Any]
    notes: list[str]
    """What a reader of the figures has to know, a sentence each."""

    @property
    def result(self) -> StageResult:
        """As a run's summary has it."""
        rate = self.pass_at_k["1"]
        return StageResult(pass_at_1=rate, problems=self.problems, judged_by=self.judged_by, evaluations=self.evaluations)


def write_evaluation(summary: EvaluationSummary, path: Path) -> None:
    """Write the summary in one move."""
    write_in_one_move(path, json.dumps(msgspec.to_builtins(summary), indent=2).encode() + b"\n")


def read_evaluation(path: Path) -> EvaluationSummary:
    """Read an evaluation's summary. Raises msgspec.ValidationError where it is not one."""
    return msgspec.json.decode(path.read_bytes(), type=EvaluationSummary)


def encode_samples(samples: Iterable[Sample]) -> bytes:
    """Lines of samples.jsonl; programs may hold lone surrogates, which only the standard library writes."""
    return b"".join(json.dumps(msgspec.to_builtins(sample)).encode() + b"\n" for sample in samples)


def decode_sample(line: bytes) -> Sample:
    """One line. Raises msgspec.ValidationError or ValueError for anything else."""
    return msgspec.convert(json.loads(line), Sample)
