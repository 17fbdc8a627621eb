"""The APPS folder layout: one folder per problem, its name the problem's id.

    question.txt               the statement
    input_output.json          {"inputs": [...], "outputs": [...], "fn_name"?: "..."}: the visible tests
    input_output_hidden.json   the same for the hidden tests; ours, optional
    solutions.json             [program, ...], optional
    corpus.json                [program, ...] for supervised steps; ours, only where they differ from the solutions
    metadata.json              {"difficulty": "...", "url": "..."}, optional
    starter_code.py            optional

Layout: Hendrycks et al. 2021, arXiv 2105.09938. Call-based outputs are kept as they are: some sets wrap them in a list,
which is the comparison's business.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from contracts.errors import UserError
from contracts.records import Problem, Test

_QUESTION = "question.txt"
_TESTS = "input_output.json"
_HIDDEN = "input_output_hidden.json"
_SOLUTIONS = "solutions.json"
_CORPUS = "corpus.json"
_METADATA = "metadata.json"
_STARTER = "starter_code.py"
_NUMBER = re.compile(r"0|-?[1-9][0-9]*")


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
    problems = [problem for problem in map(_read_problem, folders) if problem.tests]
    if not problems:
        raise UserError(f"none of the {len(folders)} problems in {path} has tests", "Add inputs and outputs to input_output.json")
    return problems, len(folders) - len(problems)


def write_folder(path: Path, problems: Sequence[Problem]) -> None:
    """Write a set in one move: the folder is there complete or not at all.

    Raises UserError where the path is taken, and for ids that are not distinct folder names.
    """
    uses = Counter(problem.id for problem in problems)
    bad = [id_ for id_, count in uses.items() if count > 1 or not _is_folder_name(id_)]
    if bad:
        raise UserError(f"{bad[0]!r} cannot name a folder of its own", "Give each problem a distinct, plain id")
    if path.exists():
        raise UserError(f"{path} exists already", "Remove it or write elsewhere")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as partial:
        whole = Path(partial) / "set"
        whole.mkdir()
        for problem in problems:
            _write_problem(whole / problem.id, problem)
        whole.rename(path)


def _is_folder_name(id_: str) -> bool:
    return bool(id_) and not id_.startswith(".") and "/" not in id_ and "\0" not in id_


def _read_problem(folder: Path) -> Problem:
    visible = _read_object(folder / _TESTS)
    fn_name = visible.get("fn_name")
    if fn_name is not None and not isinstance(fn_name, str):
        _malformed(folder / _TESTS, "has a fn_name that is not text")
    metadata = {"difficulty": "unknown", "url": ""} | _read_object(folder / _METADATA)
    for key in ("difficulty", "url"):
        if not isinstance(metadata[key], str):
            _malformed(folder / _METADATA, f"has a {key} that is not text")
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
        difficulty=metadata["difficulty"],
        source=metadata["url"],
    )


def _tests(file: Path, data: dict[str, Any], fn_name: str | None) -> tuple[Test, ...]:
    inputs, outputs = data.get("inputs", []), data.get("outputs", [])
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        _malformed(file, "needs inputs and outputs, two lists of one length")
    if fn_name is None:
        return tuple(Test(_text(file, given), _text(file, wanted)) for given, wanted in zip(inputs, outputs, strict=True))
    if not all(isinstance(arguments, list) for arguments in inputs):
        _malformed(file, "is call-based: each of its inputs must be a list of arguments")
    pairs = zip(inputs, outputs, strict=True)
    return tuple(Test([*map(_int_keys, given[:1]), *given[1:]], _int_keys_within(wanted)) for given, wanted in pairs)


def _int_keys(value: Any) -> Any:
    """JSON has no numbers as keys: as the APPS harness does, a dict whose keys are all numbers gets them back."""
    if not isinstance(value, dict) or not all(_NUMBER.fullmatch(key) for key in value):
        return value
    return {int(key): item for key, item in value.items()}


def _int_keys_within(value: Any) -> Any:
    """Of an output also where it stands in a list by itself, as some sets have it."""
    return [_int_keys(item) for item in value] if isinstance(value, list) and len(value) == 1 else _int_keys(value)


def _text(file: Path, value: Any) -> str:
    """Text of a stdin test; some sets give it as a list of lines."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    if not isinstance(value, str):
        _malformed(file, "has no fn_name: each input and output must be text or a list of lines")
    return value


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
        _malformed(file, "is not UTF-8")


def _read_object(file: Path) -> dict[str, Any]:
    data = _read_json(file, {})
    if not isinstance(data, dict):
        _malformed(file, "is not an object")
    return data


def _read_json(file: Path, default: Any) -> Any:
    text = _read_text(file, "")
    if not text.strip():
        return default
    try:
        return json.loads(text)
    except ValueError as err:
        _malformed(file, f"is not JSON: {err}")


def _malformed(file: Path, what: str) -> NoReturn:
    raise UserError(f"{file} {what}", "Mend it or remove that problem's folder")


def _write_problem(folder: Path, problem: Problem) -> None:
    folder.mkdir()
    _write_text(folder / _QUESTION, problem.question)
    _write_json(folder / _TESTS, _input_output(problem.tests, problem.fn_name))
    if problem.hidden_tests:
        _write_json(folder / _HIDDEN, _input_output(problem.hidden_tests, problem.fn_name))
    _write_json(folder / _SOLUTIONS, problem.solutions)
    if problem.corpus != problem.solutions:
        _write_json(folder / _CORPUS, problem.corpus)
    _write_json(folder / _METADATA, {"difficulty": problem.difficulty, "url": problem.source})
    if problem.starter_code:
        _write_text(folder / _STARTER, problem.starter_code)


def _input_output(tests: Sequence[Test], fn_name: str | None) -> dict[str, Any]:
    data: dict[str, Any] = {} if fn_name is None else {"fn_name": fn_name}
    return data | {"inputs": [test.input for test in tests], "outputs": [test.expected for test in tests]}


def _write_text(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8"))


def _write_json(file: Path, value: Any) -> None:
    _write_text(file, json.dumps(value))
