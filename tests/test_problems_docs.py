"""What docs/problems.md and its neighbours say about problem sets: rows that can be read, keys and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from contracts.records import TestKind
from problems.own_rows import ProblemRow
from problems.read import read_problems
from rltf.cli import problems as commands

DOCS = Path(__file__).resolve().parent.parent / "docs"
ROW = re.compile(r'^    (\{"id": .*\})$', re.MULTILINE)


@pytest.mark.parametrize(("page", "count"), [("problems.md", 4), ("own-problems.md", 2)])
def test_rows_in_the_documentation_are_problems(tmp_path: Path, page: str, count: int) -> None:
    rows = ROW.findall((DOCS / page).read_text())
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    problems, dropped = read_problems(tmp_path / "train.jsonl")
    assert (len(problems), len(rows), dropped) == (count, count, 0)
    kinds = {problem.kind for problem in problems}
    assert kinds == (set(TestKind) if page == "problems.md" else {TestKind.STDIN, TestKind.CALL})


def test_the_table_of_keys_is_complete() -> None:
    text = (DOCS / "problems.md").read_text()
    table = text[text.index("| key | what | unset |") : text.index("A stdin test's")]
    keys = re.findall(r"^\| `(\w+)` ", table, re.MULTILINE)
    fields = {field.name: field.required for field in msgspec.structs.fields(ProblemRow)}
    assert sorted(keys) == sorted(fields)
    must = [line.split("`")[1] for line in table.splitlines() if line.endswith("| must be set |")]
    assert must == [name for name, required in fields.items() if required]


def test_commands_in_the_documentation_exist() -> None:
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    named = {name for page in pages for name in re.findall(r"rltf problems (\w+)", page.read_text())}
    assert {"show", "convert", "check"} <= named <= set(commands.commands)
