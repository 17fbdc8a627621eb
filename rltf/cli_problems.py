"""The commands of `rltf problems`. Arguments are checked before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from rltf.cli_options import COMPARE, CORES, MEMORY, PRELUDE, WEAK, console, cpu_seconds


@click.group()
def problems() -> None:
    """Look after problem sets."""


@problems.command()
@click.argument("path", metavar="PROBLEMS", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Where the findings go, as JSON for problems.checked.")
@COMPARE
@PRELUDE
@CORES
@cpu_seconds(10.0)
@MEMORY
@WEAK
def check(path: Path, output: Path | None, compare: Literal["strict", "apps"], **settings: Any) -> None:
    """Run the reference solutions of PROBLEMS, an APPS folder, an MBPP or a HumanEval file, and say what must be dropped."""
    from rltf.check import check_problems
    from rltf.judging import ALL_TESTS, executors_config

    check_problems(path, output, executors_config(compare, max_tests=ALL_TESTS, **settings), console())
