"""What summary.json says of the online steps and of the problems, and the closing table's title."""

from __future__ import annotations

from pathlib import Path

import msgspec
from fake_run import result

from contracts.recipe import parse_recipe
from contracts.summary import read_summary
from problems.sets import ProblemSet
from rltf.record import Record, results_table
from rltf.runs import RunFolder, State

ROWS = """\
{"time": 1.0, "stage": "control", "step": 1}
{"time": 2.0, "stage": "online", "step": 1, "step_seconds": 4.0}
{"time": 3.0, "stage": "online", "step": 2, "step_seconds": 2.0}
{"time": 4.0, "stage": "online", "step": 3, "step_seconds": 9"""


def test_the_median_is_over_all_lives_and_their_rows_are_read_once(tmp_path: Path) -> None:
    recipe = parse_recipe({"name": "r", "output": str(tmp_path)})
    folder, metrics = RunFolder(recipe.folder), recipe.folder / "metrics.jsonl"
    metrics.parent.mkdir()
    metrics.write_text(ROWS)
    state = State(run="r", step=2)
    record = Record(recipe, folder, state, resume=True)
    found = [read_summary(recipe.folder / "summary.json").step_seconds]
    metrics.unlink()
    for seconds in (1.0, 1.5, 1.25):
        record.stepped(seconds)
        record.progressed(3, state.totals)
        found.append(read_summary(recipe.folder / "summary.json").step_seconds)
    assert found == [3.0, 2.0, 1.75, 1.5]


def test_before_the_first_step_there_is_no_median(tmp_path: Path) -> None:
    recipe = parse_recipe({"name": "r", "output": str(tmp_path)})
    recipe.folder.mkdir()
    Record(recipe, RunFolder(recipe.folder), State(run="r"), resume=False)
    assert read_summary(recipe.folder / "summary.json").step_seconds is None


def test_problems_left_out_are_counted_by_reason(tmp_path: Path) -> None:
    recipe = parse_recipe({"name": "r", "output": str(tmp_path)})
    recipe.folder.mkdir()
    record = Record(recipe, RunFolder(recipe.folder), State(run="r"), resume=False)
    record.problems(ProblemSet([], [], dropped_without_tests=1, dropped_by_check=2))
    found = read_summary(recipe.folder / "summary.json").problems
    assert (found["dropped_without_tests"], found["dropped_by_check"]) == (1, 2)


def test_the_closing_table_says_how_many_problems_it_is_of() -> None:
    one = msgspec.structs.replace(result(0.5, 0.5), problems=1)
    titles = [results_table({"start": found})[0] for found in (one, result(0.5, 0.5))]
    assert [title.split(",")[0] for title in titles] == ["pass@1 on 1 held-out problem", "pass@1 on 150 held-out problems"]
