"""`rltf critic`: train a critic on programs that were judged, for objective.reference.critic."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import torch
from rich.console import Console
from transformers import PreTrainedTokenizerFast

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.files import write_in_one_move
from contracts.records import Outcome, Problem
from learner.advantages import Row
from learner.checkpoint import written_whole
from learner.critic import CriticReport, assess, hold_out, load_untrained, train_critic
from learner.engine import TorchEngine
from learner.frozen import CLASSES
from models.answers import AnswerForm
from models.load import load_tokenizer
from models.prompts import build_prompt, encode_program
from problems.sets import load_problem_set
from rltf.progress import Progress
from rltf.rows import reading
from rltf.runs import check_replaceable, check_space

REPORT = "critic.json"
Programs = dict[str, list[Row]]
"""Problem → its judged programs."""


class _Sample(msgspec.Struct):
    """What is made use of in a row. Raises ValueError where there is neither a text nor a code."""

    problem_id: str
    outcome: str | None
    code: str = ""
    text: str | None = None
    """All that a model wrote, where it did."""

    def __post_init__(self) -> None:
        if not self.code and self.text is None:
            raise ValueError("it has no text or code")


def make_critic(recipe: Recipe, samples: Sequence[Path], output: Path, model: str | None, console: Console) -> CriticReport:
    """Train, say how good the critic is, and write its folder.

    Raises UserError where no model is named or it cannot be a critic, where the samples cannot be read or teach nothing, and
    where `output` holds something else.
    """
    path = model or recipe.model.path
    if path is None:
        raise UserError("the critic has no model to begin with", "Name one with --model, such as RUN/checkpoints/start")
    check_replaceable(output, REPORT, "a critic", "Choose another --output")
    check_space(output)
    files = sample_files(samples)
    tokenizer = load_tokenizer(path)
    torch.manual_seed(recipe.seed)
    critic = load_untrained(path).to("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as scratch, Progress(console) as progress:
        progress.stage("problems")
        found = load_problem_set(recipe.problems, Path(scratch), recipe.seed)
        problems = {problem.id: problem for problem in (*found.train, *found.heldout)}
        programs, left_out = judged_programs(files, problems, tokenizer, recipe)
        for reason, count in sorted(left_out.items()):
            progress.note(f"{count} rows are left out: {reason}")
        train, heldout = hold_out(programs, recipe.critic.heldout, recipe.seed)
        engine = TorchEngine(critic.train(), recipe.critic.optimizer, recipe.critic.steps)
        progress.stage("critic", recipe.critic.steps)
        for step, loss in enumerate(train_critic(engine, train, recipe, tokenizer.pad_token_id), start=1):
            progress.update(step, loss=f"{loss:.3f}")
        report = assess(critic.eval(), heldout, train, tokenizer.pad_token_id, recipe.learner.micro_batch)
        with written_whole(output) as partial:
            critic.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            write_in_one_move(partial / REPORT, msgspec.json.format(msgspec.json.encode(report)))
        progress.table(*critic_table(report))
    return report


def sample_files(samples: Sequence[Path]) -> list[Path]:
    """The files themselves, and the samples.jsonl below folders. Raises UserError for a place that has none."""
    files = []
    for place in samples:
        there = sorted(place.rglob("samples.jsonl*")) if place.is_dir() else [place]
        if not there or not all(file.is_file() for file in there):
            raise UserError(f"no samples at {place}", "Name a file of JSON lines, or a folder that `rltf eval` wrote")
        files += there
    return files


def judged_programs(
    files: Sequence[Path], problems: Mapping[str, Problem], tokenizer: PreTrainedTokenizerFast, recipe: Recipe
) -> tuple[Programs, Counter[str]]:
    """The programs that can be learnt from, tokenised as corpus programs are, and why others are left out: reason → rows.

    With `critic.solutions` the solutions of the problems that have programs come on top. Raises UserError, naming file and
    line, for what is no such row.
    """
    programs: Programs = {}
    left_out: Counter[str] = Counter()
    prompts: dict[str, list[int]] = {}

    def add(key: str, text: str | None, outcome: str | None) -> None:
        if text is None:
            left_out[f"they cannot be written as prompt.answer={recipe.prompt.answer}"] += 1
        elif outcome not in set(CLASSES):
            left_out["they have no verdict"] += 1
        elif key not in problems:
            left_out["their problems are not in the recipe's problem set"] += 1
        elif (token_ids := encode_program(text, tokenizer, recipe.sampling.max_new_tokens)) is None:
            left_out[f"they are longer than sampling.max_new_tokens={recipe.sampling.max_new_tokens}"] += 1
        else:
            if key not in prompts:
                prompts[key] = build_prompt(problems[key], tokenizer, recipe.prompt).token_ids
            programs.setdefault(key, []).append(Row(prompts[key], token_ids, outcome=Outcome(outcome)))

    def written(key: str, code: str) -> str | None:
        starter = problems[key].starter_code if key in problems else ""
        return AnswerForm(recipe.prompt.answer, recipe.sampling.stop).write(code, starter)

    for row in _rows(files):
        add(row.problem_id, written(row.problem_id, row.code) if row.text is None else row.text, row.outcome)
    if recipe.critic.solutions:
        for key in list(programs):
            for code in problems[key].solutions:
                add(key, written(key, code), Outcome.PASS)
    return programs, left_out


def critic_table(report: CriticReport) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and rows of what is printed."""
    rows = [["all", str(sum(report.heldout.values())), f"{report.accuracy:.3f}"]]
    rows += [[name, str(report.heldout[name]), f"{recall:.3f}"] for name, recall in report.recall.items()]
    rows.append(["(the majority's outcome, always)", "", f"{report.majority:.3f}"])
    return "critic", ["held-out programs", "number", "told right"], rows


def _rows(files: Sequence[Path]) -> Iterator[_Sample]:
    for file in files:
        try:
            with reading(file) as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield _row(line, f"{file}, line {number}")
        except (OSError, EOFError) as err:
            raise UserError(f"{file} cannot be read: {err}", "Name a file of JSON lines, gzipped if it ends in .gz") from err


def _row(line: bytes, where: str) -> _Sample:
    try:
        return msgspec.json.decode(line, type=_Sample)
    except msgspec.DecodeError as err:
        remedy = "Name rows of problem_id, outcome and text or code, as `rltf eval` keeps them"
        raise UserError(f"{where}: {err}", remedy) from err
