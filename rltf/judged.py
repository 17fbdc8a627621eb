"""Evaluated programs as lines of samples.jsonl, and what judged them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from contracts.evaluation import Sample
from contracts.records import Problem, Program
from contracts.sections import ExecutorsConfig
from contracts.summary import JudgedBy
from executors.both import Judged
from problems.digits import any_digits


def judged_by(problems: Sequence[Problem]) -> JudgedBy:
    """What decides the outcomes of these problems' programs."""
    hidden = [bool(problem.hidden_tests) for problem in problems]
    if all(hidden):
        return "hidden tests"
    return "hidden and visible tests" if any(hidden) else "visible tests"


def judging(config: ExecutorsConfig) -> dict[str, Any]:
    """What verdicts depend on: evaluations that differ in it cannot be compared."""
    return config.model_dump(include={"compare", "prelude", "cpu_seconds", "memory_mb", "max_tests"})


@any_digits()
def digest_of(problem: Problem) -> str:
    """The statement and the tests that decide, in 16 hex digits: what two problems of one id may differ in.

    Reads all of the tests, which may be megabytes: once a problem is enough.
    """
    tests = msgspec.to_builtins(problem.hidden_tests or problem.tests)
    parts = [problem.question, problem.starter_code, problem.fn_name, problem.test_setup, tests]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def sample_of(
    problem: Problem,
    digest: str,
    setting: str,
    index: int,
    judged: Judged,
    code: str,
    program: Program | None = None,
    prompt_tokens: int | None = None,
) -> Sample:
    """A program's line; `digest` is `digest_of` its problem, `program` and `prompt_tokens` are a model's."""
    verdict = judged.verdict
    return Sample(
        problem_id=problem.id,
        problem_digest=digest,
        difficulty=problem.difficulty,
        split=problem.split,
        source=problem.source,
        setting=setting,
        index=index,
        text=program.text if program else None,
        code=code,
        outcome=verdict.outcome,
        detail=verdict.detail,
        error_type=verdict.error_type,
        message=verdict.message,
        passed=verdict.passed,
        total=verdict.total,
        category=verdict.category,
        span=verdict.span,
        visible=judged.visible,
        prompt_tokens=prompt_tokens,
        tokens=len(program.token_ids) if program else None,
        truncated=program.truncated if program else None,
    )
