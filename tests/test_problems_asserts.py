"""Assert problems: tests from source text, MBPP and HumanEval files, and what `rltf problems check` says about a set."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import UserError
from contracts.records import Problem, TestKind
from contracts.sections import ProblemsConfig
from problems.asserts import assert_tests
from problems.checked import Check, CheckedProblem, apply_check, write_check
from problems.read import read_problems
from problems.sets import load_problem_set


def fails(source: str, entry: str, program: str) -> list[int]:
    """Which of a source's tests a program fails, run plainly here."""
    setup, tests = assert_tests(source, entry)
    failed = []
    for number, test in enumerate(tests):
        names: dict[str, Any] = {}
        exec(program, names)
        names["candidate"] = names[entry]
        try:
            exec(setup, names)
            exec(test.input, names)
        except AssertionError:
            failed.append(number)
    return failed


CHECK = """
import math
LIMIT = 3

def helper(x):
    return x + 1

def f(x):
    raise RuntimeError("the data set's own")

def check(candidate):
    '''A docstring.'''
    import random
    assert candidate(1) == helper(1)
    big = 10 ** 6
    assert candidate(2) == LIMIT, "message"
    assert candidate(big) == 1000001
"""

# Splitting


@pytest.mark.parametrize("call", ["", "check(f)\n"], ids=["no call", "call"])
def test_each_assertion_of_a_straight_check_is_a_test(call: str) -> None:
    setup, tests = assert_tests(CHECK + call, "f")
    assert len(tests) == 3
    assert all(test.expected is None and test.input.count("assert ") == 1 for test in tests)
    assert "def helper" in setup
    assert "def f" not in setup
    assert "check" not in setup
    assert ["big" in test.input for test in tests] == [False, True, True], "what comes before an assertion comes along"
    assert fails(CHECK + call, "f", "def f(x): return x + 1") == []
    assert fails(CHECK + call, "f", "def f(x): return 3 if x == 2 else 0") == [0, 2]


def test_the_parameter_of_a_check_may_have_any_name() -> None:
    source = "def check(function):\n    assert function(2) == 4\n    assert f(3) == 9"
    assert fails(source, "f", "def f(x): return x * x") == []
    assert fails(source, "f", "def f(x): return 4") == [1]


def test_assertions_at_the_top_are_split() -> None:
    source = "import math\nassert f(1) == 1\ndef g(x):\n    return f(x)\nassert g(2) == 4\nassert f(math.inf) == math.inf"
    setup, tests = assert_tests(source, "f")
    assert setup == "import math"
    assert [test.input.splitlines()[-1] for test in tests] == [
        "assert f(1) == 1",
        "assert g(2) == 4",
        "assert f(math.inf) == math.inf",
    ]
    assert fails(source, "f", "def f(x): return x * x") == []
    assert fails(source, "f", "def f(x): return x") == [1]


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("data = [1]; assert candidate(data) == 1; assert candidate(data) == 2", 1),
        ("data = [1]; assert candidate(data) == 1; assert candidate([2]) == 2", 2),
        ("data = [1]; more = data; assert candidate(data) == 1; assert candidate(more) == 2", 1),
        ("data = [1]; assert candidate(data) == 1; last = candidate(data); assert last == 2", 1),
        ("data = list(range(9)); total = sum(data); assert candidate([]) == 0; assert candidate(data) == total", 2),
        ("a, b = [1], [2]; assert candidate(a) == 1; assert candidate(b) == 2", 1),
        ("size = 3; assert candidate(size) == 1; assert candidate(-size) == 2", 2),
        ("assert candidate(1) == 1; data.append(1); assert candidate(1) == 2", 1),
        ("import random; random.seed(1); assert candidate(random.random()); assert candidate(random.random())", 1),
        ("import random; assert candidate(random.random()); assert candidate(random.random())", 2),
        ("shared[0] = 1; assert candidate(shared) == 1; assert candidate(shared) == 2", 1),
        ("assert (n := candidate(1)) == 1; assert n == 1", 1),
        ("assert candidate(LIST) == 1; assert candidate(LIST) == 2", 1),
        ("assert candidate(LIMIT) == 1; assert candidate(LIMIT) == 2", 2),
        ("assert candidate(uses_list()) == 1; assert candidate(uses_list()) == 2", 1),
        ("print; pass; assert candidate(1) == 1; assert candidate(2) == 2", 2),
    ],
)
def test_assertions_that_could_depend_on_one_another_stay_together(body: str, count: int) -> None:
    around = "LIST = [1]\nLIMIT = 3\ndef uses_list():\n    return LIST\n"
    assert len(assert_tests(f"{around}def check(candidate):\n    {body}", "f")[1]) == count


@pytest.mark.parametrize(
    "body",
    ["for x in range(3):\n        assert candidate(x) == x", "with open('x'):\n        assert candidate(1)", "g(candidate)"],
)
def test_a_check_with_compound_statements_is_one_test(body: str) -> None:
    source = f"def check(candidate):\n    assert candidate(0) == 0\n    {body}\n"
    _, tests = assert_tests(source, "f")
    assert [test.input for test in tests] == [f"{source}check(candidate)"]


def test_a_check_that_is_called_in_its_own_way_stays_whole() -> None:
    source = "def check(f):\n    assert f(1) == 2\ndef test_all():\n    check(f)\ntest_all()"
    setup, tests = assert_tests(source, "f")
    assert (setup, len(tests)) == ("", 1)
    assert fails(source, "f", "def f(x): return 2") == []
    assert fails(source, "f", "def f(x): return 1") == [0]


def test_a_function_that_is_called_check_itself() -> None:
    assert len(assert_tests("assert check(1) == 1\nassert check(2) == 1", "check")[1]) == 2
    source = "def check(candidate):\n    assert candidate(1) == 1"
    assert assert_tests(source, "check")[1][0].input == f"{source}\ncheck(candidate)"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def check(:", "not Python"),
        ("a\0b", "not Python"),
        ("", "asserts nothing"),
        ("x = 1", "asserts nothing"),
        ("def check(candidate):\n    pass", "asserts nothing"),
    ],
)
def test_what_cannot_be_a_test_is_refused(source: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        assert_tests(source, "f")


# Files

MBPP = {
    "task_id": 7,
    "text": "Add one.",
    "code": "def one():\r\n    return 1\r\ndef add(x):\r\n    return x + one()",
    "test_setup_code": "base = 1",
    "test_list": ["assert add(1) == 2", "assert add(one()) == 1 + base"],
    "challenge_test_list": ["assert add(9) == 11"],
}
SANITIZED = {"task_id": 8, "prompt": "Sum.", "code": "def sum(x):\n    return 0", "test_imports": ["import math"]}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'import math\n\ndef half(x):\n    return x / 2\n\ndef f(x):\n    """Halve."""\n',
    "entry_point": "f",
    "canonical_solution": "    return half(x)\n",
    "test": "def check(candidate):\n    assert candidate(2) == half(2)\n    assert candidate(4) == 2\n",
}


def test_mbpp_names_the_function_and_the_tests(tmp_path: Path) -> None:
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(MBPP) + "\n\n")
    assert read_problems(tmp_path / "mbpp.jsonl") == (
        [
            Problem(
                id="MBPP/7",
                question="Add one.\nYour code should pass these tests:\n\nassert add(1) == 2\nassert add(one()) == 1 + base\n",
                fn_name="add",
                test_setup="base = 1",
                tests=tuple(assert_tests("\n".join(MBPP["test_list"]), "add")[1]),
                solutions=(MBPP["code"],),
                corpus=(MBPP["code"],),
                split="prompt",
                source="MBPP",
            )
        ],
        0,
    )


def test_sanitized_mbpp_is_one_list_and_a_builtin_s_name_may_be_the_function_s(tmp_path: Path) -> None:
    rows = [SANITIZED | {"test_list": ["assert sum(1) == 0"]}, SANITIZED | {"task_id": 9, "test_list": []}]
    (tmp_path / "s.json").write_text(json.dumps(rows))
    (problem,), dropped = read_problems(tmp_path / "s.json")
    assert (problem.id, problem.fn_name, problem.test_setup, dropped) == ("MBPP/8", "sum", "import math", 1)


@pytest.mark.parametrize("name", ["HumanEval.jsonl", "HumanEval.jsonl.gz"])
def test_humaneval_helpers_of_the_prompt_are_the_tests_too(tmp_path: Path, name: str) -> None:
    content = json.dumps(HUMANEVAL).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    (problem,), dropped = read_problems(tmp_path / name)
    assert (problem.id, problem.fn_name, problem.kind, problem.split, dropped) == (
        "HumanEval/0",
        "f",
        TestKind.ASSERT,
        "test",
        0,
    )
    assert problem.question == problem.starter_code == HUMANEVAL["prompt"]
    assert problem.solutions == problem.corpus == (HUMANEVAL["prompt"] + HUMANEVAL["canonical_solution"],)
    assert problem.test_setup == "import math\ndef half(x):\n    return x / 2"
    assert len(problem.tests) == 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"{}", "is no problem set"),
        ("a.jsonl", b"\n", "holds no problems with tests"),
        ("a.jsonl", b"{}\n", "line 1 is malformed: Object missing required field `id`"),
        ("a.jsonl", b"[1]\n", "line 1 is not an object"),
        ("a.jsonl", b"{\n", "line 1 is not JSON"),
        ("a.jsonl", b"\xff\n", "a.jsonl is not UTF-8: "),
        ("a.jsonl.gz", b"{}\n", "cannot be read"),
        ("a.json", b"{}", "is not a list of problems"),
        ("a.json", b'[{"test_list": []}]', "problem 1 is malformed: Object missing required field `task_id`"),
        ("a.jsonl", json.dumps(MBPP | {"test_list": ["assert 1"]}).encode(), "call no function in common"),
        ("a.jsonl", json.dumps(MBPP | {"code": "def ("}).encode(), "is malformed: it is not Python"),
        ("a.jsonl", (json.dumps(HUMANEVAL) + "\n").encode() * 2, "has HumanEval/0 twice"),
    ],
)
def test_files_that_are_no_problem_set_are_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as err:
        read_problems(tmp_path / name)
    assert said in err.value.message


def test_a_path_with_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        read_problems(tmp_path / "nothing.jsonl")


def test_benchmarks_are_read_whole(benchmark_data: Path) -> None:
    mbpp, humaneval = benchmark_data / "mbpp", benchmark_data / "humaneval" / "HumanEval.jsonl.gz"
    for path, count, tests in (
        (mbpp / "mbpp.jsonl", 974, 2922),
        (mbpp / "sanitized-mbpp.json", 427, 1324),
        (humaneval, 164, 1170),
    ):
        problems, dropped = read_problems(path)
        assert (len(problems), dropped, sum(len(problem.tests) for problem in problems)) == (count, 0, tests)
        assert {problem.kind for problem in problems} == {TestKind.ASSERT}
    whole = {problem.id: len(problem.tests) for problem in read_problems(humaneval)[0]}
    assert [whole[f"HumanEval/{number}"] for number in (32, 38, 44, 50, 53)] == [1, 1, 1, 1, 1], "those with loops"


# What a check says


def write_set(tmp_path: Path) -> Path:
    rows = [MBPP | {"task_id": number} for number in range(1, 5)]
    (tmp_path / "set.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "set.jsonl"


def found(*, kept: bool = True, seconds: float | None = None) -> CheckedProblem:
    return CheckedProblem(kept=kept, solutions=1, passing=int(kept), reference_seconds=seconds)


def checked(path: Path, **problems: CheckedProblem) -> Path:
    about = {id_.replace("_", "/"): problem for id_, problem in problems.items()}
    write_check(path, Check(problem_set="s", compare="strict", cpu_seconds=1.0, without_tests=0, problems=about))
    return path


def test_a_checked_set_loses_what_fails_and_gains_times(tmp_path: Path) -> None:
    file = checked(tmp_path / "c.json", MBPP_1=found(seconds=0.5), MBPP_2=found(kept=False), MBPP_3=found())
    config = ProblemsConfig(path=write_set(tmp_path), checked=file, heldout_fraction=0.3)
    made = load_problem_set(config, tmp_path / "run", 0)
    times = {problem.id: problem.reference_seconds for problem in made.train + made.heldout}
    assert times == {"MBPP/1": 0.5, "MBPP/3": None, "MBPP/4": None}
    assert (made.dropped_without_tests, made.dropped_by_check) == (0, 1)


def test_a_check_that_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    problems, _ = read_problems(write_set(tmp_path))
    with pytest.raises(UserError, match="is about other problems, of s"):
        apply_check(checked(tmp_path / "other.json", MBPP_9=found()), problems)
    with pytest.raises(UserError, match="drops every problem"):
        apply_check(checked(tmp_path / "all.json", MBPP_1=found(kept=False)), problems[:1])
    (tmp_path / "bad.json").write_text("[]")
    for name in ("bad.json", "nothing.json"):
        with pytest.raises(UserError, match="cannot be read"):
            apply_check(tmp_path / name, problems)
    with pytest.raises(ValueError, match="set path"):
        ProblemsConfig(checked=tmp_path / "bad.json")
