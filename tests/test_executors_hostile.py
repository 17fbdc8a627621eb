"""Programs that turn on what runs them: they get a verdict, nothing is raised, and the next program is judged as ever."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.records import Category, Detail, Outcome, Problem
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.judge import Executor

ADD = "a, b = map(int, input().split())\nprint(a + b)\n"
SUMS = Problem(id="sums", question="", tests=(UnitTest("1 2\n", "3\n"), UnitTest("3 4", "7")))


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(ExecutorsConfig(cpu_seconds=0.5, memory_mb=128, output_mb=4), RewardsConfig()) as one:
        yield one


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_who_ends_the_zygote_is_to_blame(executor: Executor, number: str) -> None:
    before = descriptors()
    verdict = executor.judge(SUMS, f"import os, signal\nos.kill(os.getppid(), signal.{number})\nwhile True: pass")
    assert (verdict.outcome, verdict.detail, verdict.category) == (Outcome.RUNTIME_ERROR, Detail.DISALLOWED, Category.GLOBAL)
    assert (verdict.passed, verdict.total, len(verdict.tests)) == (0, 2, 2)
    assert executor.judge(SUMS, ADD).outcome is Outcome.PASS
    assert descriptors() == before


def test_a_stopped_zygote_goes_on(executor: Executor) -> None:
    verdict = executor.judge(SUMS, "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\nraise ValueError")
    assert (verdict.detail, verdict.error_type, verdict.span and verdict.span.start_line) == (Detail.EXCEPTION, "ValueError", 3)
    assert executor.judge(SUMS, ADD).outcome is Outcome.PASS


HABITS = {
    "removes it": "os.rmdir(os.getcwd())",
    "removes it by name, then fails": "os.rmdir(os.getcwd())\nraise ValueError",
    "a file instead": "p = os.getcwd()\nos.rmdir(p)\nopen(p, 'w').close()",
    "locks it": "open('left', 'w').close()\nos.makedirs('a/b')\nos.chmod('a', 0)\nos.chmod('.', 0o500)",
    "very deep": "for _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')",
    "moves it": "os.rename(os.getcwd(), os.getcwd() + '.moved')\nos.rmdir(os.getcwd())",
}


@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS.keys())
def test_the_folder_is_there_and_empty_for_the_next_program(executor: Executor, habit: str) -> None:
    before = descriptors()
    expected = Outcome.RUNTIME_ERROR if "raise" in habit else Outcome.PASS
    problem = Problem(id="one", question="", tests=SUMS.tests[:1])
    assert executor.judge(problem, ADD + "import os\n" + habit).outcome is expected
    neat = "import os\nassert os.listdir(os.getcwd()) == []\nopen('mine', 'w').close()\n"
    assert executor.judge(problem, neat + ADD).outcome is Outcome.PASS
    assert descriptors() == before


def test_no_link_is_followed(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    executor.judge(SUMS, f"import os\np = os.getcwd()\nos.rmdir(p)\nos.symlink({str(tmp_path)!r}, p)")
    executor.judge(SUMS, f"import os\nos.symlink({str(tmp_path)!r}, 'a')")
    assert executor.judge(SUMS, ADD).outcome is Outcome.PASS
    assert os.listdir(tmp_path) == ["kept"]


def test_a_machine_that_starts_no_zygote_is_at_fault_until_it_does(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        for text in ("import os\nos.kill(os.getppid(), 9)\nwhile True: pass", ADD):
            verdict = executor.judge(SUMS, text)
            assert (verdict.outcome, verdict.total, verdict.category) == (Outcome.SANDBOX_ERROR, 2, None)
    assert executor.judge(SUMS, ADD).outcome is Outcome.PASS


COLLIDING = """
import json, os
items = [k * (2**61 - 1) for k in range(1, 40001)]
body = b'{}\\n' + json.dumps({SHAPE}).encode()
report = len(body).to_bytes(4, 'little') + body
def f(x):
    channel = next(d for d in os.listdir('/proc/self/fd') if os.readlink('/proc/self/fd/' + d).startswith('socket'))
    rest = report
    while rest:
        rest = rest[os.write(int(channel), rest):]
    while True: pass
"""


@pytest.mark.parametrize("shape", ["{'set': items}", "{'dict': [[k, 0] for k in items]}", "{'set': [{'tuple': items}]}"])
@pytest.mark.parametrize("expected", [{1, 2}, dict.fromkeys(range(40000)), set(range(40000))], ids=["small", "dict", "set"])
def test_forged_answers_of_one_hash_are_wrong(executor: Executor, shape: str, expected: object) -> None:
    problem = Problem(id="hash", question="", fn_name="f", tests=(UnitTest([1], expected),))
    assert executor.judge(problem, COLLIDING.replace("{SHAPE}", shape)).outcome is Outcome.FAILURE


OWNER = """
import sys
from contracts.records import Problem, Test
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.judge import Executor
problem = Problem(id="p", question="", tests=(Test("", ""),))
executor = Executor(ExecutorsConfig(cpu_seconds=60), RewardsConfig())
print(executor.judge(problem, "import os\\nraise ValueError(f'{os.getcwd()} {os.getppid()}')").message, flush=True)
executor.judge(problem, "while True: pass")
"""


@pytest.mark.parametrize("along", [False, True], ids=["alone", "with its children"])
def test_nothing_is_left_where_the_judge_is_killed(along: bool) -> None:
    root = str(Path(__file__).parents[1])
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=root, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder, zygote = owner.stdout.readline().split()
        ended = os.pidfd_open(int(zygote))
        if along:
            children = Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split()
            assert len(children) == 1
            os.kill(int(children[0]), signal.SIGKILL)
        owner.kill()
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    assert poll.poll(20_000)
    os.close(ended)
    assert not os.path.exists(folder)
