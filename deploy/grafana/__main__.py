"""`python -m deploy.grafana` writes the boards' JSON; with `--check` it says which files are not what the code makes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from contracts.files import write_in_one_move
from deploy.grafana.executors import executors
from deploy.grafana.learning import learning
from deploy.grafana.pipeline import pipeline

FOLDER = Path(__file__).with_name("dashboards")
BOARDS: Mapping[str, Callable[[], str]] = {"learning": learning, "pipeline": pipeline, "executors": executors}


def stale(folder: Path = FOLDER) -> list[Path]:
    """Files that are missing or differ from what the code makes."""
    files = {folder / f"{name}.json": make().encode() for name, make in BOARDS.items()}
    return [path for path, content in files.items() if not path.exists() or path.read_bytes() != content]


def write(folder: Path = FOLDER) -> None:
    """Write all boards."""
    for name, make in BOARDS.items():
        write_in_one_move(folder / f"{name}.json", make().encode())


def main() -> int:
    """The command line; 1 where `--check` finds a file that is not up to date."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        write()
        return 0
    for path in stale():
        print(f"error: {path} is not what the code makes. Run `make boards`", file=sys.stderr)
    return 1 if stale() else 0


if __name__ == "__main__":
    sys.exit(main())
