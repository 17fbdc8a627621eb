"""Problems as JSON lines of one's own: what is written is read back, and a row that is wrong is named."""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from contracts.errors import UserError
from contracts.records import Problem, TestKind
from contracts.records import Test as UnitTest
from problems.apps import read_folder
from problems.files import read_file
from problems.own_rows import write_rows
from problems.read import read_problems
from problems.write import write_problems
from tests.problem_strategies import problem_sets

STDIN = {"id": "a", "question": "Add one.", "tests": [{"input": "1\n", "expected": "2\n"}]}
CALL = {"id": "b", "question": "Add.", "fn_name": "add", "tests": [{"input": [1, [2]], "expected": None}]}
ASSERT = {
    "id": "c",
    "question": "Add.",
    "fn_name": "add",
    "tests": ["assert add(1, 2) == 3", {"assert": "assert add(0, 0) == 0"}],
}


def put(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@given(problem_sets(asserts=True))
def test_what_is_written_is_read_back(written: list[Problem]) -> None:
    with tempfile.TemporaryDirectory() as at:
        for name in ("set.jsonl", "train.jsonl.gz"):
            write_rows(Path(at) / name, written)
            assert read_file(Path(at) / name) == (written, 0)
        assert len(list(Path(at).iterdir())) == 2


@given(problem_sets(asserts=False))
def test_folders_and_rows_hold_the_same(written: list[Problem]) -> None:
    with tempfile.TemporaryDirectory() as at:
        folder, file = Path(at) / "train", Path(at) / "rows.jsonl"
        write_problems(folder, written)
        write_problems(file, read_folder(folder)[0])
        assert read_problems(file) == read_problems(folder) == (written, 0)


def test_the_three_kinds_of_tests(tmp_path: Path) -> None:
    problems, dropped = read_file(put(tmp_path / "p.jsonl", STDIN, CALL, ASSERT, STDIN | {"id": "d", "tests": []}))
    assert dropped == 1
    assert problems == [
        Problem(id="a", question="Add one.", tests=(UnitTest("1\n", "2\n"),)),
        Problem(id="b", question="Add.", fn_name="add", tests=(UnitTest([1, [2]], None),)),
        Problem(
            id="c",
            question="Add.",
            fn_name="add",
            test_setup="",
            tests=(UnitTest("assert add(1, 2) == 3", None), UnitTest("assert add(0, 0) == 0", None)),
        ),
    ]
    assert [problem.kind for problem in problems] == [TestKind.STDIN, TestKind.CALL, TestKind.ASSERT]


def test_all_keys_are_kept_and_a_corpus_is_the_solutions_unless_it_is_given(tmp_path: Path) -> None:
    more = {
        "hidden_tests": [{"input": "3", "expected": "4"}],
        "starter_code": "n =",
        "solutions": ["x", "y"],
        "difficulty": "easy",
        "split": "dev",
        "source": "here",
        "reference_seconds": 0.5,
    }
    first, second, third = read_file(
        put(
            tmp_path / "train.jsonl",
            STDIN | more,
            STDIN | {"id": "b", "solutions": ["x"], "corpus": []},
            STDIN | {"id": "c", "corpus": ["z"]},
        )
    )[0]
    assert first == Problem(
        id="a",
        question="Add one.",
        tests=(UnitTest("1\n", "2\n"),),
        hidden_tests=(UnitTest("3", "4"),),
        starter_code="n =",
        solutions=("x", "y"),
        corpus=("x", "y"),
        difficulty="easy",
        split="dev",
        source="here",
        reference_seconds=0.5,
    )
    assert (second.solutions, second.corpus, second.split) == (("x",), (), "")
    assert (third.solutions, third.corpus) == ((), ("z",))


def test_a_json_list_and_a_byte_order_mark_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps([STDIN, CALL]), encoding="utf-8-sig")
    assert [problem.id for problem in read_file(tmp_path / "p.json")[0]] == ["a", "b"]
    (tmp_path / "p.json.gz").write_bytes(gzip.compress(json.dumps([STDIN]).encode()))
    assert [problem.id for problem in read_file(tmp_path / "p.json.gz")[0]] == ["a"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (STDIN | {"hiden_tests": []}, "unknown key 'hiden_tests' (did you mean hidden_tests?)"),
        (STDIN | {"zzz": 1}, "unknown key 'zzz' (there are: id, question, tests, hidden_tests, fn_name,"),
        (STDIN | {"tests": [{"input": "1", "expect": "2"}]}, "unknown key 'expect' (did you mean expected?)"),
        (STDIN | {"hidden_tests": [{"in": "1"}]}, "unknown key 'in' ("),
        ({"id": "a", "question": ""}, "Object missing required field `tests`"),
        (STDIN | {"id": ""}, "length >= 1 - at `$.id`"),
        (STDIN | {"id": 7}, "Expected `str`, got `int` - at `$.id`"),
        (STDIN | {"difficulty": 3}, "at `$.difficulty`"),
        (STDIN | {"reference_seconds": -1}, "at `$.reference_seconds`"),
        (STDIN | {"reference_seconds": math.inf}, "at `$.reference_seconds`"),
        (STDIN | {"reference_seconds": math.nan}, "at `$.reference_seconds`"),
        (STDIN | {"tests": [3]}, "at `$.tests[0]`"),
        (STDIN | {"tests": [{"input": "1"}]}, "each of its tests needs input and expected"),
        (STDIN | {"tests": [{}]}, "each of its tests needs input and expected"),
        (STDIN | {"tests": [{"input": 1, "expected": "2"}]}, "it has no fn_name: each input and output must be text"),
        (CALL | {"tests": [{"input": 1, "expected": 2}]}, "each of its inputs must be a list of arguments"),
        (ASSERT | {"fn_name": None}, "it needs a fn_name, the function that they call"),
        (ASSERT | {"fn_name": ""}, "its fn_name '' is no name of a function"),
        (CALL | {"fn_name": "a b"}, "its fn_name 'a b' is no name of a function"),
        (ASSERT | {"tests": ["assert f(1) =="]}, "it is not Python"),
        (ASSERT | {"test_setup": "import"}, "it is not Python"),
        (ASSERT | {"hidden_tests": [{"input": [1], "expected": 2}]}, "each of its tests needs an assert and nothing else"),
        (ASSERT | {"tests": [{"assert": "f()", "input": [1]}]}, "each of its tests needs an assert and nothing else"),
        (CALL | {"test_setup": ""}, "each of its tests needs an assert and nothing else"),
    ],
)
def test_a_malformed_row_is_named_with_what_is_wrong(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = put(tmp_path / "p.jsonl", STDIN | {"id": "first"}, row)
    with pytest.raises(UserError) as err:
        read_file(path)
    assert err.value.message.startswith(f"{path}, line 2 is malformed: ")
    assert said in err.value.message


def test_two_rows_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has a twice"):
        read_file(put(tmp_path / "p.jsonl", STDIN, CALL, STDIN))


def test_a_name_that_leads_nowhere_is_taken(tmp_path: Path) -> None:
    (tmp_path / "set").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="exists already"):
        write_problems(tmp_path / "set", read_file(put(tmp_path / "p.jsonl", STDIN))[0])


@pytest.mark.parametrize("name", ["set.jsonl", "set.jsonl.gz", "set"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        write_problems(tmp_path / name, read_file(put(tmp_path / "p.jsonl", STDIN))[0])
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_told_how_to_mend(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "p.jsonl").write_bytes('{"id": "é"}\n'.encode(encoding))
    with pytest.raises(UserError, match=r"p\.jsonl is not UTF-8: .*Save it as UTF-8$"):
        read_file(tmp_path / "p.jsonl")


def test_a_place_that_takes_no_files_is_named(tmp_path: Path) -> None:
    problems, _ = read_file(put(tmp_path / "p.jsonl", STDIN))
    with pytest.raises(UserError, match=r"^/proc/\S+\.jsonl cannot be written: .*Write elsewhere$"):
        write_problems(Path("/proc/set.jsonl"), problems)


def test_the_name_says_in_which_form_to_write(tmp_path: Path) -> None:
    problems, _ = read_file(put(tmp_path / "p.jsonl", STDIN, CALL))
    for name in ("new/set.jsonl", "new/set.jsonl.gz", "new/folder"):
        write_problems(tmp_path / name, problems)
        assert read_problems(tmp_path / name) == (problems, 0)
    assert (tmp_path / "new" / "folder").is_dir()
    assert gzip.decompress((tmp_path / "new" / "set.jsonl.gz").read_bytes()) == (tmp_path / "new" / "set.jsonl").read_bytes()
    for name in ("set.json", "set.json.gz", "set.gz"):
        with pytest.raises(UserError, match=r"Write to a file that ends in .jsonl or .jsonl.gz"):
            write_problems(tmp_path / name, problems)


def test_a_folder_cannot_hold_assertions(tmp_path: Path) -> None:
    problems, _ = read_file(put(tmp_path / "p.jsonl", STDIN, ASSERT))
    with pytest.raises(UserError, match=r"c has assertions for tests, .* Write to a file that ends in .jsonl"):
        write_problems(tmp_path / "set", problems)
    assert not (tmp_path / "set").exists()


def test_benchmarks_become_rows_and_stay_the_same(benchmark_data: Path, tmp_path: Path) -> None:
    for number, place in enumerate(("apps/train", "mbpp/mbpp.jsonl", "humaneval/HumanEval.jsonl.gz")):
        problems, _ = read_problems(benchmark_data / place)
        write_problems(tmp_path / f"{number}.jsonl", problems)
        assert read_problems(tmp_path / f"{number}.jsonl") == (problems, 0)
