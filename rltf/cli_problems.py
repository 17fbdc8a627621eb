"""The commands of `rltf problems`. Arguments are checked before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from rltf.cli_options import COMPARE, CORES, MEMORY, PRELUDE, WEAK, console, cpu_seconds

PROBLEMS = click.argument("path", metavar="PROBLEMS", type=click.Path(path_type=Path))


@click.group()
def problems() -> None:
    """Look after problem sets: APPS folders, APPS, MBPP and HumanEval files, JSON lines, hub:OWNER/NAME/FILE."""


@problems.command()
@PROBLEMS
@click.argument("id_", metavar="[ID]", required=False)
def show(path: Path, id_: str | None) -> None:
    """Say what PROBLEMS holds, or show the problem of that ID."""
    from rltf.show import show_problems

    show_problems(path, id_, console())


@problems.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
def convert(source: Path, destination: Path) -> None:
    """Write the problems of SOURCE to DESTINATION: JSON lines where it ends in .jsonl or .jsonl.gz, else an APPS folder."""
    from rltf.convert import convert_problems

    convert_problems(source, destination, console())


@problems.command()
@PROBLEMS
@click.option("--output", type=click.Path(path_type=Path), help="Where the findings go, as JSON for problems.checked.")
@COMPARE
@PRELUDE
@CORES
@cpu_seconds(10.0)
@MEMORY
@WEAK
def check(path: Path, output: Path | None, compare: Literal["strict", "apps"], **settings: Any) -> None:
    """Run the reference solutions of PROBLEMS and say what must be dropped."""
    from rltf.check import check_problems
    from rltf.judging import ALL_TESTS, executors_config

    check_problems(path, output, executors_config(compare, max_tests=ALL_TESTS, **settings), console())


@problems.command()
@PROBLEMS
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--per-problem", type=click.IntRange(1, 1000), default=20, show_default=True, help="Tests that a problem gets at most."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Other inputs for another seed.")
@click.option("--visible", is_flag=True, help="Put the tests among those that training sees, not among the hidden ones.")
@click.option(
    "--references", type=click.IntRange(1), default=5, show_default=True, help="Solutions asked for an answer, at most."
)
@click.option("--trust-one", is_flag=True, help="Grow problems with a single passing solution too; nothing confirms its answers.")
@COMPARE
@PRELUDE
@CORES
@cpu_seconds(2.0)
@MEMORY
@WEAK
def grow(
    path: Path,
    output: Path,
    per_problem: int,
    seed: int,
    visible: bool,
    references: int,
    trust_one: bool,
    compare: Literal["strict", "apps"],
    **settings: Any,
) -> None:
    """Write PROBLEMS with more tests to OUTPUT: inputs like theirs, with answers that independent solutions agree on.

    OUTPUT is JSON lines where it ends in .jsonl or .jsonl.gz, else an APPS folder; the account goes to OUTPUT.grow.json.
    """
    from rltf.grow import grow_problems
    from rltf.growing import GrowSettings
    from rltf.judging import ALL_TESTS, executors_config

    asked = GrowSettings(per_problem=per_problem, seed=seed, visible=visible, references=references, trust_one=trust_one)
    grow_problems(path, output, executors_config(compare, max_tests=ALL_TESTS, **settings), asked, console())
