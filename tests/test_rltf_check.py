"""`rltf problems check`: what is dropped and why, and how long references take."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from contracts.records import Detail, Outcome, Problem, TestResult, Verdict
from contracts.records import Test as UnitTest
from contracts.sections import ProblemsConfig
from problems.apps import write_folder
from problems.checked import CheckedProblem
from problems.sets import load_problem_set
from rltf.check import found
from tests.cli import rltf

TESTS = (UnitTest("1\n", "2\n"), UnitTest("2\n", "3\n"))
GOOD = "print(int(input()) + 1)"
SLOW = "for _ in range(3_000_000): pass\nprint(int(input()) + 1)"


def passed(*seconds: float) -> Verdict:
    results = tuple(TestResult(Outcome.PASS, each) for each in seconds)
    return Verdict(outcome=Outcome.PASS, passed=len(results), total=len(results), tests=results)


FAILED = Verdict(
    outcome=Outcome.FAILURE,
    message="test 2: expected '2', got '3': no",
    passed=1,
    total=2,
    tests=(TestResult(Outcome.PASS, 9.0), TestResult(Outcome.FAILURE, 9.0)),
)
OTHER = msgspec.structs.replace(FAILED, message="test 2: expected '2', got '4'")
SLEPT = Verdict(outcome=Outcome.RUNTIME_ERROR, detail=Detail.TIMEOUT, message="too long", total=2)


def raised(error_type: str, message: str) -> Verdict:
    return Verdict(outcome=Outcome.RUNTIME_ERROR, detail=Detail.EXCEPTION, error_type=error_type, message=message, total=2)


def test_the_slowest_passing_solution_s_slowest_test_is_the_reference() -> None:
    problem = found([passed(0.1, 0.5000001), FAILED, passed(0.2, 0.3)])
    assert (problem.kept, problem.reason, problem.solutions, problem.passing) == (True, None, 3, 2)
    assert problem.reference_seconds == 0.5
    assert [(failing.solution, failing.outcome, failing.passed) for failing in problem.failing] == [(1, "failure", 1)]


@pytest.mark.parametrize(
    ("verdicts", "reason"),
    [
        ([], "it has no reference solution"),
        (
            [FAILED, SLEPT, OTHER],
            "no reference solution passes: 2 x wrong answer to test 2 (expected '2', got '3': no), 1 x timeout",
        ),
        ([Verdict(outcome=Outcome.SANDBOX_ERROR)], "no reference solution passes: 1 x sandbox_error"),
        (
            [FAILED, *[raised("NameError", "name 'List' is not defined")] * 3, SLEPT, SLEPT, raised("E", "x"), raised("E", "")],
            "no reference solution passes: 3 x NameError: name 'List' is not defined, 2 x timeout, "
            "1 x wrong answer to test 2 (expected '2', got '3': no), 2 others",
        ),
        ([raised("KeyError", "\n")], "no reference solution passes: 1 x KeyError"),
        ([raised("E", "m" * 200)], f"no reference solution passes: 1 x E: {'m' * 96}…"),
    ],
)
def test_reasons_to_drop_a_problem(verdicts: list[Verdict], reason: str) -> None:
    problem = found(verdicts)
    assert (problem.kept, problem.reason, problem.reference_seconds) == (False, reason, None)
    assert len(problem.failing) == len(verdicts)


def test_a_set_is_checked_and_trained_on_accordingly(tmp_path: Path) -> None:
    path, file = tmp_path / "set", tmp_path / "check.json"
    hidden = (UnitTest("5\n", "7\n"),)
    write_folder(
        path,
        [
            Problem(id="a", question="", tests=TESTS, solutions=("print(", GOOD, SLOW)),
            Problem(id="b", question="", tests=TESTS, solutions=("raise ValueError('odd')",)),
            Problem(id="c", question="", tests=TESTS, hidden_tests=hidden, solutions=(GOOD,)),
            Problem(id="d", question="", tests=TESTS),
            Problem(id="e", question="", tests=(), solutions=(GOOD,)),
            Problem(id="f", question="", fn_name="f", tests=(UnitTest([1], 2),), solutions=("def f(x):\n    return x + 1",)),
        ],
    )
    done = rltf("problems", "check", str(path), f"--output={file}", "--cores=1")
    assert done.returncode == 0, done.stderr
    written = json.loads(file.read_bytes())
    about = [written[key] for key in ("problem_set", "compare", "cpu_seconds", "without_tests")]
    assert about == [str(path), "strict", 10.0, 1]
    problems = {id_: msgspec.convert(problem, CheckedProblem) for id_, problem in written["problems"].items()}
    assert {id_: (problem.kept, problem.passing, problem.solutions) for id_, problem in problems.items()} == {
        "a": (True, 2, 3),
        "b": (False, 0, 1),
        "c": (False, 0, 1),
        "d": (False, 0, 0),
        "f": (True, 1, 1),
    }
    assert [problems[id_].reason for id_ in "bcd"] == [
        "no reference solution passes: 1 x ValueError: odd",
        "no reference solution passes: 1 x wrong answer to test 3 (expected '7', got '6'; the input is '5\\n')",
        "it has no reference solution",
    ]
    assert problems["b"].failing[0].error_type == "ValueError"
    assert [failing.solution for failing in problems["a"].failing] == [0]
    assert f"findings: {file}, for a recipe's problems.checked\n" in done.stdout
    counts = {words[0]: words[-1] for words in map(str.split, done.stdout.splitlines()) if len(words) > 1}
    assert (counts["kept"], counts["dropped"], counts["without"]) == ("2", "3", "1")
    made = load_problem_set(ProblemsConfig(path=path, checked=file), tmp_path, 0)
    times = {problem.id: problem.reference_seconds for problem in made.train + made.heldout}
    assert times == {id_: problems[id_].reference_seconds for id_ in "af"}
    assert (made.dropped_without_tests, made.dropped_by_check) == (1, 3)
    slow, quick = times["a"], times["f"]
    assert slow is not None
    assert quick is not None
    assert slow > 0.01 > quick >= 0


def test_a_limit_is_kept_to(tmp_path: Path) -> None:
    write_folder(tmp_path / "set", [Problem(id="a", question="", tests=TESTS, solutions=("while True: pass",))])
    done = rltf("problems", "check", str(tmp_path / "set"), f"--output={tmp_path / 'c.json'}", "--cores=1", "--cpu-seconds=0.2")
    assert done.returncode == 0, done.stderr
    assert (
        json.loads((tmp_path / "c.json").read_bytes())["problems"]["a"]["reason"] == "no reference solution passes: 1 x timeout"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nope",), "no such file or folder: nope"),
        (("README.md",), "is no problem set"),
        ((".", "--output=a/b"), "a/b"),
        (("docs", "--output=/dev/full"), "/dev/full is not a regular file"),
        (("docs", "--output=docs/images/new.json"), "would be overwritten"),
        (("README.md", "--output=README.md"), "would be overwritten"),
        (("docs", "--memory-mb=63"), "memory_mb=63"),
    ],
)
def test_bad_input_is_refused(arguments: tuple[str, ...], said: str) -> None:
    done = rltf("problems", "check", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
