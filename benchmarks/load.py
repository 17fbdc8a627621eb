"""Do verdicts depend on the machine's load? `make bench-load`, or `python -m benchmarks.load [--programs 500] [--factor 4]`.

The same programs are judged on a calm machine and on one whose cores have FACTOR busy processes each. A fifth of them spend a
known share of the CPU limit, 50 to 90 % or 115 to 200 %; the rest is quick: right, wrong, erring, sleeping. Every verdict
must be the same.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections import Counter

from rich.console import Console

from contracts.records import Problem, Test, Verdict
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.judge import Executor

LIMIT = 0.3
SHARES = (0.5, 0.7, 0.8, 0.9, 1.15, 1.3, 1.6, 2.0)
PROBLEM = Problem(id="load", question="", tests=(Test("2 3\n", "5\n"), Test("10 4\n", "14\n")))
ADD = "a, b = map(int, input().split())\nprint(a + b)\n"
SPIN = "import time\nend = time.thread_time() + {seconds}\nwhile time.thread_time() < end: pass\n" + ADD
QUICK = (ADD, ADD.replace("+", "-"), ADD + "undefined", "print(1", "import time\ntime.sleep(0.05)\n" + ADD, ADD + "exit(3)")


def programs(count: int, seed: int) -> list[str]:
    """Texts in a seeded order."""
    chance = random.Random(seed)
    near = [SPIN.format(seconds=share * LIMIT) for share in SHARES]
    texts = [near[n // 5 % len(near)] if n % 5 == 0 else QUICK[n % len(QUICK)] for n in range(count)]
    chance.shuffle(texts)
    return texts


def verdicts(texts: list[str], console: Console, name: str) -> list[Verdict]:
    """One judge, one program after the other."""
    began = time.perf_counter()
    with Executor(ExecutorsConfig(cpu_seconds=LIMIT), RewardsConfig()) as judge:
        found = [judge.judge(PROBLEM, text) for text in texts]
    outcomes = Counter(verdict.detail or verdict.outcome for verdict in found)
    console.print(f"{name}: {time.perf_counter() - began:.0f} s, {dict(outcomes)}", highlight=False)
    return found


def main() -> int:
    """Judge twice and compare; returns 1 where a verdict differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--programs", type=int, default=500)
    parser.add_argument("--factor", type=int, default=4, help="busy processes per core")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    console = Console()
    texts = programs(arguments.programs, arguments.seed)
    calm = verdicts(texts, console, "calm")
    cores = len(os.sched_getaffinity(0))
    # Each in a session of its own: kernels that share the CPU out by session would else give them one share together.
    command = [sys.executable, "-S", "-c", "while True: pass"]
    busy = [subprocess.Popen(command, start_new_session=True) for _ in range(arguments.factor * cores)]
    try:
        loaded = verdicts(texts, console, f"{arguments.factor} busy processes per core")
    finally:
        for process in busy:
            process.kill()
            process.wait()
    pairs = [((a.outcome, a.detail, a.passed), (b.outcome, b.detail, b.passed)) for a, b in zip(calm, loaded, strict=True)]
    changed = [(text, *pair) for text, pair in zip(texts, pairs, strict=True) if pair[0] != pair[1]]
    for text, before, after in changed:
        console.print(f"{before} became {after}: {text!r}", highlight=False)
    console.print(f"{len(changed)} of {len(texts)} verdicts changed", highlight=False)
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main())
