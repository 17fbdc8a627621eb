"""The command line. Arguments and recipe are checked before anything heavy is imported."""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NoReturn

import click

from contracts.ablation import chosen_seeds, load_ablation
from contracts.errors import RunError, UserError
from contracts.recipe import load_recipe
from rltf.cli_eval import compare, eval_
from rltf.cli_options import COMPARE, CORES, MEMORY, OVERRIDES, PRELUDE, RECIPE, WEAK, console, cpu_seconds
from rltf.cli_problems import problems


class _Commands(click.Group):
    """Errors end a command with one line and the right exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as err:
            command = self.commands.get(ctx.invoked_subcommand or "")
            resumes = command is not None and any(option.name == "resume" for option in command.params)
            # Ray wraps what an actor raised, as an exception of both classes
            _end(getattr(err, "cause", err), "go on with --resume" if resumes else "run it again")
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
@click.option("--dry-run", is_flag=True, help="Reckon its memory, make two steps with one block of its model, and leave nothing.")
def train(recipe: Path, overrides: tuple[str, ...], resume: bool, dry_run: bool) -> None:
    """The whole loop: warm start, supervised control, online RLTF, evaluation, report.

    A recipe's values can be overridden on the command line: steps=20 learner.ranks=2.
    """
    if dry_run and resume:
        raise UserError("--dry-run makes no run that --resume could go on with", "Leave one of them out")
    if dry_run:
        _try(recipe, overrides)
    else:
        _run(recipe, overrides, resume=resume)


@main.command()
@RECIPE
@OVERRIDES
@click.option(
    "--address", envvar="RAY_API_SERVER_ADDRESS", required=True,
    help="http://HEAD:8265 of the cluster's dashboard.  [default: RAY_API_SERVER_ADDRESS]",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the run.")
@click.option(
    "--tree", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".",
    help="The folder that the job gets a copy of.  [default: this one]",
)  # fmt: skip
@click.option("--driver-cpus", type=float, default=0, help="CPUs of its driver, on any node.  [default: none, on the head node]")
@click.option("--driver-on", metavar="RESOURCE", help="Put its driver on a node that has this custom resource of Ray.")
@click.option("--no-follow", is_flag=True, help="Do not wait for its end.")
def submit(
    recipe: Path,
    overrides: tuple[str, ...],
    address: str,
    resume: bool,
    tree: Path,
    driver_cpus: float,
    driver_on: str | None,
    no_follow: bool,
) -> None:
    """Train as a job of a Ray cluster: it gets a copy of this folder, and its output is shown here.

    Exits as the job does. Ctrl-C leaves the job running.
    """
    checked = load_recipe(recipe, overrides)
    if not math.isfinite(driver_cpus) or driver_cpus < 0:
        raise UserError(f"--driver-cpus={driver_cpus:g} is no number of CPUs", "Give it one, or leave it out")
    if driver_on == "":
        raise UserError("--driver-on names no resource", "Name one, or leave it out")
    from rltf.job import check_lasting, train_command

    check_lasting(checked)
    command = train_command(tree, recipe, overrides, resume=resume)
    from rltf.submit import Job
    from rltf.submit import submit as send

    job = Job(checked, command, tree, driver_cpus, {driver_on: 0.001} if driver_on else None)
    sys.exit(send(job, address, lambda text: click.echo(text, nl=False), follow=not no_follow))


@main.command()
@RECIPE
@OVERRIDES
@click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
def warmup(recipe: Path, overrides: tuple[str, ...], resume: bool) -> None:
    """The supervised warm start alone; its model is in RUN/checkpoints/start."""
    _run(recipe, overrides, resume=resume, warmup_only=True)


@main.command()
@RECIPE
@OVERRIDES
@click.option("--arms", help="The arms to run: a,b or every.  [default: the recipe's own choice]")
@click.option("--seeds", help="The seeds to run them with, such as 0,1.  [default: the recipe's]")
@click.option("--resume", is_flag=True, help="Keep the runs that are done, go on with the others; more arms and seeds may come.")
def ablate(recipe: Path, overrides: tuple[str, ...], arms: str | None, seeds: str | None, resume: bool) -> None:
    """Compare arms over seeds: one table with confidence intervals, one page.

    RECIPE is an ablation's, such as recipes/ablation-local.yaml. Overrides are for the runs of all arms: steps=20; name and
    parallel are the ablation's own.
    """
    checked = load_ablation(recipe, overrides)
    wanted, named = checked.chosen(arms), chosen_seeds(seeds) if seeds else checked.seeds
    from rltf.ablate import Ablation
    from rltf.progress import Progress

    with Progress(console()) as progress:
        Ablation(checked, progress, arms=wanted, seeds=named, resume=resume).execute()


@main.command()
@RECIPE
@OVERRIDES
@click.option(
    "--samples", type=click.Path(path_type=Path), multiple=True, required=True,
    help="Judged programs: a file of JSON lines, or a folder that `rltf eval` wrote; more than once for more.",
)  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The critic's folder.")
@click.option("--model", help="The model that it begins with.  [default: the recipe's model.path]")
def critic(recipe: Path, overrides: tuple[str, ...], samples: tuple[Path, ...], output: Path, model: str | None) -> None:
    """Train a critic for objective.reference.critic: it tells a program's outcome. Section `critic` of the recipe says how."""
    checked = load_recipe(recipe, overrides)
    from rltf.critic import make_critic

    make_critic(checked, samples, output, model, console())


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Write a run as one HTML page, RUN/report.html, or an ablation: RUN/ablation.html."""
    from rltf.ablation_jobs import RECIPE_FILE
    from rltf.report import write_report

    if not (run / RECIPE_FILE).is_file():
        click.echo(write_report(run))
        return
    from rltf.ablation_page import refresh

    click.echo(refresh(run))


@main.command()
@click.option("--problems", type=click.Path(path_type=Path), help="A problem set in any form: docs/problems.md.")
@click.option(
    "--programs", type=click.Path(path_type=Path), required=True, help="JSON lines, gzipped or not: problem_id and code."
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Where the verdicts go, a line each.")
@COMPARE
@PRELUDE
@CORES
@cpu_seconds(2.0)
@MEMORY
@click.option("--analyse", is_flag=True, help="Also look for certain faults without running the program.")
@WEAK
def label(problems: Path | None, programs: Path, output: Path, compare: Literal["strict", "apps"], **settings: Any) -> None:
    """Run programs from a file: verdicts, located errors and rewards, one line per program. Needs no model.

    Rows that carry an entry_point and a test of their own need no --problems.
    """
    from rltf.judging import ALL_TESTS, executors_config
    from rltf.label import label_file

    config = executors_config(compare, max_tests=ALL_TESTS, **settings)
    label_file(programs, output, problems, config, console())


@main.command()
def doctor() -> None:
    """What this machine can do: executors, GPUs, Redis, disk, versions."""
    from rltf.doctor import examine

    if not examine(console()):
        sys.exit(1)


def _run(path: Path, overrides: tuple[str, ...], *, resume: bool, warmup_only: bool = False) -> None:
    recipe = load_recipe(path, overrides)
    if resume and recipe.upload and not recipe.folder.exists():
        from rltf.copies import fetch

        fetch(recipe.upload, recipe.folder)
    from rltf.runs import check_run

    check_run(recipe, resume=resume)
    from rltf.progress import Progress
    from rltf.train import Run

    with Progress(console()) as progress:
        Run(recipe, progress, resume=resume, warmup_only=warmup_only).execute()


def _try(path: Path, overrides: tuple[str, ...]) -> None:
    recipe = load_recipe(path, overrides)
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
    from rltf.dry_run import dry_run

    dry_run(recipe, console())


def _end(err: BaseException, remedy: str) -> None:
    """Exit with one line where that says it all; returns where an error needs its traceback."""
    if isinstance(err, KeyboardInterrupt):
        click.echo(f"interrupted: {remedy}", err=True)
        sys.exit(130)
    full_disk = isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT)
    if full_disk or str(err).startswith("MISCONF"):  # Redis, which cannot write its file
        where = getattr(err, "filename", None) or os.getcwd()
        err = RunError(f"the disk is full: {where}", f"Free some space and {remedy}")
    if isinstance(err, UserError):
        click.echo(f"error: {' '.join(str(err).split())}", err=True)
        sys.exit(err.exit_code)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - a signal handler's signature
    """`ray job stop` and process managers send SIGTERM, some of them twice: end as Ctrl-C does, once."""
    signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt


main.add_command(problems)
main.add_command(eval_)
main.add_command(compare)

if __name__ == "__main__":
    main()
