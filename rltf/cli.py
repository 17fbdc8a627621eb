"""The command line. Arguments and recipe are checked before anything heavy is imported."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console

from contracts.errors import RunError, UserError
from contracts.recipe import load_recipe

RECIPE = click.argument("recipe", type=click.Path(path_type=Path))
OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")

WIDTH_ELSEWHERE = 110


class _Commands(click.Group):
    """Errors end a command with one line and the right exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as err:
            _end(getattr(err, "cause", err))  # Ray wraps what an actor raised, as an exception of both classes
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rltf")
def main() -> None:
    """Teach code models from unit tests: RLTF (arXiv 2307.04349) as a distributed actor-learner system."""
    signal.signal(signal.SIGTERM, _interrupt)


@main.command()
@RECIPE
@OVERRIDES
@click.option("--resume", is_flag=True, help="Go on with the run in the recipe's run folder from its newest checkpoint.")
def train(recipe: Path, overrides: tuple[str, ...], resume: bool) -> None:
    """The whole loop: warm start, supervised control, online RLTF, evaluation, report.

    A recipe's values can be overridden on the command line: steps=20 learner.ranks=2.
    """
    _run(recipe, overrides, resume=resume)


@main.command()
@RECIPE
@OVERRIDES
@click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
def warmup(recipe: Path, overrides: tuple[str, ...], resume: bool) -> None:
    """The supervised warm start alone; its model is in RUN/checkpoints/start."""
    _run(recipe, overrides, resume=resume, warmup_only=True)


@main.command(name="eval")
@RECIPE
@OVERRIDES
@click.option("--model", required=True, help="A Hugging Face model folder or hub name, such as RUN/checkpoints/final.")
def eval_(recipe: Path, overrides: tuple[str, ...], model: str) -> None:
    """pass@k of a model on the recipe's held-out problems."""
    checked = load_recipe(recipe, overrides)
    from rltf.standalone import evaluate_model

    evaluate_model(checked, model, _console())


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Write a run as one HTML page: RUN/report.html."""
    from rltf.report import write_report

    click.echo(write_report(run))


@main.command()
def doctor() -> None:
    """What this machine can do: executors, GPUs, Redis, disk, versions."""
    from rltf.doctor import examine

    if not examine(_console()):
        sys.exit(1)


def _run(path: Path, overrides: tuple[str, ...], *, resume: bool, warmup_only: bool = False) -> None:
    recipe = load_recipe(path, overrides)
    from rltf.runs import check_run

    check_run(recipe, resume=resume)
    from rltf.progress import Progress
    from rltf.train import Run

    with Progress(_console()) as progress:
        Run(recipe, progress, resume=resume, warmup_only=warmup_only).execute()


def _console() -> Console:
    """The terminal as wide as it is; a file or a pipe wide enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_ELSEWHERE)


def _end(err: BaseException) -> None:
    """Exit with one line where that says it all; returns where an error needs its traceback."""
    if isinstance(err, KeyboardInterrupt):
        click.echo("interrupted: go on with --resume", err=True)
        sys.exit(130)
    full_disk = isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT)
    if full_disk or str(err).startswith("MISCONF"):  # Redis, which cannot write its file
        where = getattr(err, "filename", None) or os.getcwd()
        err = RunError(f"the disk is full: {where}", "Free some space and go on with --resume")
    if isinstance(err, UserError):
        click.echo(f"error: {' '.join(str(err).split())}", err=True)
        sys.exit(err.exit_code)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - a signal handler's signature
    """`ray job stop` and process managers send SIGTERM: end as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
