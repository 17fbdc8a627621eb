"""Whole numbers beyond Python's limit of 4,300 digits: every form of problem set holds them, and nothing else changes."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from rich.console import Console

from contracts.errors import UserError
from contracts.records import Problem
from contracts.records import Test as UnitTest
from problems import digits
from problems.digits import any_digits
from problems.read import read_problems
from problems.write import write_problems
from rltf.judged import digest_of
from rltf.rows import Rows
from rltf.show import show_problems

LONG = 10**5000
KEYED = {LONG + 1: [LONG]}
CALLED = Problem(id="0007", question="Count.", fn_name="f", tests=(UnitTest([KEYED, -LONG], KEYED), UnitTest([1], LONG)))
NUMBER = "1" + "0" * 5000


def same(found: Any, wanted: Any) -> bool:
    """Equal, without a failing test that spells them out."""
    return bool(found == wanted)


@pytest.mark.parametrize("name", ["set", "set.jsonl", "set.jsonl.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    write_problems(tmp_path / name, [CALLED])
    assert same(read_problems(tmp_path / name)[0], [CALLED])
    assert sys.get_int_max_str_digits() == 4300


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("name", ["test.jsonl", "test.json", "test.jsonl.gz"])
def test_rows_of_apps_hold_them(tmp_path: Path, name: str, encoded: bool) -> None:
    tests = f'{{"fn_name": "f", "inputs": [[{NUMBER}]], "outputs": [[{NUMBER}]]}}'
    row = f'{{"id": 7, "question": "", "input_output": {json.dumps(tests) if encoded else tests}}}'
    text = (f"[{row}]" if name == "test.json" else row).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    (problem,), dropped = read_problems(tmp_path / name)
    assert (problem.id, dropped) == ("0007", 0)
    assert same(problem.tests, (UnitTest([LONG], [LONG]),))


def test_they_count_in_a_digest_and_are_shown(tmp_path: Path) -> None:
    other = msgspec.structs.replace(CALLED, tests=(*CALLED.tests[:1], UnitTest([1], LONG + 1)))
    assert digest_of(CALLED) != digest_of(other)
    write_problems(tmp_path / "set.jsonl", [CALLED])
    told = io.StringIO()
    show_problems(tmp_path / "set.jsonl", "0007", Console(file=told, width=110))
    assert f"f(1) -> 1{'0' * 591} … (4409 more characters)" in told.getvalue()


def test_rows_of_programs_may_carry_them() -> None:
    rows = Rows([f'{{"code": "x", "input_output": {{"inputs": [[{NUMBER}]]}}}}'.encode()], lambda _: (None, CALLED), None)
    assert [row.code for row in rows] == ["x"]
    assert rows.bad == 0


def test_a_row_that_cannot_be_read_leaves_the_limit_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_text(f"{NUMBER}{{")
    with pytest.raises(UserError, match=r"set\.jsonl, line 1 is not JSON: Extra data"):
        read_problems(tmp_path / "set.jsonl")
    assert sys.get_int_max_str_digits() == 4300


def test_the_limit_is_lifted_by_one_thread_at_a_time() -> None:
    """Else one that begins meanwhile would find it lifted, and leave it so for ever."""

    def begin() -> None:
        if begun := digits._LOCK.acquire(blocking=False):
            digits._LOCK.release()
        others.append(begun)

    others: list[bool] = []
    with any_digits():
        with any_digits():
            pass
        assert same(int(NUMBER), LONG)
        (inside := Thread(target=begin)).start()
        inside.join()
    (after := Thread(target=begin)).start()
    after.join()
    assert others == [False, True]
    with pytest.raises(ValueError, match="Exceeds the limit"):
        int(NUMBER)
