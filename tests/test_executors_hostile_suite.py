"""The hostile suite: each program gets its verdict, leaves nothing behind, and the next program is judged as ever."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from contracts.records import Outcome, Problem, Trust, Verdict
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors import tiers
from executors.confine import Tier
from executors.judge import Executor
from executors.pool import Job, Pool
from tests.hostile import ROWS
from tests.hostile.case import ADD, ASSERTS, SUM, SUMS, Case, prints
from tests.hostile.escapes import SECRET_VARIABLE
from tests.hostile.fake_passes import SEARCH, SECRET

CONFIG = ExecutorsConfig(cpu_seconds=0.3, memory_mb=64, output_mb=1, max_tests=200)
_PR_SET_CHILD_SUBREAPER = 36
_MARK = "rltf-hostile"
"""In the name of every file that the suite's programs try to leave."""
_PATIENCE_SECONDS = 10
_LIBRARY = sysconfig.get_path("stdlib")
_CASES = [pytest.param(case, id=f"{row}-{case.name}") for row, cases in ROWS.items() if row != "waits" for case in cases]


@pytest.fixture(scope="module")
def adopted() -> Iterator[None]:
    """Processes that lose their parent become children of this one, where they are seen."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class Scene(NamedTuple):
    """Where to look for what is left."""

    folder: Path
    """For the executor's own files, if it has any."""
    others: frozenset[int]
    """Processes of this session that have nothing to do with executors."""


@pytest.fixture(scope="module")
def scene(adopted: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The suite's own folder for temporary files, and a secret in the environment."""
    del adopted
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("executor")
        patch.setattr(tempfile, "tempdir", str(path))
        patch.setenv(SECRET_VARIABLE, "secret")
        yield Scene(path, frozenset(_descendants()))


class Left(NamedTuple):
    """What there is beside the program: the same before and after."""

    processes: dict[int, int]
    """Descendants of this process, others apart → how many descriptors each holds."""
    descriptors: int
    files: list[str]

    @classmethod
    def now(cls, scene: Scene) -> Left:
        """Look around."""
        places = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.home(), Path.cwd(), Path("/"))
        files = [str(file) for file in scene.folder.rglob("*")]
        files += [str(file) for place in places if place.is_dir() for file in place.glob(f"*{_MARK}*")]
        return cls({pid: _descriptors(pid) for pid in _descendants() - scene.others}, _descriptors(os.getpid()), files)


def _descendants() -> set[int]:
    """All of them, but for ended ones that wait for nobody but this process."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent, *_ = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
            if (state, int(parent)) != ("Z", os.getpid()):
                parents[int(entry.name)] = int(parent)
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:  # ended meanwhile
        return 0


def _until(scene: Scene, wanted: Callable[[Left], bool]) -> bool:
    """Does it come to that? Killed processes are not waited for by the judge, so that they may take a moment to go."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not wanted(Left.now(scene)):
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


class Bench(NamedTuple):
    """An executor and what there is while it waits."""

    executor: Executor
    before: Left
    scene: Scene

    def is_clean(self) -> bool:
        """Is everything as before?"""
        return _until(self.scene, lambda now: now == self.before)


@pytest.fixture(scope="module", params=sorted(set(Tier) - {Tier.WEAK}, reverse=True), ids=lambda tier: tier.name.lower())
def bench(request: pytest.FixtureRequest, scene: Scene) -> Iterator[Bench]:
    """One for each tier that this machine has, but the one for trusted programs."""
    if request.param not in tiers.available():
        pytest.skip(f"this machine lacks it: {'; '.join(tiers.faults(request.param))}")
    with Executor(CONFIG, RewardsConfig(), request.param) as executor:
        for problem, text in ((SUM, ADD), (SUM, "# numpy\n" + ADD), (ASSERTS, "def add(a, b): return a + b")):
            assert executor.judge(problem, text).outcome is Outcome.PASS  # each by a zygote of its own
        # What is left then is zygotes, each with the process that waits for it.
        assert _until(scene, lambda now: len(now.processes) == 2 * len(executor.zygotes))
        yield Bench(executor, Left.now(scene), scene)
        assert executor.restarts == 0


@pytest.mark.parametrize("case", _CASES)
def test_verdict_and_nothing_left(bench: Bench, case: Case) -> None:
    verdict = bench.executor.judge(case.problem, case.text)
    assert bench.executor.judge(SUM, ADD).outcome is Outcome.PASS, "the next program is judged as ever"
    assert bench.is_clean()
    if bench.executor.tier is Tier.SEALED and verdict.outcome is Outcome.RUNTIME_ERROR and _LIBRARY in verdict.message:
        pytest.skip("the program imports what this tier cannot load")
    _check(verdict, case)


def _check(verdict: Verdict, case: Case) -> None:
    got = (verdict.outcome, verdict.detail, verdict.category)
    wanted = case.instead if got == case.instead[:3] else case.wanted
    assert got == wanted[:3], (verdict.error_type, verdict.message)
    if wanted.error_type is not None:
        assert verdict.error_type == wanted.error_type, verdict.message
    assert (verdict.span and verdict.span.start_line) == wanted.line, verdict.message
    if case.passed is not None:
        assert verdict.passed == case.passed
    total = len(case.problem.tests)
    assert verdict.total == total
    assert (verdict.passed == total) == (wanted.outcome is Outcome.PASS)
    assert len(verdict.tests) == (0 if wanted.outcome is Outcome.SYNTAX_ERROR else total)
    assert len(verdict.message) <= 300
    assert verdict.trust is Trust.FULL


def test_waiting_programs_cost_their_limit_once(bench: Bench) -> None:
    """All at the same time, each by an executor of its own, since each takes two seconds."""
    cases = ROWS["waits"]
    with ExitStack() as opened, ThreadPoolExecutor(len(cases)) as threads:
        tier = bench.executor.tier
        executors = [opened.enter_context(Executor(CONFIG, RewardsConfig(), tier)) for _ in cases]
        verdicts = list(threads.map(lambda one, case: one.judge(case.problem, case.text), executors, cases))
        for executor, verdict, case in zip(executors, verdicts, cases, strict=True):
            _check(verdict, case)
            assert verdict.seconds < CONFIG.cpu_seconds
            assert executor.judge(SUM, ADD).outcome is Outcome.PASS
            assert executor.restarts == 0
    assert bench.is_clean()


def test_a_pass_that_could_be_forged_says_so(bench: Bench) -> None:
    """Tests that use another name of the program have to run beside it, where it can make itself equal to everything."""
    problem = Problem(id="other", question="", fn_name="f", test_setup="", tests=(UnitTest("assert Answer(f(1)) == 2", None),))
    forged = "class Answer(int):\n    __eq__ = lambda *a: True\ndef f(x): return x\n"
    verdict = bench.executor.judge(problem, forged)
    assert (verdict.outcome, verdict.trust) == (Outcome.PASS, Trust.LOW)
    assert bench.is_clean()


def test_the_suite_is_large_enough_and_its_names_are_distinct() -> None:
    assert all(ROWS.values())
    ids = [(row, case.name) for row, cases in ROWS.items() for case in cases]
    assert len(ids) == len(set(ids)) >= 90


def test_the_search_finds_a_secret_that_is_there() -> None:
    hide = f"def caller(secret): return search()\nprint(search(), caller(int('{SECRET:x}', 16)))"
    shown = subprocess.run([sys.executable, "-c", SEARCH + hide], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["None", str(SECRET)]


def test_a_caller_who_gives_up(scene: Scene) -> None:
    """What was not taken is not run; what was started ends, and the pool judges on."""
    with Pool(CONFIG, RewardsConfig()) as pool:
        assert pool.judge(SUM, ADD).outcome is Outcome.PASS
        before = Left.now(scene)
        taken = []

        def jobs() -> Iterator[Job]:
            for number in range(100):
                taken.append(number)
                yield Job(Problem(id=str(number), question="", tests=SUM.tests), "while True: pass")

        verdicts = pool.judge_all(jobs())
        assert isinstance(verdicts, Generator)
        assert next(verdicts).outcome is Outcome.RUNTIME_ERROR
        verdicts.close()
        assert pool.judge(SUM, ADD).outcome is Outcome.PASS
        assert len(taken) < 10
        assert _until(scene, lambda now: now.processes.keys() <= before.processes.keys() and now[1:] == before[1:])


_BUSY = """
import time
began = time.process_time()
while time.process_time() - began < 0.12: pass
print(3)
"""


def test_a_busy_host_makes_no_time_outs(bench: Bench) -> None:
    """Four sessions of others compete for each core; each test is far within its limit of CPU time."""
    count = 4 * (os.cpu_count() or 1)
    spinners = [os.posix_spawn("/bin/sh", ["sh", "-c", "while :; do :; done"], {}, setsid=True) for _ in range(count)]
    try:
        verdict = bench.executor.judge(prints("3", "3", "3"), _BUSY)
    finally:
        for pid in spinners:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert verdict.outcome is Outcome.PASS
    assert bench.is_clean()


def test_one_program_after_another(bench: Bench) -> None:
    """Nothing adds up: a round of what ends quickly, ten times over."""
    quick = [case for row in ("fake passes", "classification") for case in ROWS[row]][::9]
    if bench.executor.tier is Tier.SEALED:
        quick = [case for case in quick if "import" not in case.text]
    for _ in range(10):
        for case in quick:
            assert bench.executor.judge(case.problem, case.text).outcome in (case.wanted.outcome, case.instead.outcome), case.name
    assert bench.executor.judge(SUMS, ADD).outcome is Outcome.PASS
    assert bench.is_clean()
