"""Are grown tests right, and what do they find? `make bench-grow`, or `python -m benchmarks.grow [--only primer|apps|programs]`.

    right     solutions that were not asked, on the tests that others' answers made: half of each problem's passing solutions,
              drawn by a seed, are the references, the other half are judged. At least 99.5 % must pass all grown tests
    strong    programs that pass a problem's visible tests and fail the grown ones: single-point mutations of solutions, and
              programs of models with published outcomes

Primer problems have one solution each: its second reference is the same program with other names. APPS and published programs are
read from the folder that RLTF_DATA names. Every solution that fails is printed. Exit code: 1 where too few pass.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.mutations import drop_line, drop_token, swap_name, swap_operator, swap_statements
from benchmarks.parity import cases, data_folder
from contracts.errors import UserError
from contracts.records import Outcome, Problem, Verdict
from contracts.sections import ExecutorsConfig, PrimerConfig, RewardsConfig
from executors.pool import Job, Pool
from problems.grow import distinct
from problems.primer import generate
from problems.primer.bugs import off_by_one
from problems.read import read_problems
from rltf.grow import grow_all
from rltf.growing import GrowSettings
from rltf.judging import ALL_TESTS, executors_config

PRIMER = 100
"""Problems."""
MUTANTS = 10
"""Per problem."""
MUTANT_SECONDS = 0.5
"""Of CPU time a test: many of them never end."""
ASKED = 0.995


class Set(NamedTuple):
    """Grown problems and the programs that are judged by them."""

    name: str
    problems: list[Problem]
    """With the references' tests; only those that grew."""
    programs: list[list[str]]
    """Per problem."""
    total: int
    """Problems before."""


class Counted(NamedTuple):
    """Programs that pass a problem's visible tests, and those of them that fail the grown ones."""

    visible: int
    failing: list[tuple[str, Verdict]]
    """With their problems' ids."""
    tests: int
    """Verdicts of single grown tests."""
    failed_tests: int


def grown(
    name: str, problems: Sequence[Problem], programs: Sequence[list[str]], config: ExecutorsConfig, settings: GrowSettings
) -> Set:
    """The problems that grow, by the solutions that they have, with nothing but grown tests hidden."""
    bare = [msgspec.structs.replace(problem, hidden_tests=()) for problem in problems]
    found = [
        (made, chosen) for (made, report), chosen in zip(grow_all(bare, config, settings), programs, strict=True) if report.grown
    ]
    return Set(name, [made for made, _ in found], [chosen for _, chosen in found], len(problems))


def counted(made: Set, config: ExecutorsConfig) -> Counted:
    """Judge the programs by visible tests, and those that pass by the grown ones."""
    jobs = [Job(problem, text) for problem, texts in zip(made.problems, made.programs, strict=True) for text in texts]
    with Pool(config, RewardsConfig()) as pool:
        verdicts = list(pool.judge_all(jobs))
        passing = [job for job, verdict in zip(jobs, verdicts, strict=True) if verdict.outcome is Outcome.PASS]
        hidden = list(pool.judge_all(Job(job.problem, job.text, hidden=True) for job in passing))
    failing = [
        (job.problem.id, verdict) for job, verdict in zip(passing, hidden, strict=True) if verdict.outcome is not Outcome.PASS
    ]
    return Counted(len(passing), failing, sum(one.total for one in hidden), sum(one.total - one.passed for one in hidden))


def halves(problems: Iterable[Problem], config: ExecutorsConfig, seed: int) -> Iterator[tuple[Problem, list[str]]]:
    """Each problem with half of its passing solutions, and the other half; at least two remain for the answers."""
    with Pool(config, RewardsConfig()) as pool:
        for problem in problems:
            texts = distinct(problem.solutions)
            verdicts = pool.judge_all(Job(problem, text) for text in texts)
            passing = [text for text, verdict in zip(texts, verdicts, strict=True) if verdict.outcome is Outcome.PASS]
            Random(f"{seed} {problem.id}").shuffle(passing)
            cut = max(2, len(passing) // 2)
            yield msgspec.structs.replace(problem, solutions=tuple(passing[:cut])), passing[cut:]


def mutants(problem: Problem, seed: int) -> list[str]:
    """Other programs than the solutions, each made from one of them by one change."""
    rng = Random(f"{seed} {problem.id} mutants")
    rules = (drop_line, drop_token, swap_name, swap_operator, swap_statements, _off_by_one, _off_by_one)
    made = [rng.choice(rules)(rng.choice(problem.solutions), rng.choice(problem.solutions), rng) for _ in range(2 * MUTANTS)]
    return distinct([*problem.solutions, *made])[len(problem.solutions) :][:MUTANTS]


def renamed(program: str) -> str:
    """The same program with other names for its variables."""
    tree = ast.parse(program)
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in bound - set(dir(builtins)):
            node.id = f"{node.id}_"
        elif isinstance(node, ast.arg):
            node.arg = f"{node.arg}_"
    return ast.unparse(tree)


def primer_set(config: ExecutorsConfig, settings: GrowSettings) -> tuple[Set, Set]:
    """Solutions, and mutants."""
    problems = generate(PrimerConfig(train=PRIMER, heldout=1), settings.seed).train
    problems = [
        msgspec.structs.replace(problem, solutions=(*problem.solutions, renamed(problem.solutions[0]))) for problem in problems
    ]
    made = grown("primer", problems, [list(problem.solutions) for problem in problems], config, settings)
    return made, made._replace(name="primer mutants", programs=[mutants(problem, settings.seed) for problem in made.problems])


def apps_sets(config: ExecutorsConfig, settings: GrowSettings) -> tuple[Set, Set]:
    """Solutions that were not asked, and mutants of the references."""
    split = list(halves(read_problems(data_folder() / "apps/train")[0], config, settings.seed))
    made = grown("APPS", [problem for problem, _ in split], [rest for _, rest in split], config, settings)
    return made, made._replace(name="APPS mutants", programs=[mutants(problem, settings.seed) for problem in made.problems])


def published_sets(config: ExecutorsConfig, settings: GrowSettings) -> Iterator[Set]:
    """Programs of models that passed as published: by tests that rest on the data set's one solution; and those of one model
    by tests that another model's program has confirmed.
    """
    every = cases(data_folder())
    trusting = msgspec.structs.replace(settings, trust_one=True)
    for name, place in (("MBPP", "mbpp/mbpp.jsonl"), ("HumanEval", "humaneval/HumanEval.jsonl.gz"), ("APPS", "apps/train")):
        programs: dict[str, list[str]] = {}
        for case in every:
            if case.set in (f"{name} programs", f"{name} outcomes") and case.published == "pass":
                programs.setdefault(case.name.split()[0], []).append(case.code)
        problems = [problem for problem in read_problems(data_folder() / place)[0] if problem.id in programs]
        yield grown(f"{name} published", problems, [programs[problem.id] for problem in problems], config, trusting)
        twice = [problem for problem in problems if len(programs[problem.id]) == 2]
        if twice:
            confirmed = [
                msgspec.structs.replace(problem, solutions=(*problem.solutions, programs[problem.id][0])) for problem in twice
            ]
            yield grown(f"{name} confirmed", confirmed, [programs[problem.id][1:] for problem in twice], config, settings)


def _off_by_one(program: str, _: str, rng: Random) -> str:
    """A number becomes the one above or below."""
    numbers = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant) and type(node.value) is int]
    if not numbers:
        return program
    chosen = rng.choice(numbers)
    lines = program.split("\n")
    line = lines[chosen.lineno - 1].encode()
    new = off_by_one(rng, str(chosen.value)).encode()
    lines[chosen.lineno - 1] = (line[: chosen.col_offset] + new + line[chosen.end_col_offset :]).decode()
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("primer", "apps", "programs"), action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", choices=("strict", "apps"), default="strict")
    options = parser.parse_args(arguments)
    parts = options.only or (["primer", "apps", "programs"] if "RLTF_DATA" in os.environ else ["primer"])
    config = executors_config(options.compare, prelude="apps", cpu_seconds=2.0, max_tests=ALL_TESTS, cached_verdicts=0)
    settings = GrowSettings(seed=options.seed)
    try:
        sets = [
            *(primer_set(config, settings) if "primer" in parts else ()),
            *(apps_sets(config, settings) if "apps" in parts else ()),
        ]
        sets += list(published_sets(config, settings)) if "programs" in parts else []
    except UserError as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    return _print(sets, config)


def _print(sets: Sequence[Set], config: ExecutorsConfig) -> int:
    console, enough = Console(width=150), True
    table = Table("programs", "problems", "grown", "tests", "pass visible", "fail grown", "share", "single tests failed")
    for made in sets:
        shorter = config.model_copy(update={"cpu_seconds": MUTANT_SECONDS})
        found = counted(made, shorter if "mutants" in made.name else config)
        share = len(found.failing) / (found.visible or 1)
        tests = sum(len(problem.hidden_tests) for problem in made.problems)
        sizes = [made.total, len(made.problems), tests, found.visible, len(found.failing)]
        single = f"{found.failed_tests} of {found.tests}"
        table.add_row(made.name, *map(str, sizes), f"{share:.2%}", single)
        if made.name in ("primer", "APPS"):
            enough = enough and share <= 1 - ASKED
            for id_, verdict in found.failing:
                console.print(f"{made.name} {id_}: {verdict.outcome}, {verdict.passed} of {verdict.total} {verdict.message}")
    console.print(table)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
