"""Programs that turn on what runs them: they get a verdict, nothing is raised, and the next program is judged as ever."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.records import Category, Detail, Outcome, Problem
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors import tiers
from executors.confine import Tier
from executors.judge import Executor

ADD = "a, b = map(int, input().split())\nprint(a + b)\n"
CONFIG = ExecutorsConfig(cpu_seconds=0.5, memory_mb=128, output_mb=4)
SUMS = Problem(id="sums", question="", tests=(UnitTest("1 2\n", "3\n"), UnitTest("3 4", "7")))


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(CONFIG, RewardsConfig()) as one:
        yield one


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGINT"])
@pytest.mark.parametrize("tier", tiers.available())
def test_who_ends_the_zygote_is_to_blame(number: str, tier: Tier) -> None:
    with Executor(CONFIG, RewardsConfig(), tier) as executor:
        before = descriptors()
        verdict = executor.judge(SUMS, f"import os, signal\nos.kill(os.getppid(), signal.{number})\nwhile True: pass")
        assert (verdict.outcome, verdict.detail, verdict.category) == (Outcome.RUNTIME_ERROR, Detail.DISALLOWED, Category.GLOBAL)
        assert (verdict.passed, verdict.total, len(verdict.tests)) == (0, 2, 2)
        assert executor.restarts == (2 if tier is Tier.WEAK else 0)
        assert executor.judge(SUMS, ADD).outcome is Outcome.PASS
        assert descriptors() == before


def test_a_stopped_zygote_goes_on() -> None:
    with Executor(CONFIG, RewardsConfig(), Tier.WEAK) as weak:
        verdict = weak.judge(SUMS, "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\nos.abort()")
        assert verdict.detail is Detail.EXIT
        assert weak.judge(SUMS, ADD).outcome is Outcome.PASS


def test_a_machine_that_starts_no_zygote_is_at_fault_until_it_does(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    with Executor(executor.config, executor.rewards, Tier.WEAK) as weak:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/missing")
            for text in ("import os\nos.kill(os.getppid(), 9)\nwhile True: pass", ADD):
                verdict = weak.judge(SUMS, text)
                assert (verdict.outcome, verdict.total, verdict.category) == (Outcome.SANDBOX_ERROR, 2, None)
            assert not weak.is_healthy()
        assert weak.judge(SUMS, ADD).outcome is Outcome.PASS
        assert weak.is_healthy()


COLLIDING = """
import json, os
items = [k * (2**61 - 1) for k in range(1, 40001)]
body = b'{}\\n' + json.dumps({SHAPE}).encode()
report = len(body).to_bytes(4, 'little') + body
def f(x):
    for descriptor in range(11, 2, -1):
        try: os.write(descriptor, report)
        except OSError: pass
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
print(executor.zygotes[0], flush=True)
executor.judge(problem, "while True: pass")
"""


@pytest.mark.parametrize("along", [False, True], ids=["alone", "with its children"])
def test_nothing_is_left_where_the_judge_is_killed(along: bool) -> None:
    root = str(Path(__file__).parents[1])
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=root, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        first = int(owner.stdout.readline())
        zygote = int(Path(f"/proc/{first}/task/{first}/children").read_text())
        ended = os.pidfd_open(zygote)
        if along:
            children = Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split()
            assert len(children) == 1
            os.kill(int(children[0]), signal.SIGKILL)
        owner.kill()
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    assert poll.poll(20_000)
    os.close(ended)
