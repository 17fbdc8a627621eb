"""Several judges: order, what waits, what is remembered, and who takes over."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contracts import metrics as m
from contracts.errors import UserError
from contracts.records import Detail, Outcome, Problem, Verdict
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors import judge, judge_process
from executors.judge import Executor
from executors.judge_process import JudgeProcess
from executors.pool import Job, Pool

ECHO = Problem(id="echo", question="", tests=(UnitTest("1", "1"),))


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(ExecutorsConfig(cores=2, cpu_seconds=0.3), RewardsConfig()) as one:
        yield one


def test_verdicts_come_in_order_whatever_the_programs_take(pool: Pool) -> None:
    texts = ["while True: pass" if n % 5 == 0 else f"print({n % 2})" for n in range(20)]
    verdicts = list(pool.judge_all(Job(ECHO, text) for text in texts))
    wanted = ["runtime_error" if n % 5 == 0 else "pass" if n % 2 else "failure" for n in range(20)]
    assert [verdict.outcome for verdict in verdicts] == wanted


def test_jobs_are_taken_as_they_are_needed(pool: Pool) -> None:
    taken = 0

    def jobs() -> Iterator[Job]:
        nonlocal taken
        for n in range(100):
            taken += 1
            yield Job(ECHO, f"print(1) # {n}")

    verdicts = pool.judge_all(jobs())
    next(verdicts)
    assert taken <= 2 * 4 + 1
    assert sum(verdict.outcome is Outcome.PASS for verdict in verdicts) == 99


def test_equal_programs_of_a_problem_are_judged_once_unless_they_timed_out() -> None:
    with Pool(ExecutorsConfig(cpu_seconds=0.2, cached_verdicts=2), RewardsConfig()) as pool:
        first = pool.judge(ECHO, "print(1)")
        assert pool.judge(ECHO, "print(1)") is first
        assert pool.judge(structs.replace(ECHO, id="other"), "print(1)") is not first
        assert pool.judge(structs.replace(ECHO, tests=(UnitTest("1", "2"),)), "print(1)").outcome is Outcome.FAILURE
        assert pool.judge(ECHO, "print(1)", hidden=True) is not first
        for _ in range(2):
            assert pool.judge(ECHO, "while True: pass").detail is Detail.TIMEOUT
        assert pool.collect()[m.REMEMBERED.name] == 1


def test_every_program_counts_as_remembered_or_executed() -> None:
    texts = ["print(1)", "print(1)", "print(2)", "while True: pass", "import os\nos.fork()", "print('x' * 9_000_000)"]
    with Pool(ExecutorsConfig(cpu_seconds=0.2, output_mb=1), RewardsConfig()) as pool:
        verdicts = list(pool.judge_all(Job(ECHO, text) for text in texts))
        counts = pool.collect()
    executed = counts.pop(m.EXECUTION.name)
    assert counts == {
        m.JUDGED.name: 6,
        m.REMEMBERED.name: 1,
        m.KILLED.name: {"timeout": 1, "disallowed": 1, "output_limit": 1},
    }
    assert isinstance(executed, dict)
    assert executed.pop("sum") == pytest.approx(sum(verdict.seconds for verdict in [verdicts[0], *verdicts[2:]]))
    assert sum(executed.values()) == 5


def test_a_sandbox_error_is_retried_once_by_another_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[JudgeProcess] = []
    broken = Verdict(outcome=Outcome.SANDBOX_ERROR)

    def judge(self: JudgeProcess, problem: Problem, text: str, *, hidden: bool) -> Verdict:
        assert (problem.id, hidden) == ("echo", False)
        asked.append(self)
        return broken if len(asked) == 1 or text == "never" else Verdict(outcome=Outcome.PASS)

    with Pool(ExecutorsConfig(cores=2), RewardsConfig()) as pool:
        monkeypatch.setattr(JudgeProcess, "judge", judge)
        assert pool.judge(ECHO, "once").outcome is Outcome.PASS
        assert len(asked) == len({id(executor) for executor in asked}) == 2
        assert pool.judge(ECHO, "never").outcome is Outcome.SANDBOX_ERROR
        assert len(asked) == 4
        pool.judge(ECHO, "never")
        assert pool.collect() == {
            m.JUDGED.name: 3,
            m.SANDBOX_ERRORS.name: 2,
            m.EXECUTION.name: {"0.001": 1, "sum": 0.0},
        }


def test_a_judge_that_errs_on_known_programs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with Executor(ExecutorsConfig(), RewardsConfig()) as executor:
        healthy = iter([False, True])
        monkeypatch.setattr(executor, "is_healthy", lambda: next(healthy))
        monkeypatch.setattr(executor, "_since_canary", 10_000)
        assert executor.judge(ECHO, "print(1)").outcome is Outcome.PASS
        assert executor.collect() == {m.REPLACED.name: 1}
        monkeypatch.setattr(executor, "is_healthy", lambda: False)
        assert executor.judge(ECHO, "print(1)").outcome is Outcome.SANDBOX_ERROR


def test_a_judges_process_that_dies_is_replaced() -> None:
    with Pool(ExecutorsConfig(cores=2), RewardsConfig()) as pool:
        assert pool.judge(ECHO, "print(1)").outcome is Outcome.PASS
        for pid in {int(Path(f"/proc/{zygote}/stat").read_text().split()[3]) for zygote in pool.zygotes}:
            os.kill(pid, signal.SIGKILL)
        assert [v.outcome for v in pool.judge_all(Job(ECHO, f"print(1) # {n}") for n in range(6))] == [Outcome.PASS] * 6
        assert pool.collect()[m.REPLACED.name] == 2
        assert pool.collect() == {}, "all was told"


def test_what_judges_in_other_processes_count_comes_with_their_verdicts() -> None:
    with Pool(ExecutorsConfig(cores=2), RewardsConfig()) as pool:
        for zygote in pool.zygotes:
            os.killpg(zygote, signal.SIGKILL)
        assert [v.outcome for v in pool.judge_all(Job(ECHO, f"print(1) # {n}") for n in range(6))] == [Outcome.PASS] * 6
        counts = pool.collect()
    assert counts[m.REPLACED.name] == 2
    assert counts[m.CANARIES.name] == {"right": 4}


def test_canaries_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with Executor(ExecutorsConfig(), RewardsConfig()) as executor:
        assert executor.is_healthy()
        assert executor.collect() == {m.CANARIES.name: {"right": 2}}
        monkeypatch.setattr(judge, "_CANARIES", {"print(3)": Outcome.PASS, "print(4)": Outcome.PASS})
        assert not executor.is_healthy()
        assert executor.collect() == {m.CANARIES.name: {"right": 1, "wrong": 1}}
        for zygote in executor.zygotes:
            os.killpg(zygote, signal.SIGKILL)
        assert not executor.is_healthy()
        assert executor.collect() == {}, "a zygote that died has judged nothing wrong"


def test_a_judges_process_that_is_silent_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(JudgeProcess(ExecutorsConfig(), RewardsConfig())) as process:
        monkeypatch.setattr(process, "_patience", lambda _: 0.01)
        assert process.judge(ECHO, "import time\ntime.sleep(1)").outcome is Outcome.SANDBOX_ERROR
        monkeypatch.undo()
        assert process.judge(ECHO, "print(1)").outcome is Outcome.PASS
        assert process.collect() == {m.REPLACED.name: 1}


def test_problems_are_sent_once_and_forgotten_to_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_process, "_MOST_PROBLEMS", 2)
    problems = [structs.replace(ECHO, id=f"{n}", tests=(UnitTest("", f"{n}"),)) for n in range(4)]
    sent: list[int] = []
    with contextlib.closing(JudgeProcess(ExecutorsConfig(), RewardsConfig())) as process:
        make = process._request

        def request(problem: Problem, text: str, hidden: bool) -> Any:
            made = make(problem, text, hidden)
            sent.append(int(made.problem is not None))
            return made

        monkeypatch.setattr(process, "_request", request)
        for n in (0, 0, 1, 0, 2, 0, 1, 3):
            assert process.judge(problems[n], f"print({n})").outcome is Outcome.PASS
    assert sent == [1, 0, 1, 0, 1, 0, 1, 1]


def test_numbers_of_any_length_reach_judges_in_other_processes(pool: Pool) -> None:
    """msgpack by itself has 64 bits, Python's texts 4,300 digits."""
    for number in (2**70, 10**5000):
        problem = Problem(id="next", question="", fn_name="f", tests=(UnitTest([number], number + 1), UnitTest([-1], 0)))
        verdicts = pool.judge_all(Job(problem, text) for text in ("def f(n): return n + 1", "def f(n): return n + 2"))
        assert [verdict.outcome for verdict in verdicts] == [Outcome.PASS, Outcome.FAILURE]


def test_what_a_judge_raises_reaches_the_caller(pool: Pool) -> None:
    with pytest.raises(UserError, match="no tests"):
        list(pool.judge_all([Job(structs.replace(ECHO, tests=()), "print(1)")]))
    assert pool.judge(ECHO, "print(1)").outcome is Outcome.PASS
