"""`rltf eval` on MBPP, HumanEval and APPS, where RLTF_DATA names them: reference solutions score 1.0, empty programs 0.0."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.parity import CPU_SECONDS
from contracts.evaluation import decode_sample
from contracts.records import Outcome
from problems.read import read_problems
from rltf.eval_programs import evaluate_programs
from rltf.judging import ALL_TESTS, executors_config
from tests.test_verdict_parity import documented

SETS = {"APPS": ("apps/train", 103), "MBPP": ("mbpp/mbpp.jsonl", 974), "HumanEval": ("humaneval/HumanEval.jsonl.gz", 164)}


def solved(folder: Path, problems: Path, programs: dict[str, str]) -> tuple[dict[str, float], set[str]]:
    """pass@k of one program per problem, and the problems that it does not solve."""
    file = folder / "programs.jsonl"
    file.write_text("".join(f"{json.dumps({'problem_id': id_, 'code': code})}\n" for id_, code in programs.items()))
    config = executors_config("apps", max_tests=ALL_TESTS, cpu_seconds=CPU_SECONDS)
    found = evaluate_programs(problems, file, folder / "d", (1,), config, Console(quiet=True))
    assert (found.problems, found.programs, found.problems_without_programs) == (len(programs), len(programs), 0)
    with (folder / "d" / "samples.jsonl").open("rb") as lines:
        samples = [decode_sample(line) for line in lines]
    return found.pass_at_k, {sample.problem_id for sample in samples if sample.outcome is not Outcome.PASS}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_reference_solutions_pass_but_for_those_that_are_explained(tmp_path: Path, benchmark_data: Path, name: str) -> None:
    """The first solution of each problem; docs/verdict-parity.md explains those that fail."""
    place, count = SETS[name]
    problems, _ = read_problems(benchmark_data / place)
    assert len(problems) == count
    explained = {problem for problem, places, _ in documented("Reference solutions that fail") if "0" in places.split(", ")}
    rate, failing = solved(tmp_path, benchmark_data / place, {problem.id: problem.solutions[0] for problem in problems})
    assert failing == (explained if name == "APPS" else set())
    assert rate == {"1": pytest.approx(1 - len(failing) / count)}


@pytest.mark.parametrize("name", SETS)
def test_empty_programs_pass_nothing(tmp_path: Path, benchmark_data: Path, name: str) -> None:
    place, _ = SETS[name]
    problems, _ = read_problems(benchmark_data / place)
    assert solved(tmp_path, benchmark_data / place, {problem.id: "" for problem in problems})[0] == {"1": 0.0}
