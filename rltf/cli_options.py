"""What several commands share: arguments, options, the console."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

Command = TypeVar("Command", bound=Callable[..., Any])

RECIPE = click.argument("recipe", type=click.Path(path_type=Path))
OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")
COMPARE = click.option(
    "--compare",
    type=click.Choice(["strict", "apps"]),
    default="strict",
    show_default=True,
    help="How answers are compared; apps: as the APPS harness does, with the names that it imports for programs.",
)
PRELUDE = click.option(
    "--prelude",
    type=click.Choice(["none", "apps"]),
    help="Names that programs need not import; apps: the APPS harness's.  [default: apps with --compare apps, else none]",
)
# Ranges are executors_config's business, for Python callers too.
CORES = click.option("--cores", type=int, help="Programs that run at a time.  [default: all cores]")
MEMORY = click.option("--memory-mb", type=int, default=512, show_default=True, help="Resident memory of a program; 64 or more.")
WEAK = click.option("--allow-weak-isolation", is_flag=True, help="Run programs although this machine cannot isolate them.")

WIDTH_ELSEWHERE = 110


def cpu_seconds(default: float) -> Callable[[Command], Command]:
    return click.option("--cpu-seconds", type=float, default=default, show_default=True, help="CPU time of a test.")


def console() -> Console:
    """The terminal as wide as it is; a file or a pipe wide enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_ELSEWHERE)
