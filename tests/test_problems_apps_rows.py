"""APPS as rows of a file: the same problems as from its folders."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import UserError
from contracts.records import Problem
from contracts.records import Test as UnitTest
from problems.apps import read_folder
from problems.files import read_file

ROW = {
    "id": 7,
    "question": "Add.",
    "solutions": json.dumps(["print(3)", "print(1 + 2)"]),
    "input_output": json.dumps({"inputs": ["1 2\n", ["1", "2"]], "outputs": ["3\n", ["3"]]}),
    "difficulty": "interview",
    "url": "https://example.org/7",
    "starter_code": "",
}
CALL = ROW | {
    "problem_id": "c",
    "input_output": json.dumps({"fn_name": "f", "inputs": [[{"1": 2}, [3]]], "outputs": [[{"5": 6}]]}),
    "solutions": "",
    "starter_code": "def f(a, b):",
}
ADDED = Problem(
    id="0007",
    question="Add.",
    tests=(UnitTest("1 2\n", "3\n"), UnitTest("1\n2", "3")),
    solutions=("print(3)", "print(1 + 2)"),
    corpus=("print(3)", "print(1 + 2)"),
    difficulty="interview",
    split="train",
    source="https://example.org/7",
)


def put(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_row_is_what_its_folder_would_be(tmp_path: Path) -> None:
    (first, second), dropped = read_file(put(tmp_path / "train.jsonl", ROW, CALL, ROW | {"id": 8, "input_output": ""}))
    assert dropped == 1
    assert first == ADDED
    assert (second.id, second.fn_name, second.starter_code, second.solutions) == ("c", "f", "def f(a, b):", ())
    assert second.tests == (UnitTest([{1: 2}, [3]], [{5: 6}]),)


def test_what_is_json_text_may_be_there_as_it_is(tmp_path: Path) -> None:
    row = ROW | {key: json.loads(str(ROW[key])) for key in ("solutions", "input_output")} | {"problem_id": 7, "more": [1]}
    assert read_file(put(tmp_path / "train.jsonl", row))[0] == [ADDED]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.jsonl", "train"),
        ("test.jsonl.gz", "test"),
        ("test.extra.json", "test"),
        ("valid.jsonl", ""),
        ("training.jsonl", ""),
    ],
)
def test_the_file_s_name_tells_the_split(tmp_path: Path, name: str, split: str) -> None:
    content = json.dumps([ROW] if name.endswith(".json") else ROW).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert [problem.split for problem in read_file(tmp_path / name)[0]] == [split]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": None}, "it has no id"),
        ({"question": None}, "at `$.question`"),
        ({"input_output": "{"}, "its input_output cannot be used: Expecting"),
        ({"input_output": "[]"}, "its input_output cannot be used: Expected `object`, got `array`"),
        ({"input_output": 3}, "at `$.input_output`"),
        ({"input_output": '{"inputs": ["1"]}'}, "it needs inputs and outputs"),
        ({"input_output": '{"fn_name": 3}'}, "its fn_name 3 is no name of a function"),
        ({"solutions": "[1]"}, "its solutions cannot be used: Expected `str`, got `int`"),
        ({"solutions": {"a": 1}}, "at `$.solutions`"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = put(tmp_path / "train.jsonl", ROW | {"id": 1}, ROW | change)
    with pytest.raises(UserError) as err:
        read_file(path)
    assert err.value.message.startswith(f"{path}, line 2 is malformed: ")
    assert said in err.value.message


def as_row(folder: Path) -> dict[str, Any]:
    """A folder's files in a row, as the hub's copy has them."""
    texts = {file.name: file.read_text() for file in folder.iterdir()}
    return {
        "id": int(folder.name),
        "question": texts["question.txt"],
        "solutions": texts["solutions.json"],
        "input_output": texts["input_output.json"],
        "starter_code": texts.get("starter_code.py", ""),
        **json.loads(texts["metadata.json"]),
    }


def test_published_problems_are_the_same_from_rows_and_from_folders(benchmark_data: Path, tmp_path: Path) -> None:
    folder = benchmark_data / "apps" / "train"
    problems, dropped = read_folder(folder)
    assert Counter(problem.difficulty for problem in problems) == {"introductory": 34, "interview": 37, "competition": 32}
    assert {problem.split for problem in problems} == {"train"}
    file = put(tmp_path / "train.jsonl", *map(as_row, sorted(folder.iterdir())))
    assert read_file(file) == (problems, dropped)
