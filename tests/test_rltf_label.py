"""`rltf label`: what it writes, what it reports, and that bad input costs nothing."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from rich.console import Console

from contracts import metrics as m
from contracts.counts import Counts
from contracts.errors import UserError
from contracts.records import Category, Detail, Outcome, Problem, Span, Verdict
from contracts.records import Test as UnitTest
from contracts.sections import RewardsConfig
from executors.pool import Job
from problems.apps import write_folder
from rltf import label
from rltf.judging import Lookup, executors_config
from rltf.label import label_file, rewards_of
from tests.cli import rltf

ADD = Problem(id="0001", question="", tests=(UnitTest("1 2\n", "3\n"), UnitTest("2 2\n", "4\n")))
CALL = Problem(id="7", question="", fn_name="f", tests=(UnitTest([1], 2), UnitTest([2], 3)))
GOOD = "print(sum(map(int, input().split())))"
TEST = "def check(candidate):\n    assert candidate(1) == 1\n    assert candidate(2) == 4\ncheck(square)"
KEYS = [
    *("line", "problem_id", "outcome", "detail", "error_type", "passed", "total", "category", "span", "rewards", "seconds"),
    *("tests", "expression", "trust", "message"),
]


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def problem_set(tmp_path: Path) -> Path:
    write_folder(tmp_path / "problems", [ADD, CALL])
    return tmp_path / "problems"


class FakePool:
    """Programs are verdicts' names; keeps how many jobs were taken before each verdict was given."""

    ahead: list[int]

    def __init__(self, *_: object) -> None:
        FakePool.ahead = []

    def judge_all(self, jobs: Iterable[Job]) -> Iterator[Verdict]:
        for taken, job in enumerate(jobs, 1):
            FakePool.ahead.append(taken)
            outcome, _, detail = job.text.partition(" ")
            yield Verdict(outcome=Outcome(outcome), detail=Detail(detail) if detail else None, total=len(job.problem.tests))

    def collect(self) -> Counts:
        return {m.REMEMBERED.name: 2}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


def run(programs: Path, output: Path, problems: Path | None, shown: io.StringIO) -> None:
    label_file(programs, output, problems, executors_config("strict", 1), Console(file=shown, width=200))


# Real verdicts


def test_every_kind_of_row_gets_its_line(tmp_path: Path) -> None:
    programs = write(
        tmp_path / "programs.jsonl",
        {"problem_id": "0001", "code": GOOD},
        {"problem_id": "0001", "code": "print(3)"},
        "",
        {"problem_id": 7, "code": "def f(x):\n    return x + missing"},
        {"task_id": "own", "code": "def square(x):\n    return x * x", "entry_point": "square", "test": TEST},
        {"code": "def square(x)\n    return x", "entry_point": "square", "test": TEST},
        {"problem_id": "nope", "code": ""},
        {"problem_id": "0001", "code": GOOD},
    )
    output = tmp_path / "verdicts.jsonl"
    done = rltf("label", f"--problems={problem_set(tmp_path)}", f"--programs={programs}", f"--output={output}", "--cores=1")
    assert (done.returncode, done.stderr) == (0, "line 7: no problem 'nope'\n"), done.stdout
    rows = read(output)
    assert [list(row) for row in rows] == [KEYS] * 6
    assert [(row["line"], row["problem_id"], row["outcome"], row["passed"], row["total"]) for row in rows] == [
        (1, "0001", "pass", 2, 2),
        (2, "0001", "failure", 1, 2),
        (4, "7", "runtime_error", 0, 2),
        (5, "own", "pass", 2, 2),
        (6, None, "syntax_error", 0, 2),
        (8, "0001", "pass", 2, 2),
    ]
    assert [row["rewards"] for row in rows[:3]] == [
        {"coarse": 1.0, "fine": 0.0, "adaptive": 1.0},
        {"coarse": -0.3, "fine": 0.0, "adaptive": 0.35},
        {"coarse": -0.6, "fine": -0.3, "adaptive": None},
    ]
    assert [test["outcome"] for test in rows[1]["tests"]] == ["pass", "failure"]
    assert rows[1]["seconds"] == pytest.approx(sum(test["seconds"] for test in rows[1]["tests"]), abs=2e-6)
    assert all(round(test["seconds"], 6) == test["seconds"] > 0 for test in rows[1]["tests"])
    assert (rows[2]["detail"], rows[2]["error_type"], rows[2]["category"]) == ("exception", "NameError", "line")
    assert rows[2]["span"] == {"start_line": 2, "end_line": 2, "start_char": 14, "end_char": 32}
    assert (rows[4]["tests"], rows[4]["rewards"]["coarse"]) == ([], -1.0)
    assert re.search(r"^label: done after .* \| line 8/8 \| programs per second (\d+) \| bad rows 1$", done.stdout, re.MULTILINE)
    closing = r"^6 programs in \d\.\d s: \d+ per second by 1 core; 1 seen before; 1 bad row$"
    assert re.search(closing, done.stdout, re.MULTILINE)
    assert "1 program uses a name that it doesn't import" not in done.stdout, "no prelude has `missing`"
    assert not list(tmp_path.glob("*.partial"))


def test_apps_mode_compares_and_imports_as_the_apps_harness_does(tmp_path: Path) -> None:
    programs = write(
        tmp_path / "p.jsonl",
        {"problem_id": "0001", "code": "print(sqrt(sum(map(int, input().split())) ** 2))"},
        {"code": "def square(x):\n    return int(math.pow(x, 2))", "entry_point": "square", "test": TEST},
    )
    outcomes, hinted = [], []
    problems, output = problem_set(tmp_path), tmp_path / "o.jsonl"
    for options in (["strict"], ["apps"], ["strict", "--prelude=apps"], ["apps", "--prelude=none"]):
        command = (f"--problems={problems}", f"--programs={programs}", f"--output={output}", "--cores=1")
        done = rltf("label", *command, "--compare", *options)
        assert done.returncode == 0, done.stderr
        outcomes.append([row["outcome"] for row in read(output)])
        hinted.append("2 programs use names that they don't import, such as sqrt: --prelude apps provides them" in done.stdout)
    errors = ["runtime_error", "runtime_error"]
    assert outcomes == [errors, ["pass", "pass"], ["failure", "pass"], errors]
    assert hinted == [True, False, False, True]


def test_findings_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    lazy = f"def debug():\n    print(valeur, état)\n{GOOD}"
    programs = write(
        tmp_path / "p.jsonl",
        *({"problem_id": "0001", "code": code} for code in (lazy, GOOD, f"{GOOD}\nraise NotImplemented", "print(")),
    )
    output = tmp_path / "o.jsonl"
    command = (f"--problems={problem_set(tmp_path)}", f"--programs={programs}", f"--output={output}", "--cores=1")
    done = rltf("label", *command, "--analyse")
    assert done.returncode == 0, done.stderr
    rows = read(output)
    assert [list(row) for row in rows] == [[*KEYS, "findings"]] * 4
    assert [row["outcome"] for row in rows] == ["pass", "pass", "runtime_error", "syntax_error"]
    assert rows[0]["findings"] == [
        {
            "code": "undefined-name",
            "message": f"undefined name '{name}'",
            "span": {"start_line": 2, "end_line": 2, "start_char": start, "end_char": start + len(name)},
        }
        for name, start in (("valeur", 23), ("état", 31))
    ]
    assert [[found["code"] for found in row["findings"]] for row in rows[1:]] == [[], ["not-an-exception"], []]
    assert re.search(r"undefined-name\W+1\W+25\.0%", done.stdout)
    assert re.search(r"not-an-exception\W+1\W+25\.0%", done.stdout)


# Rewards


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict(outcome=Outcome.PASS, passed=2, total=2), (1.0, 0.0, 1.0)),
        (Verdict(outcome=Outcome.FAILURE, passed=0, total=2), (-0.3, 0.0, -0.3)),
        (Verdict(outcome=Outcome.RUNTIME_ERROR, category=Category.GLOBAL), (-0.6, -0.3, None)),
        (Verdict(outcome=Outcome.RUNTIME_ERROR, category=Category.IGNORE), (-0.6, 0.0, None)),
        (Verdict(outcome=Outcome.SYNTAX_ERROR, category=Category.LINE, span=Span(1, 1, 0, 3)), (-1.0, -0.3, None)),
        (Verdict(outcome=Outcome.SYNTAX_ERROR, category=Category.LINE), (-1.0, 0.0, None)),
    ],
)
def test_rewards_are_the_table_s(verdict: Verdict, expected: tuple[float, float, float | None]) -> None:
    assert rewards_of(verdict, RewardsConfig()) == dict(zip(("coarse", "fine", "adaptive"), expected, strict=True))


def test_a_sandbox_error_has_no_rewards() -> None:
    assert rewards_of(Verdict(outcome=Outcome.SANDBOX_ERROR), RewardsConfig()) is None


# Rows


def test_bad_rows_are_named_and_do_not_stop_the_rest(
    tmp_path: Path, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(label, "Pool", FakePool)
    own = {"code": "pass", "entry_point": "f", "test": "assert f(1)"}
    bad: list[tuple[Any, str]] = [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[1]", "it is not an object"),
        ({"problem_id": "0001"}, 'it has no "code" text'),
        ({"problem_id": "0001", "code": 3}, 'it has no "code" text'),
        ({"code": "pass"}, "neither a problem_id nor a test"),
        ({"code": "pass", "problem_id": 2}, "no problem 2"),
        ({"code": "pass", "problem_id": 1}, 'no problem 1: did you mean "0001"?'),
        ({"code": "pass", "problem_id": True}, "neither text nor a whole number"),
        (own | {"entry_point": "f()"}, "a function's name"),
        (own | {"test": 3}, "needs to be text"),
        (own | {"test": "def ("}, "its test cannot be used: it is not Python"),
        (own | {"test": "x = 1"}, "it asserts nothing"),
    ]
    programs = write(tmp_path / "p.jsonl", *(row for row, _ in bad), own, {"problem_id": "0001", "code": "failure"})
    run(programs, tmp_path / "o.jsonl", problem_set(tmp_path), shown)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(bad)
    for number, (line, (_, words)) in enumerate(zip(said, bad, strict=True), 1):
        assert line.startswith(f"line {number}: ")
        assert words in line
    assert [(row["line"], row["outcome"]) for row in read(tmp_path / "o.jsonl")] == [(14, "pass"), (15, "failure")]
    assert re.search(r"^2 programs in \d+\.\d s", shown.getvalue(), re.MULTILINE)
    assert "13 bad rows" in shown.getvalue()


def test_the_first_bad_rows_are_named_and_the_others_counted(
    tmp_path: Path, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(label, "Pool", FakePool)
    programs = tmp_path / "p.jsonl.gz"
    good = json.dumps({"problem_id": "0001", "code": "pass"})
    programs.write_bytes(gzip.compress("\n".join([good, *["{"] * 25, good, "3"]).encode()))
    run(programs, tmp_path / "o.jsonl", problem_set(tmp_path), shown)
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in said] == [*(f"line {number}" for number in range(2, 22)), "… and 6 more"]
    assert [row["line"] for row in read(tmp_path / "o.jsonl")] == [1, 27]
    assert "line 28/28" in shown.getvalue(), "the last line counts although it does not end"


@pytest.mark.parametrize(("undefined", "hint"), [(0, None), (1, "1 program uses"), (2, "2 programs use")])
def test_names_of_the_prelude_are_hinted_at_where_they_are_missed_often(
    tmp_path: Path, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch, undefined: int, hint: str | None
) -> None:
    class Pool(FakePool):
        def judge_all(self, jobs: Iterable[Job]) -> Iterator[Verdict]:
            for job in jobs:
                message = f"name '{job.text}' is not defined"
                yield Verdict(outcome=Outcome.RUNTIME_ERROR, error_type="NameError", message=message, total=2)

    monkeypatch.setattr(label, "Pool", Pool)
    names = ["List"] * undefined + ["solve"] * (20 - undefined)
    programs = write(tmp_path / "p.jsonl", *({"problem_id": "0001", "code": name} for name in names))
    run(programs, tmp_path / "o.jsonl", problem_set(tmp_path), shown)
    last = shown.getvalue().splitlines()[-1]
    assert ("--prelude" in last) == (hint is not None)
    assert last.startswith(hint or "")


def test_the_closing_table_counts_outcomes_and_details(
    tmp_path: Path, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label, "Pool", FakePool)
    kinds = ["sandbox_error", "runtime_error exit", *["runtime_error timeout"] * 2, *["pass"] * 4]
    programs = write(tmp_path / "p.jsonl", *({"problem_id": "0001", "code": kind} for kind in kinds))
    run(programs, tmp_path / "o.jsonl", problem_set(tmp_path), shown)
    rows = [line.split() for line in shown.getvalue().splitlines() if line.endswith("% ") or "%" in line]
    assert rows == [
        ["pass", "4", "50.0%"],
        ["runtime_error:", "timeout", "2", "25.0%"],
        ["runtime_error:", "exit", "1", "12.5%"],
        ["sandbox_error", "1", "12.5%"],
    ]
    assert [row["rewards"] is None for row in read(tmp_path / "o.jsonl")] == [True] + [False] * 7
    assert FakePool.ahead == list(range(1, 9)), "rows are read as they are needed"


def test_ids_have_short_forms_and_own_tests_go_first() -> None:
    problems = [Problem(id=id_, question="", tests=()) for id_ in ("MBPP/11", "HumanEval/0", "0001")]
    lookup = Lookup(problems)
    assert [lookup.by_id(id_).id for id_ in (11, "11", "MBPP/11", "HumanEval/0", "0001")] == [
        *("MBPP/11", "MBPP/11", "MBPP/11", "HumanEval/0", "0001")
    ]
    id_, own = lookup.of_row({"task_id": 11, "entry_point": "f", "test": "assert f(1)"})
    assert (id_, own.fn_name, own.tests) == ("11", "f", (UnitTest("assert f(1)", None),))
    other = lookup.of_row({"task_id": 11, "entry_point": "f", "test": "assert f(2)"})[1]
    assert own.id != other.id, "verdicts are remembered by a problem's id"
    assert lookup.of_row({"problem_id": 11, "task_id": "x", "entry_point": "f"}) == ("MBPP/11", problems[0])
    for asked, near in ((1, '"0001"'), ("MBPP/1", '"MBPP/11"'), ("HumanEval_0", '"HumanEval/0"')):
        with pytest.raises(ValueError, match=f"did you mean {near}"):
            lookup.by_id(asked)
    with pytest.raises(ValueError, match="no problem set was given"):
        Lookup().by_id("0001")


def test_a_short_name_of_two_problems_is_nobodys() -> None:
    problems = [Problem(id=id_, question="", tests=()) for id_ in ("x/1", "y/1", "x/2", "2", "x/3", "x/3")]
    lookup = Lookup(problems)
    with pytest.raises(ValueError, match='1 is short for several problems, "x/1" and "y/1" among them'):
        lookup.named({"problem_id": 1})
    assert [lookup.by_id(id_) for id_ in ("y/1", "2", "x/2", 3)] == [problems[at] for at in (1, 3, 2, 5)]


# Bad input


@pytest.mark.parametrize(
    ("programs", "output", "problems", "said"),
    [
        ("nope.jsonl", "o.jsonl", None, "no file at"),
        ("p.jsonl", "nope/o.jsonl", None, "no folder"),
        ("p.jsonl", "p.jsonl", None, "would be overwritten"),
        ("p.jsonl", ".", None, "is not a regular file"),
        ("p.jsonl", "/dev/null", None, "is not a regular file"),
        ("p.jsonl", "o.jsonl", "nope", "no such file or folder"),
        ("p.jsonl", "o.jsonl", "o.jsonl", "would be overwritten"),
        ("p.jsonl", "o.jsonl", ".", "would be overwritten"),
        ("p.jsonl", "o.jsonl", "p.jsonl", "line 1 is malformed"),
    ],
)
def test_bad_input_costs_nothing(
    tmp_path: Path, shown: io.StringIO, programs: str, output: str, problems: str | None, said: str
) -> None:
    write(tmp_path / "p.jsonl", {"code": "pass"})
    with pytest.raises(UserError, match=said):
        run(tmp_path / programs, tmp_path / output, tmp_path / problems if problems else None, shown)
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


def test_a_file_without_a_good_row_is_refused(tmp_path: Path, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label, "Pool", FakePool)
    write(tmp_path / "p.jsonl", "", {"code": "pass"})
    with pytest.raises(UserError, match="holds no program that can be judged"):
        run(tmp_path / "p.jsonl", tmp_path / "o.jsonl", None, shown)
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


def test_links_are_followed_and_sources_kept(tmp_path: Path, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label, "Pool", FakePool)
    programs = write(tmp_path / "o.jsonl.partial", {"problem_id": "0001", "code": "pass"})
    problems, link = problem_set(tmp_path), tmp_path / "link"
    before = programs.read_bytes()
    for target in (programs, problems / "0001" / "solutions.json", tmp_path / "o.jsonl"):  # the last grows where the programs are
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with pytest.raises(UserError, match="would be overwritten"):
            run(programs, link, problems, shown)
    link.unlink()
    link.symlink_to(tmp_path / "real.jsonl")
    run(programs, link, problems, shown)
    assert link.is_symlink()
    assert [row["outcome"] for row in read(tmp_path / "real.jsonl")] == ["pass"]
    assert programs.read_bytes() == before


def test_a_dash_and_a_broken_gzip_file_are_refused(tmp_path: Path, shown: io.StringIO) -> None:
    programs = write(tmp_path / "p.jsonl.gz", {"code": "pass"})
    with pytest.raises(UserError, match="- is not a regular file"):
        run(programs, Path("-"), None, shown)
    with pytest.raises(UserError, match="cannot be read: Not a gzipped file"):
        run(programs, tmp_path / "o.jsonl", None, shown)
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl.gz"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        *(({"cpu_seconds": bad}, "cpu_seconds=") for bad in (math.nan, math.inf, 0, -1)),
        ({"memory_mb": 63}, "memory_mb=63 is too little"),
        ({"cores": 0}, "cores=0 is not valid"),
        ({"cores": len(os.sched_getaffinity(0)) + 1}, "CPUs here"),
        ({"cpu_second": 1}, "Did you mean cpu_seconds?"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        executors_config("strict", **settings)


@pytest.mark.parametrize("option", ["--cpu-seconds=nan", "--cpu-seconds=inf", "--memory-mb=1", "--cores=9999"])
def test_a_bad_option_ends_in_one_line(tmp_path: Path, option: str) -> None:
    programs = write(tmp_path / "p.jsonl", {"code": "pass"})
    done = rltf("label", f"--programs={programs}", f"--output={tmp_path / 'o.jsonl'}", option)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr)
