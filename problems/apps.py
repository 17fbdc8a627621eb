"""The APPS folder layout: one folder per problem, its name the problem's id.

    question.txt               the statement
    input_output.json          {"inputs": [...], "outputs": [...], "fn_name"?: "..."}: the visible tests
    input_output_hidden.json   the same for the hidden tests; ours, optional
    solutions.json             [program, ...], optional
    corpus.json                [program, ...] for supervised steps; ours, only where they differ from the solutions
    metadata.json              {"difficulty": "...", "url": "..."}, optional; "split" and "reference_seconds" are ours
    starter_code.py            optional

Layout: Hendrycks et al. 2021, arXiv 2105.09938. The published set's two folders, train and test, are its splits.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from contracts.errors import UserError
from contracts.records import Problem, Test, TestKind
from problems.checked import Seconds
from problems.digits import any_digits
from problems.io_tests import function_name, input_output, io_tests

_QUESTION = "question.txt"
_TESTS = "input_output.json"
_HIDDEN = "input_output_hidden.json"
_SOLUTIONS = "solutions.json"
_CORPUS = "corpus.json"
_METADATA = "metadata.json"
_STARTER = "starter_code.py"
_SPLITS = ("train", "test")
_LONGEST_NAME = 255
"""Bytes, on the file systems that there are."""


class _Metadata(msgspec.Struct, omit_defaults=True):
    """metadata.json."""

    difficulty: str = "unknown"
    url: str = ""
    split: str | None = None
    reference_seconds: Seconds | None = None


def read_folder(path: Path) -> tuple[list[Problem], int]:
    """The problems of a folder, sorted by id, and how many were dropped because they have no tests.

    Raises UserError for a folder without problems, for one whose problems all lack tests, and for a malformed file.
    """
    remedy = "Name the folder that holds one folder per problem, each with question.txt and input_output.json"
    if not path.is_dir():
        raise UserError(f"no folder at {path}", remedy)
    folders = [at for at in sorted(path.iterdir()) if (at / _QUESTION).is_file() or (at / _TESTS).is_file()]
    if not folders:
        raise UserError(f"{path} holds no problems", remedy)
    split = split_of(path.absolute().name)
    problems = [problem for problem in (_read_problem(folder, split) for folder in folders) if problem.tests]
    if not problems:
        raise UserError(f"none of the {len(folders)} problems in {path} has tests", "Add inputs and outputs to input_output.json")
    return problems, len(folders) - len(problems)


def check_folder(path: Path, problems: Sequence[Problem]) -> None:
    """Raise UserError where the path is taken, for ids that are not distinct folder names, for text that is not Unicode, and
    for assert problems.
    """
    if asserting := [problem.id for problem in problems if problem.kind is TestKind.ASSERT]:
        raise UserError(
            f"{asserting[0]} has assertions for tests, which an APPS folder cannot hold", "Write to a file that ends in .jsonl"
        )
    uses = Counter(problem.id for problem in problems)
    bad = [id_ for id_, count in uses.items() if count > 1 or not _is_folder_name(id_)]
    if bad:
        raise UserError(f"{bad[0]!r:.80} cannot name a folder of its own", "Give each problem a distinct, plain id")
    if path.exists():
        raise UserError(f"{path} exists already", "Remove it or write elsewhere")
    for problem in problems:
        try:
            (problem.question + problem.starter_code).encode()
        except UnicodeEncodeError as err:
            remedy = "Mend it or write to a file that ends in .jsonl"
            raise UserError(f"the text of {problem.id} cannot be written as UTF-8: {err}", remedy) from err


def write_folder(path: Path, problems: Sequence[Problem]) -> None:
    """Write a set in one move: the folder is there complete or not at all. Raises as `check_folder` does."""
    check_folder(path, problems)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as partial:
        whole = Path(partial) / "set"
        whole.mkdir()
        for problem in problems:
            _write_problem(whole / problem.id, problem)
        whole.rename(path)


def split_of(name: str) -> str:
    """The split that a folder's or a file's name, without its endings, tells: train or test."""
    return name if name in _SPLITS else ""


def _is_folder_name(id_: str) -> bool:
    try:
        length = len(id_.encode())
    except UnicodeEncodeError:
        return False
    return 0 < length <= _LONGEST_NAME and not id_.startswith(".") and "/" not in id_ and "\0" not in id_


def _read_problem(folder: Path, split: str) -> Problem:
    """`split` is for a problem that does not name its own."""
    visible = _read_object(folder / _TESTS)
    try:
        fn_name = function_name(visible)
    except ValueError as err:
        _malformed(folder / _TESTS, f"is malformed: {err}")
    metadata = _read_metadata(folder / _METADATA)
    solutions = _read_programs(folder / _SOLUTIONS, ())
    return Problem(
        id=folder.name,
        question=_read_text(folder / _QUESTION, None),
        starter_code=_read_text(folder / _STARTER, ""),
        fn_name=fn_name,
        tests=_tests(folder / _TESTS, visible, fn_name),
        hidden_tests=_tests(folder / _HIDDEN, _read_object(folder / _HIDDEN), fn_name),
        solutions=solutions,
        corpus=_read_programs(folder / _CORPUS, solutions),
        difficulty=metadata.difficulty,
        split=split if metadata.split is None else metadata.split,
        source=metadata.url,
        reference_seconds=metadata.reference_seconds,
    )


def _tests(file: Path, data: dict[str, Any], fn_name: str | None) -> tuple[Test, ...]:
    try:
        return io_tests(data, fn_name)
    except ValueError as err:
        _malformed(file, f"is malformed: {err}")


def _read_metadata(file: Path) -> _Metadata:
    try:
        return msgspec.convert(_read_object(file), _Metadata)
    except msgspec.ValidationError as err:
        _malformed(file, f"is malformed: {err}")


def _read_programs(file: Path, default: tuple[str, ...]) -> tuple[str, ...]:
    data = _read_json(file, None)
    if data is None:
        return default
    if not isinstance(data, list) or not all(isinstance(program, str) for program in data):
        _malformed(file, "is not a list of programs")
    return tuple(data)


def _read_text(file: Path, default: str | None) -> str:
    """Exact text, line ends and all. A default of None: the file must be there."""
    if not file.is_file():
        if default is None:
            _malformed(file, "is missing")
        return default
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        _malformed(file, "is not UTF-8", "Save it as UTF-8")


def _read_object(file: Path) -> dict[str, Any]:
    data = _read_json(file, {})
    if not isinstance(data, dict):
        _malformed(file, "is not an object")
    return data


@any_digits()
def _read_json(file: Path, default: Any) -> Any:
    text = _read_text(file, "")
    if not text.strip():
        return default
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        _malformed(file, f"is not JSON: {err}")


def _malformed(file: Path, what: str, remedy: str = "Mend it or remove that problem's folder") -> NoReturn:
    raise UserError(f"{file} {what}", remedy)


def _write_problem(folder: Path, problem: Problem) -> None:
    folder.mkdir()
    _write_text(folder / _QUESTION, problem.question)
    _write_json(folder / _TESTS, input_output(problem.tests, problem.fn_name))
    if problem.hidden_tests:
        _write_json(folder / _HIDDEN, input_output(problem.hidden_tests, problem.fn_name))
    _write_json(folder / _SOLUTIONS, problem.solutions)
    if problem.corpus != problem.solutions:
        _write_json(folder / _CORPUS, problem.corpus)
    metadata = _Metadata(problem.difficulty, problem.source, problem.split, problem.reference_seconds)
    _write_json(folder / _METADATA, msgspec.to_builtins(metadata))
    if problem.starter_code:
        _write_text(folder / _STARTER, problem.starter_code)


def _write_text(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8"))


@any_digits()
def _write_json(file: Path, value: Any) -> None:
    _write_text(file, json.dumps(value))
