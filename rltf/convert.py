"""`rltf problems convert`: a problem set in another form."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from problems.read import read_problems
from problems.write import write_problems


def convert_problems(source: Path, destination: Path, console: Console) -> None:
    """Write the problems that have tests to JSON lines or to an APPS folder, as the destination's name asks.

    Raises UserError for a bad problem set, where the destination is taken, and where its form cannot hold the problems.
    """
    problems, without_tests = read_problems(source)
    write_problems(destination, problems)
    left_out = f"; {without_tests} without tests left out" if without_tests else ""
    console.print(Text(f"problems written to {destination}: {len(problems)}{left_out}"), soft_wrap=True)
