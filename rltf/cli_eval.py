"""`rltf eval` and `rltf compare`. Arguments are checked before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from contracts.errors import UserError
from contracts.recipe import load_recipe
from rltf.cli_options import COMPARE, CORES, MEMORY, OVERRIDES, PRELUDE, WEAK, console, cpu_seconds

_OF_A_MODEL = ("recipe", "model", "on")
_OF_PROGRAMS = ("problems", "programs", "k", "compare", "prelude", "cores", "cpu_seconds", "memory_mb", "allow_weak_isolation")
_FORMS = "Write `rltf eval RECIPE --model FOLDER`, or `rltf eval --problems P --programs F --output D`"


@click.command(name="eval")
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@OVERRIDES
@click.option("--model", help="A Hugging Face model folder or hub name, such as RUN/checkpoints/final.")
@click.option(
    "--on", type=click.Choice(["heldout", "train"]), default="heldout", show_default=True, help="Which of the recipe's problems."
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted evaluation.")
@click.option("--problems", type=click.Path(path_type=Path), help="A problem set in any form: docs/problems.md.")
@click.option("--programs", type=click.Path(path_type=Path), help="JSON lines, gzipped or not: problem_id and code.")
@click.option("--k", default="1", show_default=True, help="pass@k to report for --programs, such as 1,5.")
@COMPARE
@PRELUDE
@CORES
@cpu_seconds(2.0)
@MEMORY
@WEAK
@click.option(
    "--output", type=click.Path(path_type=Path), help="The evaluation's folder.  [default: runs/NAME-eval for a RECIPE]"
)
@click.pass_context
def eval_(
    context: click.Context,
    /,
    recipe: Path | None,
    overrides: tuple[str, ...],
    model: str | None,
    on: Literal["heldout", "train"],
    resume: bool,
    problems: Path | None,
    programs: Path | None,
    k: str,
    compare: Literal["strict", "apps"],
    output: Path | None,
    **settings: Any,
) -> None:
    """pass@k by difficulty, with confidence intervals and all samples: of a model, or of programs from a file.

    RECIPE with --model samples programs for the recipe's held-out problems; --problems with --programs needs no model.
    """
    _one_form(context)
    if recipe is not None and model is not None:
        checked = load_recipe(recipe, overrides)
        checked = checked.model_copy(update={"model": checked.model.model_copy(update={"path": model})})
        folder = (output or checked.output / f"{checked.name}-eval").absolute()
        from rltf.recording import check_folder
        from rltf.runs import sources_of

        check_folder(folder, checked, sources_of(checked), resume=resume)
        from rltf.standalone import evaluate_model

        evaluate_model(checked, model, on, folder, console(), resume=resume)
    elif problems is not None and programs is not None and output is not None:
        ks = _ks(k)
        from rltf.eval_programs import evaluate_programs
        from rltf.judging import ALL_TESTS, executors_config

        config = executors_config(compare, max_tests=ALL_TESTS, **settings)
        evaluate_programs(problems, programs, output, ks, config, console(), resume=resume)
    else:
        raise UserError("a part of the command is missing", _FORMS)


@click.command()
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
def compare(first: Path, second: Path) -> None:
    """Two evaluations of the same problems, paired: what B does better or worse than A, and what cannot be told apart.

    A and B are folders that `rltf eval` made, RUN/evaluations/STAGE, or runs, whose final evaluations are compared.
    """
    from rltf.compare import compare_evaluations

    compare_evaluations(first, second, console())


def _one_form(context: click.Context) -> None:
    """Raises UserError where arguments of both forms are given."""
    given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    of_model, of_programs = ([name for name in names if name in given] for names in (_OF_A_MODEL, _OF_PROGRAMS))
    if of_model and of_programs:
        both = f"{_option(of_model[0])} is about a model, {_option(of_programs[0])} about programs from a file"
        told = "; a recipe has keys for how it judges: eval.k=[1,5], executors.compare=apps …"
        raise UserError(both, _FORMS + (told if "programs" not in given else ""))


def _option(name: str) -> str:
    return "RECIPE" if name == "recipe" else f"--{name.replace('_', '-')}"


def _ks(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UserError(f"--k {text} is no list of whole numbers above 0", "Write --k 1,5")
    return tuple(sorted({int(part) for part in parts}))
