"""What the executors do with nonsense: `make fuzz`, or `python -m benchmarks.fuzz [--programs 20000] [--memory-programs 50000]`.

Two arms, each through a pool of judges with small limits:

    mutated   programs of the primer, and of APPS where RLTF_DATA names its folder, broken by benchmarks/mutations.py
    quick     the shortest programs of every outcome, for the memory's sake

Asserted: no SANDBOX_ERROR, no verdict that doesn't come, no zygote lost, no descriptor left open, and resident memory of the
judges and of the zygotes that grows by less than 5 % after the first 2,000 programs. Exit code: 0, or 1 where one doesn't hold.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice, pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.mutations import mutate
from contracts.records import Detail, Outcome, Problem, Test, Verdict
from contracts.sections import ExecutorsConfig, PrimerConfig, RewardsConfig
from executors.pool import Job, Pool
from problems import apps, primer

_ROOT = Path(__file__).resolve().parent.parent
CONFIG = ExecutorsConfig(cores=os.cpu_count() or 1, cpu_seconds=0.2, memory_mb=128, output_mb=1, max_tests=3, cached_verdicts=0)
EVERY = 1000
"""Programs between two looks at memory, at most."""
SETTLED = 2000
"""Programs before memory must stay where it is."""
GROWTH = 0.05
HANG_SECONDS = 120
"""No verdict may take so long: two time-outs of 22 s at most, on a machine that is overloaded ten times, each confirmed once."""


_QUICK = (
    ("print(0)", "pass"),
    ("print({})", "failure"),
    ("x = {}\nprint(y)", "runtime_error"),
    ("print({}", "syntax_error"),
    ("exit({})", "runtime_error: exit"),
    ("import os\nos._exit(0)", "failure"),
    ("print('x' * {})", "failure"),
)


class Look(NamedTuple):
    """This process and its zygotes, while no program runs."""

    programs: int
    """Judged so far."""
    judges_mb: float
    """Resident memory of this process and of the judges' own, where they have some."""
    zygotes_mb: float
    """Of all zygotes together."""
    descriptors: int
    """Open here and in the zygotes."""
    zygotes: frozenset[int]
    """Process ids of them, and of what waits for them. One for numpy programs is started when it is first needed."""

    @classmethod
    def now(cls, programs: int) -> Look:
        """Look."""
        here = psutil.Process()
        judges = [here, *(process for process in here.children() if _runs(process, "executors.judge_process"))]
        children = [process for judge in judges for process in judge.children()]
        waiting = [process for process in children if _runs(process, "zygote.py")]
        below = [*waiting, *(zygote for process in waiting for zygote in process.children())]  # not what they may have forked
        mine, theirs = (sum(one.memory_info().rss for one in processes) / 2**20 for processes in (judges, below))
        descriptors = sum(process.num_fds() for process in (*judges, *below))
        return cls(programs, mine, theirs, descriptors, frozenset(process.pid for process in below))


def _runs(process: psutil.Process, what: str) -> bool:
    """Is this what it runs? No: one that has ended, and that nobody has waited for yet."""
    return process.status() != psutil.STATUS_ZOMBIE and any(word.endswith(what) for word in process.cmdline())


class Result(NamedTuple):
    """What an arm came to."""

    verdicts: Counter[str]
    """By outcome, runtime errors by detail."""
    seconds: float
    longest: float
    """Seconds between two verdicts."""
    looks: list[Look]

    def faults(self) -> list[str]:
        """What is off."""
        found = []
        if errors := self.verdicts[Outcome.SANDBOX_ERROR]:
            found.append(f"{errors} SANDBOX_ERRORs")
        if lost := [
            earlier.zygotes - later.zygotes for earlier, later in pairwise(self.looks) if earlier.zygotes - later.zygotes
        ]:
            found.append(f"zygotes lost: {sum(map(len, lost))}")
        descriptors = [look.descriptors for look in self.looks if look.zygotes == self.looks[-1].zygotes]
        if len(set(descriptors)) > 1:
            found.append(f"open descriptors: {descriptors}")
        for name, growth in self.growth().items():
            if growth > GROWTH:
                found.append(f"memory of the {name} grew by {growth:.1%}")
        return found

    def growth(self) -> dict[str, float]:
        """Growth of resident memory from the first quarter of the run to its last, once it had settled; none for short runs.

        Compared is the least of each quarter: a big program's peak passes, a leak stays.
        """
        settled = [look for look in self.looks if look.programs >= SETTLED and look.zygotes == self.looks[-1].zygotes]
        if len(settled) < 2:
            return {}
        quarter = -(-len(settled) // 4)
        judges, zygotes = [look.judges_mb for look in settled], [look.zygotes_mb for look in settled]
        return {
            "judges": min(judges[-quarter:]) / min(judges[:quarter]) - 1,
            "zygotes": min(zygotes[-quarter:]) / min(zygotes[:quarter]) - 1,
        }


def mutated(seed: int) -> Generator[Job, None, None]:
    """Jobs without end: solutions, broken. The same for the same seed, made by a process whose memory is its own."""
    sets = sources(seed)
    command = [sys.executable, "-W", "ignore", "-c", f"from benchmarks import fuzz; fuzz.emit({seed})"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT) as process:
        try:
            for line in process.stdout or ():
                key, index, text = json.loads(line)
                yield Job(sets[key][index], text)
        finally:
            process.kill()


def emit(seed: int) -> None:
    """Print jobs, a JSON line each, until nobody reads them."""
    for job in broken(sources(seed), seed):
        print(json.dumps(job), flush=True)


def broken(sets: Sequence[Sequence[Problem]], seed: int) -> Iterator[tuple[int, int, str]]:
    """(set, problem in it, program) without end; from each set as many."""
    rng = Random(seed)
    while True:
        key, other = rng.randrange(len(sets)), rng.choice(rng.choice(sets))
        index = rng.randrange(len(sets[key]))
        yield key, index, mutate(rng.choice(sets[key][index].solutions), rng.choice(other.solutions), rng)


def quick() -> Generator[Job, None, None]:
    """Jobs without end: a program for each way to end quickly."""
    problem = Problem(id="quick", question="", tests=(Test("", "0"),))
    for number in range(sys.maxsize):
        yield Job(problem, _QUICK[number % len(_QUICK)][0].replace("{}", str(number + 1)))


def wanted(count: int) -> Counter[str]:
    """What so many of them must come to."""
    return Counter(_QUICK[number % len(_QUICK)][1] for number in range(count))


def sources(seed: int) -> list[list[Problem]]:
    """Sets of problems with solutions to break."""
    sets = [primer.generate(PrimerConfig(train=700, heldout=70), seed).train]
    if "RLTF_DATA" in os.environ:
        sets.append(apps.read_folder(Path(os.environ["RLTF_DATA"]) / "apps" / "train")[0])
    return [[problem for problem in problems if problem.solutions] for problems in sets]


def run(pool: Pool, jobs: Iterable[Job], count: int, console: Console) -> Result:
    """Judge so many jobs and look around in between. A verdict that doesn't come ends the process, with its stacks printed."""
    verdicts: Counter[str] = Counter()
    endless = iter(jobs)
    endless = chain([next(endless)], endless)  # what makes them is there before the first look
    began = last = time.monotonic()
    longest = 0.0
    looks = [Look.now(0)]
    while (done := verdicts.total()) < count:
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=2)
        for verdict in pool.judge_all(islice(endless, min(EVERY, count - done))):
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=2)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
            verdicts[_kind(verdict)] += 1
        faulthandler.cancel_dump_traceback_later()
        looks.append(Look.now(verdicts.total()))
        console.print(_line(looks[-1], time.monotonic() - began))
    return Result(verdicts, time.monotonic() - began, longest, looks)


def _kind(verdict: Verdict) -> str:
    plain = verdict.detail in (None, Detail.EXCEPTION)
    return str(verdict.outcome) if plain else f"{verdict.outcome}: {verdict.detail}"


def _line(look: Look, seconds: float) -> str:
    return (
        f"{look.programs} programs in {seconds:.0f} s | judges {look.judges_mb:.1f} MB | zygotes {look.zygotes_mb:.1f} MB "
        f"| descriptors {look.descriptors}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both arms and print what came of them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=20_000, help="mutated programs (default: 20000)")
    parser.add_argument("--memory-programs", type=int, default=50_000, help="quick programs (default: 50000)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (default: 0)")
    options = parser.parse_args(arguments)
    console = Console(width=110)
    arms: dict[str, tuple[Generator[Job, None, None], int]] = {
        "mutated": (mutated(options.seed), options.programs),
        "quick": (quick(), options.memory_programs),
    }
    faults = []
    for name, (jobs, count) in arms.items():
        if count > 0:
            console.print(f"{name}: {count} programs on {CONFIG.cores} cores, seed {options.seed}")
            with Pool(CONFIG, RewardsConfig()) as pool, closing(jobs):
                result = run(pool, jobs, count, console)
            _print(console, name, result)
            faults += [f"{name}: {fault}" for fault in result.faults()]
            if name == "quick" and result.verdicts != wanted(count):
                faults.append(f"quick: verdicts should be {dict(wanted(count))}")
    for fault in faults:
        console.print(f"off: {fault}")
    return 1 if faults else 0


def _print(console: Console, name: str, result: Result) -> None:
    table = Table("outcome", "programs", "share", title=name)
    total = result.verdicts.total()
    for kind, count in result.verdicts.most_common():
        table.add_row(kind, str(count), f"{count / total:.1%}")
    console.print(table)
    first, last = result.looks[0], result.looks[-1]
    console.print(
        f"{total / result.seconds:.0f} programs a second, longest wait for a verdict {result.longest:.1f} s; "
        f"judges {first.judges_mb:.1f} → {last.judges_mb:.1f} MB, zygotes {first.zygotes_mb:.1f} → {last.zygotes_mb:.1f} MB"
    )
    for who, growth in result.growth().items():
        console.print(f"memory of the {who} since program {SETTLED}: {growth:+.1%} (wanted: below {GROWTH:.0%})")


if __name__ == "__main__":
    sys.exit(main())
