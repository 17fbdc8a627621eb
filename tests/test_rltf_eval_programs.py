"""`rltf eval --problems --programs`, and what `rltf eval` makes of its arguments."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from contracts.errors import UserError
from contracts.evaluation import EvaluationSummary, read_evaluation
from contracts.recipe import load_recipe
from contracts.records import Problem, Verdict
from contracts.records import Test as UnitTest
from executors.pool import Job, Pool
from problems.apps import write_folder
from rltf import cli, eval_programs
from rltf.eval_programs import evaluate_programs
from rltf.judged import digest_of
from rltf.judging import executors_config
from rltf.recording import begin_folder
from tests.cli import RECIPE, ROOT, begun, rltf, snapshot

ECHO = tuple(UnitTest(f"{n}\n", f"{n}\n") for n in range(2))
PROBLEMS = [
    Problem(id="0001", question="", tests=ECHO, hidden_tests=(UnitTest("x\n", "x\n"),), difficulty="interview"),
    Problem(id="0002", question="", fn_name="f", tests=(UnitTest([1], 2),), difficulty="introductory"),
    Problem(id="0003", question="", tests=ECHO, difficulty="introductory"),
]
ROWS: list[Any] = [
    {"problem_id": "0001", "code": "print(input())"},
    {"task_id": "0001", "code": "print(int(input()))"},
    {"problem_id": "0001", "code": "print(input("},
    {"problem_id": "0002", "code": "def f(x):\n    return x + one", "test": "ignored", "entry_point": "f"},
    {"problem_id": "0002", "code": "def f(x):\n    return x + 1"},
    {"problem_id": "nope", "code": ""},
    {"code": "print(1)"},
]


def problem_set(tmp_path: Path) -> Path:
    write_folder(tmp_path / "problems", PROBLEMS)
    return tmp_path / "problems"


def written(tmp_path: Path, rows: list[Any]) -> Path:
    path = tmp_path / "programs.jsonl.gz"
    path.write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode()))
    return path


def refused_at_once(*arguments: str) -> str:
    """What the command ends with on stderr."""
    done = CliRunner().invoke(cli.main, ["eval", *arguments])
    assert done.exit_code == 2, done.output
    assert re.search(r"^error: [^\n]+\n\Z", done.stderr, re.MULTILINE), done.stderr
    return done.stderr


def test_programs_from_a_file(tmp_path: Path) -> None:
    problems, programs, folder = problem_set(tmp_path), written(tmp_path, ROWS), tmp_path / "d"
    done = rltf("eval", f"--problems={problems}", f"--programs={programs}", "--k=1,2,5", f"--output={folder}", "--cores=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "line 6: no problem 'nope'\nline 7: it has no problem_id\n"
    summary = json.loads((folder / "summary.json").read_bytes())
    assert summary["pass_at_k"] == pytest.approx({"1": (1 / 3 + 1 / 2) / 2, "2": (2 / 3 + 1) / 2})
    assert (summary["problems"], summary["programs"], summary["problems_without_programs"]) == (2, 5, 1)
    assert summary["outcomes"] == {"pass": 2, "failure": 0, "runtime_error": 2, "syntax_error": 1, "sandbox_error": 0}
    assert summary["errors"] == {"NameError": 1, "SyntaxError": 1, "ValueError": 1}
    assert {name: (part["problems"], part["programs"]) for name, part in summary["by_difficulty"].items()} == {
        "introductory": (1, 2),
        "interview": (1, 3),
    }
    assert summary["judged_by"] == "hidden and visible tests"
    assert summary["gap"] == {"programs": 3, "visible": 2 / 3, "both": 1 / 3, "overfit": 1}
    assert summary["notes"] == [
        f"2 of 7 lines of {programs} could not be used",
        "pass@5 is left out: 2 of 2 problems have fewer than 5 programs",
        "1 of 3 problems have no program: no figure is about them",
    ]
    assert all(note in " ".join(done.stdout.split()) for note in summary["notes"])
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert [(row["problem_id"], row["index"], row["outcome"], row["visible"]) for row in rows] == [
        ("0001", 0, "pass", True),
        ("0001", 1, "runtime_error", True),
        ("0001", 2, "syntax_error", False),
        ("0002", 0, "runtime_error", None),
        ("0002", 1, "pass", None),
    ]
    assert rows[3]["code"] == ROWS[3]["code"]
    assert ROWS[3]["code"][rows[3]["span"]["start_char"] : rows[3]["span"]["end_char"]].strip() == "return x + one"
    assert {row["setting"] for row in rows} == {"programs"}


def test_one_problem_alone_and_a_second_evaluation_of_it(tmp_path: Path) -> None:
    problems, folder = problem_set(tmp_path), tmp_path / "d"
    for code in ("print(1)", "print(input())"):
        programs = written(tmp_path, [{"problem_id": "0003", "code": code}])
        evaluate_programs(problems, programs, folder, (1,), executors_config("strict", 1), Console(quiet=True))
    assert read_evaluation(folder / "summary.json").pass_at_k == {"1": 1.0}
    assert read_evaluation(tmp_path / "d~previous" / "summary.json").pass_at_k == {"1": 0.0}


def test_an_interrupted_evaluation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval_programs, "_BATCH", 2)
    problems, programs, folder = problem_set(tmp_path), written(tmp_path, ROWS), tmp_path / "d"

    def evaluate(ks: tuple[int, ...] = (1,), *, resume: bool = True) -> EvaluationSummary:
        return evaluate_programs(
            problems, programs, folder, ks, executors_config("strict", 1), Console(quiet=True), resume=resume
        )

    whole = evaluate(resume=False)
    lines = (folder / "samples.jsonl").read_bytes()
    (folder / "samples.jsonl").write_bytes(b"\n".join(lines.split(b"\n")[:3]))
    judged: list[str] = []
    really = Pool._run

    def run(pool: Pool, job: Job) -> Verdict:
        judged.append(job.text)
        return really(pool, job)

    monkeypatch.setattr(Pool, "_run", run)
    assert evaluate() == whole
    assert (folder / "samples.jsonl").read_bytes() == lines
    assert judged == [ROWS[2]["code"], ROWS[2]["code"], ROWS[3]["code"], ROWS[4]["code"]], (
        "by both kinds of test, where there are"
    )
    assert evaluate() == whole, "nothing is left to do"
    assert len(judged) == 4
    with pytest.raises(UserError, match=r"was started with other values: k=\[2\] \(was \[1\]\)"):
        evaluate((2,))
    written(tmp_path, [{"problem_id": "0001", "code": "print(1)"}, *ROWS[1:]])
    with pytest.raises(UserError, match="of other programs than those in the file"):
        evaluate()
    written(tmp_path, ROWS)
    (tmp_path / "problems" / "0001" / "question.txt").write_text("another")
    with pytest.raises(UserError, match="of other problems"):
        evaluate()
    assert (folder / "samples.jsonl").read_bytes() == lines
    folder = tmp_path / "other"
    with pytest.raises(UserError, match="there is no evaluation to resume"):
        evaluate()


def test_digests_tell_problems_apart_by_what_is_asked_and_what_decides() -> None:
    odd = msgspec.structs.replace(PROBLEMS[1], question="\ud800", tests=(UnitTest([2**70, {"a": 1.5}], None),))
    digests = [digest_of(problem) for problem in (*PROBLEMS, odd)]
    assert len(set(digests)) == 4
    same = msgspec.structs.replace(PROBLEMS[0], id="x", tests=(), difficulty="", solutions=("pass",))
    other = msgspec.structs.replace(PROBLEMS[0], hidden_tests=ECHO)
    assert digest_of(same) == digests[0], "hidden tests decide"
    assert digest_of(other) == digests[2], "the same statement and tests"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"programs": "nowhere.jsonl"}, "no file at nowhere.jsonl"),
        ({"problems": "nowhere"}, "no such file or folder: nowhere"),
        ({"output": "HERE/here"}, "holds something else than an evaluation"),
        ({"output": "HERE/problems/d"}, "is where what is to be read is"),
        ({"programs": "HERE/d~previous/samples.jsonl"}, "d~previous makes way for what is to be written. Choose another"),
        ({"problems": "HERE/d~previous/p"}, "d~previous makes way for what is to be written"),
        ({"k": "1,0"}, "--k 1,0 is no list of whole numbers above 0. Write --k 1,5"),
        ({"k": "five"}, "--k five is no list"),
    ],
)
def test_bad_input_costs_nothing(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    problem_set(tmp_path)
    (tmp_path / "d~previous").mkdir()
    (tmp_path / "d~previous" / "samples.jsonl").write_text('{"problem_id": "0003", "code": ""}\n')
    write_folder(tmp_path / "d~previous" / "p", PROBLEMS)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine").write_text("")
    asked = {"problems": "HERE/problems", "programs": str(written(tmp_path, [])), "output": "HERE/d", "k": "1", **changes}
    before = snapshot(tmp_path)
    done = refused_at_once(*(f"--{name}={value.replace('HERE', str(tmp_path))}" for name, value in asked.items()))
    assert said in done
    assert snapshot(tmp_path) == before


def test_a_file_without_a_usable_row_leaves_no_folder(tmp_path: Path) -> None:
    programs = written(tmp_path, ROWS[5:])
    line = refused_at_once(f"--problems={problem_set(tmp_path)}", f"--programs={programs}", f"--output={tmp_path / 'd'}")
    assert line.endswith(f'error: {programs} holds no program that can be judged. Write rows of {{"problem_id": …, "code": …}}\n')
    assert not (tmp_path / "d").exists()


# Which form is meant


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a part of the command is missing"),
        ((RECIPE,), "a part of the command is missing"),
        (("--problems=p", "--programs=f"), "a part of the command is missing"),
        ((RECIPE, "--model=m", "--programs=f"), "RECIPE is about a model, --programs about programs from a file"),
        ((RECIPE, "--model=m", "--k=1"), "--k about programs from a file"),
        ((RECIPE, "--model=m", "--compare=apps"), "eval.k=[1,5], executors.compare=apps"),
        (("--problems=p", "--programs=f", "--output=d", "--on=train"), "--on is about a model, --problems about programs"),
    ],
)
def test_half_a_form_and_two_at_once_are_refused(arguments: tuple[str, ...], said: str) -> None:
    line = refused_at_once(*arguments)
    assert said in line
    assert "rltf eval RECIPE --model FOLDER`, or `rltf eval --problems P --programs F --output D`" in line


def test_a_model_is_evaluated_beside_its_runs(tmp_path: Path) -> None:
    begun(tmp_path)
    recipe = str(ROOT / RECIPE)
    asked = (recipe, "--model=m", f"output={tmp_path}")
    assert f"there is no evaluation to resume in {tmp_path / 'local-eval'}" in refused_at_once(*asked, "--resume")
    (tmp_path / "local-eval").mkdir()
    (tmp_path / "local-eval" / "mine").write_text("")
    assert "local-eval is there and holds something else than an evaluation" in refused_at_once(*asked)
    assert "local is there and holds something else" in refused_at_once(*asked, f"--output={tmp_path / 'local'}"), "a run"
    (tmp_path / "d~previous" / "model").mkdir(parents=True)
    model = f"--model={tmp_path / 'd~previous' / 'model'}"
    assert "d~previous makes way" in refused_at_once(recipe, model, f"output={tmp_path}", f"--output={tmp_path / 'd'}")
    begin_folder(tmp_path / "d", load_recipe(Path(recipe), (f"output={tmp_path}", "model.path=m")))
    others = refused_at_once(*asked, f"--output={tmp_path / 'd'}", "--resume", "eval.samples=9")
    assert "was started with other values: eval.samples=9 (was 8)" in others
    another = refused_at_once(recipe, "--model=n", f"output={tmp_path}", f"--output={tmp_path / 'd'}", "--resume")
    assert "model.path=n (was m)" in another
