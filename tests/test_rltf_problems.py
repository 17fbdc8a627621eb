"""`rltf problems show` and `convert`: what a set holds, one problem in full, and the same set in another form."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from contracts.errors import UserError
from contracts.records import Problem
from contracts.records import Test as UnitTest
from problems.read import read_problems
from problems.write import write_problems
from rltf.convert import convert_problems
from rltf.show import show_problems
from tests.cli import rltf

STDIN = Problem(
    id="echo/1",
    question="Print it\r\ntwice.\x1b[31m",
    split="train",
    difficulty="easy",
    source="somewhere",
    tests=tuple(UnitTest(f"{number}\n", f"{number}\n{number}\n") for number in range(5)),
    hidden_tests=(UnitTest("a\n" * 50, "b" * 1000),),
    solutions=("print(input() * 2)", "second"),
)
CALL = Problem(
    id="add",
    question="Add.",
    split="test",
    fn_name="add",
    tests=(UnitTest([1, {"é": None}], [True]),),
    starter_code="def add(a, b):",
)
ASSERT = Problem(
    id="half", question="Halve.", fn_name="half", test_setup="import math", tests=(UnitTest("assert half(2) == 1", None),)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_problems(tmp_path / "set.jsonl", [STDIN, CALL, ASSERT])
    return tmp_path / "set.jsonl"


def shown(path: Path, id_: str | None = None) -> str:
    console = Console(file=io.StringIO(), width=110)
    show_problems(path, id_, console)
    return console.file.getvalue()


def test_a_set_is_counted_by_split_difficulty_and_kind(path: Path) -> None:
    rows = [line.split() for line in shown(path).splitlines()]
    assert ["-", "unknown", "assert", "1", "1", "1", "0", "0", "0", "0"] in rows
    assert ["test", "unknown", "call", "1", "1", "1", "0", "0", "0", "0"] in rows
    assert ["train", "easy", "stdin", "1", "5", "5", "1", "1", "2", "2"] in rows
    assert ["all", "3", "7", "1", "1", "0", "2", "0"] in rows
    assert rows[-1] == ["ids:", "echo/1,", "add,", "half"]


def test_of_many_ids_some_are_named_and_medians_may_be_halves(tmp_path: Path) -> None:
    tests = (UnitTest("1", "1"),)
    problems = [Problem(id=str(number), question="", tests=tests * (1 + number % 2)) for number in range(8)]
    write_problems(tmp_path / "set.jsonl", [*problems, Problem(id="none", question="", tests=())])
    lines = shown(tmp_path / "set.jsonl").splitlines()
    assert ["-", "unknown", "stdin", "8", "12", "1.5", "0", "0", "0", "0"] in [line.split() for line in lines]
    assert lines[-2:] == ["ids: 0, 1, 2, 3, 4 … 7", "1 without tests left out"]
    assert not any(line.split()[:1] == ["all"] for line in lines)


def test_a_stdin_problem_is_shown_with_its_tests_shortened(path: Path) -> None:
    text = shown(path, "echo/1")
    assert text == shown(path, "1")
    assert text.startswith(
        "echo/1\nstdin · split train · difficulty easy · somewhere\n\nstatement\nPrint it\ntwice.\\x1b[31m\n\n"
    )
    assert "tests: 5\ninput\n    0\nexpected\n    0\n    0\ninput\n    1\n" in text
    assert "\n… and 2 more\n" in text
    assert "hidden tests: 1\ninput\n" + "    a\n" * 11 + "    a … (76 more characters)\nexpected\n" in text
    assert f"    {'b' * 600} … (400 more characters)\n" in text
    assert text.endswith("solutions: 2, the first\nprint(input() * 2)\n")


def test_calls_and_assertions_are_shown_as_they_are_written(path: Path) -> None:
    assert 'starter code\ndef add(a, b):\n\ntests: 1\nadd(1, {"é": null}) -> [true]\n' in shown(path, "add")
    assert "before each test\nimport math\n\ntests: 1\nassert half(2) == 1\n" in shown(path, "half")


def test_an_id_that_is_not_there_is_refused_with_the_nearest(path: Path) -> None:
    with pytest.raises(UserError, match=r"set.jsonl: no problem 'hal': did you mean \"half\"\. Leave the id out"):
        show_problems(path, "hal", Console(file=io.StringIO()))


def test_a_converted_set_is_the_same_set(tmp_path: Path) -> None:
    write_problems(tmp_path / "train", [CALL, Problem(id="none", question="", tests=())])
    console = Console(file=io.StringIO(), width=30)
    convert_problems(tmp_path / "train", tmp_path / "rows.jsonl.gz", console)
    convert_problems(tmp_path / "rows.jsonl.gz", tmp_path / "back", console)
    assert read_problems(tmp_path / "back") == read_problems(tmp_path / "rows.jsonl.gz") == ([CALL], 0)
    assert console.file.getvalue().splitlines() == [
        f"problems written to {tmp_path / 'rows.jsonl.gz'}: 1; 1 without tests left out",
        f"problems written to {tmp_path / 'back'}: 1",
    ]


def test_the_commands(path: Path, tmp_path: Path) -> None:
    done = rltf("problems", "convert", str(path), str(tmp_path / "copy.jsonl"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "copy.jsonl").read_bytes() == path.read_bytes()
    done = rltf("problems", "show", str(tmp_path / "copy.jsonl"))
    assert (done.returncode, done.stdout) == (0, shown(path))


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ("set.jsonl", "set.jsonl exists already"),
        ("folder", "half has assertions for tests, which an APPS folder cannot hold. Write to a file that ends in .jsonl"),
        ("set.json", "set.json cannot be written. Write to a file that ends in .jsonl or .jsonl.gz, or to a folder"),
        ("set.jsonl/x.jsonl", "set.jsonl/x.jsonl cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused(path: Path, tmp_path: Path, destination: str, said: str) -> None:
    before = path.read_bytes()
    with pytest.raises(UserError) as err:
        convert_problems(path, tmp_path / destination, Console(file=io.StringIO()))
    assert said in str(err.value)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
