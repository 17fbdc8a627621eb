"""The APPS folder layout: what is written is read back; what is missing or malformed is said."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given

from contracts.errors import UserError
from contracts.records import Problem
from contracts.records import Test as UnitTest
from problems.apps import read_folder, write_folder
from tests.problem_strategies import problem_sets


def put(folder: Path, **files: Any) -> Path:
    """A problem's folder; a file's value is its text, or what is dumped as JSON."""
    folder.mkdir(parents=True)
    for name, value in {"question": "Add.", **files}.items():
        suffix = {"question": ".txt", "starter_code": ".py"}.get(name, ".json")
        (folder / f"{name}{suffix}").write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


@given(problem_sets(asserts=False))
def test_what_is_written_is_read_back(written: list[Problem]) -> None:
    with tempfile.TemporaryDirectory() as at:
        write_folder(Path(at) / "set", written)
        assert read_folder(Path(at) / "set") == (written, 0)
        assert os.listdir(at) == ["set"]


def test_stdin_tests_may_be_lists_of_lines(tmp_path: Path) -> None:
    put(tmp_path / "1", input_output={"inputs": [["2", "3 4"], "5\n"], "outputs": [["7", "1"], "5\n"]})
    (problem,), _ = read_folder(tmp_path)
    assert problem.tests == (UnitTest("2\n3 4", "7\n1"), UnitTest("5\n", "5\n"))
    assert problem.fn_name is None


def test_call_based_tests_are_kept_as_they_are(tmp_path: Path) -> None:
    put(tmp_path / "1", input_output={"fn_name": "f", "inputs": [[[1, 2], 3]], "outputs": [[6]]}, starter_code="def f(a, b):")
    (problem,), _ = read_folder(tmp_path)
    assert problem.fn_name == "f"
    assert problem.tests == (UnitTest([[1, 2], 3], [6]),)
    assert problem.starter_code == "def f(a, b):"


def test_dicts_get_their_numbers_back_as_keys(tmp_path: Path) -> None:
    inputs = [[{"1": 2, "-3": 0}, {"1": 2}], [[{"1": 2}]], [{"1": 2, "a": 0}], [3]]
    outputs = [{"5": 6}, [{"5": 6}], {"01": 2}, [{"1": 2}, 4]]
    put(tmp_path / "p", input_output={"fn_name": "f", "inputs": inputs, "outputs": outputs})
    (problem,), _ = read_folder(tmp_path)
    assert [(test.input, test.expected) for test in problem.tests] == [
        ([{1: 2, -3: 0}, {"1": 2}], {5: 6}),
        ([[{"1": 2}]], [{5: 6}]),
        ([{"1": 2, "a": 0}], {"01": 2}),
        ([3], [{"1": 2}, 4]),
    ]


def test_what_is_optional_has_defaults(tmp_path: Path) -> None:
    put(tmp_path / "1", input_output={"inputs": ["1"], "outputs": ["2"]}, solutions=["print(2)"])
    (problem,), _ = read_folder(tmp_path)
    assert problem == Problem(
        id="1", question="Add.", tests=(UnitTest("1", "2"),), solutions=("print(2)",), corpus=("print(2)",), difficulty="unknown"
    )


def test_problems_without_tests_are_dropped_and_counted(tmp_path: Path) -> None:
    put(tmp_path / "none")
    put(tmp_path / "blank", input_output="")
    put(tmp_path / "no-object-keys", input_output={})
    put(tmp_path / "no-items", input_output={"inputs": [], "outputs": []})
    put(tmp_path / "good", input_output={"inputs": ["1"], "outputs": ["2"]})
    (tmp_path / "README.md").write_text("not a problem")
    kept, dropped = read_folder(tmp_path)
    assert [problem.id for problem in kept] == ["good"]
    assert dropped == 4


def test_a_set_without_any_tests_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "none")
    with pytest.raises(UserError, match="none of the 1 problems"):
        read_folder(tmp_path)


@pytest.mark.parametrize("make", [lambda _: None, Path.mkdir, lambda at: put(at / "train" / "1", input_output={})])
def test_a_folder_without_problems_is_refused(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "apps")
    with pytest.raises(UserError, match=r"apps.* Name the folder that holds one folder per problem"):
        read_folder(tmp_path / "apps")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"input_output": "{"}, "1/input_output.json is not JSON"),
        ({"input_output": "[" * 5}, "1/input_output.json is not JSON"),
        ({"input_output": "[" * 100_000 + "]" * 100_000}, "1/input_output.json is not JSON: maximum recursion depth"),
        ({"input_output": []}, "1/input_output.json is not an object"),
        ({"input_output": {"inputs": ["1"]}}, "1/input_output.json is malformed: it needs inputs and outputs"),
        ({"input_output": {"inputs": ["1"], "outputs": []}}, "1/input_output.json is malformed: it needs inputs and outputs"),
        ({"input_output": {"inputs": [1], "outputs": ["1"]}}, "1/input_output.json is malformed: it has no fn_name"),
        ({"input_output": {"fn_name": "f", "inputs": [1], "outputs": [1]}}, "1/input_output.json is malformed: it is call-based"),
        ({"input_output": {"fn_name": 3, "inputs": [[1]], "outputs": [1]}}, "1/input_output.json is malformed: its fn_name"),
        ({"input_output": {"fn_name": "", "inputs": [[1]], "outputs": [1]}}, "1/input_output.json is malformed: its fn_name ''"),
        ({"input_output_hidden": []}, "1/input_output_hidden.json is not an object"),
        ({"solutions": {"a": 1}}, "1/solutions.json is not a list of programs"),
        ({"corpus": [1]}, "1/corpus.json is not a list of programs"),
        ({"metadata": []}, "1/metadata.json is not an object"),
        ({"metadata": {"difficulty": 3}}, r"1/metadata.json is malformed: Expected `str`, got `int` - at `\$.difficulty`"),
        ({"metadata": {"reference_seconds": -1}}, "1/metadata.json is malformed: Expected `float` >= 0.0"),
        ({"metadata": '{"reference_seconds": 1e999}'}, "1/metadata.json is malformed: Expected `float` <= 86400.0"),
        ({"metadata": '{"reference_seconds": NaN}'}, "1/metadata.json is malformed: Expected `float`"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    put(tmp_path / "1", **{"input_output": {"inputs": ["1"], "outputs": ["2"]}, **files})
    with pytest.raises(UserError, match=message):
        read_folder(tmp_path)


def test_text_that_is_not_utf8_and_a_missing_statement_are_named(tmp_path: Path) -> None:
    question = put(tmp_path / "1", input_output={"inputs": ["1"], "outputs": ["2"]}) / "question.txt"
    question.write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"1/question.txt is not UTF-8\. Save it as UTF-8"):
        read_folder(tmp_path)
    question.unlink()
    with pytest.raises(UserError, match=r"1/question.txt is missing"):
        read_folder(tmp_path)


@pytest.mark.parametrize("ids", [["a", "a"], ["a/b"], [".."], [""], ["a\0"], ["é" * 128], ["\ud800"]])
def test_ids_that_cannot_name_folders_are_refused(tmp_path: Path, ids: list[str]) -> None:
    with pytest.raises(UserError, match="cannot name a folder"):
        write_folder(tmp_path / "set", [Problem(id=id_, question="", tests=(UnitTest("", ""),)) for id_ in ids])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("key", ["question", "starter_code"])
def test_text_that_is_not_unicode_is_refused(tmp_path: Path, key: str) -> None:
    problem = Problem(id="é" * 127, question="", tests=(UnitTest("\ud800", "\udfff"),), solutions=("\ud800",))
    write_folder(tmp_path / "good", [problem])
    assert [read.tests for read in read_folder(tmp_path / "good")[0]] == [problem.tests]
    with pytest.raises(UserError, match=r"the text of é+ cannot be written as UTF-8: .*ends in .jsonl"):
        write_folder(tmp_path / "set", [msgspec.structs.replace(problem, **{key: "a \ud800"})])
    assert os.listdir(tmp_path) == ["good"]


def test_a_set_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(UserError, match="exists already"):
        write_folder(tmp_path / "set", [])


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    unwritable = Problem(id="b", question="", tests=(UnitTest(b"bytes", ""),))
    with pytest.raises(TypeError):
        write_folder(tmp_path / "set", [Problem(id="a", question="", tests=()), unwritable])
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif("RLTF_DATA" not in os.environ, reason="RLTF_DATA names no folder with benchmark data")
def test_real_apps_problems_are_read() -> None:
    kept, dropped = read_folder(Path(os.environ["RLTF_DATA"]) / "apps" / "train")
    assert (len(kept), dropped) == (103, 0)
    assert sum(problem.fn_name is None for problem in kept) == 93
    assert sum(len(problem.tests) for problem in kept if problem.fn_name is None) == 607
    by_id = {problem.id: problem for problem in kept}
    assert by_id["2404"].fn_name == "findKthPositive"
    assert by_id["2404"].tests == (UnitTest([[2, 3, 4, 7, 11], 5], 9),)
    assert by_id["2362"].source == "https://codeforces.com/problemset/problem/1196/C"
    assert by_id["2362"].corpus == by_id["2362"].solutions != ()
