"""`rltf.reward`: rewards for other trainers, from a file of problems or from rows' own tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import UserError
from contracts.records import Outcome, Problem, Verdict
from contracts.records import Test as UnitTest
from problems.apps import write_folder
from rltf.reward import UnitTestReward, program_in
from tests.cli import ROOT

STDIN = Problem(id="0001", question="", tests=(UnitTest("1\n", "2\n"), UnitTest("2\n", "3\n")))
GOOD, HALF, BROKEN = "print(int(input()) + 1)", "print(2)", "print("
TEST = "assert f(1) == 1\nassert f(2) == 4"


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reward") / "set"
    write_folder(path, [STDIN])
    return path


@pytest.fixture(scope="module")
def coarse(problems: Path) -> Iterator[UnitTestReward]:
    with UnitTestReward(problems, cores=1) as reward:
        yield reward


def test_completions_get_coarse_rewards_as_trl_asks_for_them(coarse: UnitTestReward) -> None:
    rewards = coarse(
        prompts=["Add one."] * 4,
        completions=[GOOD, HALF, BROKEN, [{"role": "assistant", "content": f"Here:\n```python\n{GOOD}\n```\nDone."}]],
        completion_ids=[[1]] * 4,
        problem_id=["0001"] * 4,
        difficulty=["easy"] * 4,
        trainer_state=None,
    )
    assert rewards == [1.0, -0.3, -1.0, 1.0]
    assert coarse.__name__ == "unit_tests_coarse"


def test_rows_may_carry_their_tests(coarse: UnitTestReward) -> None:
    completions = ["def f(x): return x * x", "def f(x): return 1", "def f(x): return x.y", "def g(): pass"]
    assert coarse(completions=completions, entry_point=["f"] * 4, test=[TEST] * 4) == [1.0, -0.3, -0.6, -0.6]


def test_adaptive_rewards_are_shares_and_coarse_for_errors(problems: Path) -> None:
    with UnitTestReward(str(problems), cores=1, feedback="adaptive") as reward:
        assert reward(completions=[GOOD, HALF, BROKEN, "1 / 0"], problem_id=["0001"] * 4) == [
            *(1.0, pytest.approx(0.35), -1.0, -0.6)
        ]
        assert reward.__name__ == "unit_tests_adaptive"


def test_the_sandbox_s_own_errors_have_no_reward(coarse: UnitTestReward) -> None:
    assert coarse.reward(Verdict(outcome=Outcome.SANDBOX_ERROR)) is None


def test_one_program_gets_a_verdict(coarse: UnitTestReward) -> None:
    assert [coarse.judge(problem, HALF).passed for problem in ("0001", STDIN)] == [1, 1]
    verdict = coarse.judge({"entry_point": "f", "test": TEST}, "def f(x):\n    return x.y")
    assert (verdict.outcome, verdict.error_type, verdict.total) == (Outcome.RUNTIME_ERROR, "AttributeError", 2)
    assert verdict.span
    assert verdict.span.start_line == 2


def test_settings_reach_the_executors(problems: Path) -> None:
    with UnitTestReward(problems, compare="apps", cores=1, cpu_seconds=0.2) as reward:
        assert reward.judge("0001", "print(floor(int(input()) + 1.5))").outcome is Outcome.PASS, "the harness's own names"
        assert reward.judge("0001", "while True: pass").detail == "timeout"


def test_unknown_problems_are_refused(coarse: UnitTestReward, problems: Path) -> None:
    with pytest.raises(UserError, match="no problem 'x'"):
        coarse(completions=[GOOD], problem_id=["x"])
    with pytest.raises(UserError, match="neither a problem_id nor a test"):
        coarse(completions=[GOOD])
    with pytest.raises(UserError, match="no problem 2"):
        coarse.judge(2, GOOD)
    with pytest.raises(UserError, match="feedback='fine'"):
        UnitTestReward(problems, feedback="fine")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no such file or folder"):
        UnitTestReward(problems / "nope")


def test_columns_and_completions_must_fit(coarse: UnitTestReward) -> None:
    assert coarse(["Add one."], [GOOD], problem_id=["0001"]) == [1.0]
    for column in (["0001"], ["0001"] * 3, "00"):
        with pytest.raises(UserError, match="problem_id is no list of one value for each of the 2 completions"):
            coarse(completions=[GOOD, GOOD], problem_id=column)
    with pytest.raises(UserError, match="there are no completions"):
        coarse([GOOD], problem_id=["0001"])
    no_text: list[Any] = [None, [], [{"role": "assistant"}], [{"role": "assistant", "content": None}], 3]
    for completion in no_text:
        with pytest.raises(UserError, match="has no text"):
            coarse(completions=[GOOD, completion], problem_id=["0001"] * 2)


def test_a_closed_one_says_so(problems: Path) -> None:
    with UnitTestReward(problems, cores=1) as reward:
        pass
    for call in (lambda: reward(completions=[GOOD], problem_id=["0001"]), lambda: reward.judge("0001", GOOD)):
        with pytest.raises(UserError, match="is closed"):
            call()


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("x = 1\n", "x = 1\n"),
        ("```python\nx = 1\n```", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("Cut off:\n```py\nx = 1\nif", "x = 1\nif"),
        ("```python\nfirst\n```\nBetter:\n```Python\nlast\n```\n", "last\n"),
        ("```python\nx\n```\nprints\n```text\n1\n```", "x\n"),
        ("```bash\nls\n```", "```bash\nls\n```"),
        ("print('```')", "print('```')"),
        ("", ""),
    ],
)
def test_programs_are_taken_out_of_fences(completion: str, program: str) -> None:
    assert program_in(completion) == program
    assert program_in([{"role": "user", "content": "?"}, {"role": "assistant", "content": completion}]) == program


def test_of_several_fences_the_one_with_the_problem_s_function_is_judged() -> None:
    used = (
        "1. So:\n\n    ```python\n    def f(x):\n        return x\n    ```\n\n    Then\n    ```python\n    print(f(2))\n    ```\n"
    )
    with UnitTestReward(cores=1) as reward:
        assert reward(completions=[used], entry_point=["f"], test=["assert f(2) == 2"]) == [1.0]


def test_the_documentation_s_example_prints_what_it_says() -> None:
    blocks = re.findall(r"^```(?:python)?\n(.*?)^```$", (ROOT / "docs" / "label.md").read_text(), re.MULTILINE | re.DOTALL)
    example, printed = blocks
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")
    assert len([line for line in example.splitlines() if line.strip()]) <= 10


def test_neither_ray_nor_torch_is_imported() -> None:
    script = (
        "import json, sys\n"
        "from rltf.reward import UnitTestReward\n"
        "with UnitTestReward(cores=1) as reward:\n"
        "    print(reward(completions=['def f(x): return 1'], entry_point=['f'], test=['assert f(1) == 1']))\n"
        "print(json.dumps([name for name in ('ray', 'torch', 'transformers', 'numpy', 'redis') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[1.0], []]
