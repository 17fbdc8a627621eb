"""What a verdict costs: `make bench-executors`, or `python -m benchmarks.executors [--programs 300] [--rounds 7]`.

    isolation    the same programs under each tier, in alternating rounds; WEAK is the fork loop with protection off
    harness      a harness that starts a Python for every test: python3 -S -E -c PROGRAM, its stdin a pipe
    kinds        call-based, assert and erring programs under the best tier
    cores        two judges at once, each pinned to a core with all its processes, against one

All times are wall milliseconds per program, ten small tests each, the judge and its processes pinned to one core.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
from rich.console import Console
from rich.table import Table

from contracts.records import Outcome, Problem, Test
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors import tiers
from executors.confine import Tier
from executors.judge import Executor
from executors.judge_process import JudgeProcess

PAIRS = [(n, n * n) for n in range(10)]
ADD = "a, b = map(int, input().split())\nprint(a + b)\n"
STDIN = Problem(id="stdin", question="", tests=tuple(Test(f"{a} {b}\n", f"{a + b}\n") for a, b in PAIRS))
CALLS = Problem(id="call", question="", fn_name="add", tests=tuple(Test([a, b], a + b) for a, b in PAIRS))
ASSERTS = Problem(
    id="assert",
    question="",
    fn_name="add",
    test_setup="",
    tests=tuple(Test(f"assert add({a}, {b}) == {a + b}", None) for a, b in PAIRS),
)
FUNCTION = "def add(a, b):\n    return a + b\n"
KINDS = {
    "stdin": (STDIN, ADD, Outcome.PASS),
    "call-based": (CALLS, FUNCTION, Outcome.PASS),
    "assert": (ASSERTS, FUNCTION, Outcome.PASS),
    "wrong on every test": (STDIN, ADD.replace("a + b", "a - b - 1"), Outcome.FAILURE),
    "wrong from the second test on": (STDIN, ADD.replace("a + b", "a + b if a == 0 else 5"), Outcome.FAILURE),
    "NameError on every test": (STDIN, ADD + "undefined\n", Outcome.RUNTIME_ERROR),
    "does not compile": (STDIN, "print(1 +* 2)\n", Outcome.SYNTAX_ERROR),
    "numpy": (STDIN, "import numpy as np\n" + ADD, Outcome.PASS),
}


def judged(judge: Executor | JudgeProcess, problem: Problem, text: str, outcome: Outcome, programs: int) -> float:
    """Milliseconds per program."""
    began = time.perf_counter()
    for _ in range(programs):
        verdict = judge.judge(problem, text)
        assert verdict.outcome is outcome, verdict
    return (time.perf_counter() - began) / programs * 1e3


def alternating(arms: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each arm's figure in every round."""
    figures: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            figures[name].append(arm())
    return figures


def isolation(programs: int, rounds: int) -> dict[str, list[float]]:
    """Each tier that this machine holds."""
    with contextlib.ExitStack() as stack:
        config = ExecutorsConfig(allow_weak_isolation=True)
        judges = {tier: stack.enter_context(Executor(config, RewardsConfig(), tier)) for tier in reversed(tiers.available())}

        def arm(tier: Tier) -> Callable[[], float]:
            return lambda: judged(judges[tier], STDIN, ADD, Outcome.PASS, programs)

        return alternating({tier.name.lower(): arm(tier) for tier in judges}, rounds)


def harness(programs: int) -> float:
    """Milliseconds per program of a new interpreter per test."""
    command = [sys.executable, "-S", "-E", "-c", ADD]
    began = time.perf_counter()
    for _ in range(programs):
        for test in STDIN.tests:
            done = subprocess.run(command, input=test.input, capture_output=True, text=True, check=True)
            assert done.stdout == test.expected
    return (time.perf_counter() - began) / programs * 1e3


def kinds(programs: int, rounds: int) -> dict[str, list[float]]:
    """Each kind of program under the best tier."""
    with Executor(ExecutorsConfig(), RewardsConfig()) as judge:

        def arm(name: str) -> Callable[[], float]:
            problem, text, outcome = KINDS[name]
            return lambda: judged(judge, problem, text, outcome, programs)

        return alternating({name: arm(name) for name in KINDS}, rounds)


def cores(programs: int, rounds: int) -> dict[str, list[float]]:
    """Programs per second of one judge's process and of two at once, each pinned to a core with its zygotes."""
    with contextlib.ExitStack() as stack:
        judges = [stack.enter_context(contextlib.closing(JudgeProcess(ExecutorsConfig(), RewardsConfig()))) for _ in range(2)]
        for cpu, judge in zip(sorted(os.sched_getaffinity(0)), judges, strict=False):
            judge.judge(STDIN, ADD)
            process = psutil.Process(judge.process_id)
            for one in (process, *process.children(recursive=True)):
                one.cpu_affinity([cpu])
        threads = stack.enter_context(ThreadPoolExecutor(2))

        def rate(count: int) -> float:
            began = time.perf_counter()
            list(threads.map(lambda judge: judged(judge, STDIN, ADD, Outcome.PASS, programs), judges[:count]))
            return count * programs / (time.perf_counter() - began)

        return alternating({"one": lambda: rate(1), "two": lambda: rate(2)}, rounds)


def main() -> int:
    """Print all tables and compare with what was asked for; returns 1 where something falls short."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--programs", type=int, default=300, help="programs per round")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds")
    arguments = parser.parse_args()
    console = Console()
    all_cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_cpus)})
    by_tier = isolation(arguments.programs, arguments.rounds)
    _print(console, "ms per program of ten small tests, by isolation", by_tier)
    new_interpreters = harness(max(2, arguments.programs // 60))
    by_kind = kinds(arguments.programs, max(1, arguments.rounds // 2))
    _print(console, "ms per program by kind, best isolation", by_kind)
    os.sched_setaffinity(0, all_cpus)
    by_cores = cores(2 * arguments.programs, arguments.rounds)
    _print(console, "programs per second by judges, each pinned to a core", by_cores)
    best = statistics.median(by_tier[tiers.best().name.lower()])
    added = max(statistics.median(times) for times in by_tier.values()) - statistics.median(by_tier["weak"])
    ratio = new_interpreters / best
    scaling = statistics.median(by_cores["two"]) / statistics.median(by_cores["one"])
    checks = [
        (f"protection adds {added:.2f} ms to the fork loop without it (asked: at most 0.6)", added <= 0.6),
        (f"{best:.2f} ms a program (a prototype: 2.7 to 3.0)", best < 2.7),
        (f"{ratio:.0f} x faster than a new interpreter per test, {new_interpreters:.0f} ms (asked: 20 x)", ratio >= 20),
        (f"two cores {scaling:.2f} x one (asked: 1.7 x)", scaling >= 1.7),
    ]
    for text, fine in checks:
        console.print(f"{'ok' if fine else 'SHORT'}  {text}", highlight=False)
    return int(not all(fine for _, fine in checks))


def _print(console: Console, title: str, figures: dict[str, list[float]]) -> None:
    table = Table("", "median", "least", "most", title=title, title_justify="left")
    for name, values in figures.items():
        table.add_row(name, *(f"{value:.2f}" for value in (statistics.median(values), min(values), max(values))))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
