"""How often static analysis finds a fault in published programs, at what cost: `python -m benchmarks.static`.

RLTF_DATA names the folder of the benchmark data: programs of models and reference solutions. Each finding in a program that
passes is printed with its line: a certain fault may be there all the same, where no test comes to it. Verdicts are
compared with those without analysis. The cost is the CPU time of the children that analyse, one program after the other.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing

from rich.console import Console
from rich.table import Table

from benchmarks.parity import CPU_SECONDS, Case, cases, data_folder
from contracts.errors import UserError
from contracts.records import Outcome, Verdict
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors import tiers
from executors.analyser import Analyser
from executors.confine import Limits
from executors.pool import Job, Pool
from rltf.judging import ALL_TESTS, executors_config


def judge(all_cases: Sequence[Case], analyse: bool) -> list[Verdict]:
    """Verdicts in `apps` mode by all tests."""
    config = executors_config("apps", cpu_seconds=CPU_SECONDS, max_tests=ALL_TESTS, cached_verdicts=0, analyse=analyse)
    with Pool(config, RewardsConfig()) as pool:
        return list(pool.judge_all(Job(case.problem, case.code) for case in all_cases))


def cost(all_cases: Sequence[Case]) -> float:
    """Mean CPU seconds of an analysis, all that its child does included."""
    with closing(Analyser(ExecutorsConfig(), tiers.best(), Limits(8 << 30))) as analyser:
        for case in all_cases:
            analyser.findings(case.code, "apps")
        return analyser.seconds / len(all_cases)


def shares(all_cases: Sequence[Case], verdicts: Sequence[Verdict]) -> Table:
    """Programs with findings, by set and outcome."""
    table = Table("programs", "outcome", "programs", "with findings", "share", "findings")
    for name in dict.fromkeys(case.set for case in all_cases):
        for outcome in Outcome:
            chosen = [one for case, one in zip(all_cases, verdicts, strict=True) if case.set == name and one.outcome is outcome]
            found = [one for one in chosen if one.findings]
            codes = Counter(finding.code for one in found for finding in one.findings)
            listed = ", ".join(f"{code} {count}" for code, count in codes.most_common())
            if chosen:
                table.add_row(name, outcome, str(len(chosen)), str(len(found)), f"{len(found) / len(chosen):.1%}", listed)
    return table


def suspects(all_cases: Sequence[Case], verdicts: Sequence[Verdict]) -> Table:
    """Findings in programs that pass."""
    table = Table("program", "finding", "line", title="in programs that pass")
    for case, verdict in zip(all_cases, verdicts, strict=True):
        for finding in verdict.findings if verdict.outcome is Outcome.PASS else ():
            text = case.code[finding.span.start_char : finding.span.end_char]
            table.add_row(case.name, f"{finding.code}: {finding.message}", f"{finding.span.start_line}: {text[:60]}")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge with and without analysis and print; returns the exit code: 1 where a verdict differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="sets whose names begin so, for example 'MBPP'", default="")
    options = parser.parse_args(arguments)
    try:
        chosen = [case for case in cases(data_folder()) if case.set.startswith(options.only)]
    except UserError as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    plain, analysed = judge(chosen, False), judge(chosen, True)
    differing = [case.name for case, one, other in zip(chosen, plain, analysed, strict=True) if one.outcome is not other.outcome]
    console = Console(width=160)
    console.print(shares(chosen, analysed))
    console.print(suspects(chosen, analysed))
    console.print(f"{cost(chosen) * 1000:.1f} ms of CPU time a program")
    console.print(f"verdicts that differ: {', '.join(differing) or 'none'}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
