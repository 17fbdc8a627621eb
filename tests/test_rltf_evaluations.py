"""A run's evaluations: whenever they are killed, what is resumed ends with the figures of one that was not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from contracts import metrics as m
from contracts.counts import Counts, number_of, numbers_of
from contracts.evaluation import Sample, decode_sample, read_evaluation
from contracts.metrics import Value
from contracts.recipe import parse_recipe
from contracts.records import Problem, Test
from contracts.sections import MonitorConfig
from rltf import evaluations as room
from rltf.counted import FILE
from rltf.course import Course
from rltf.evaluate import Batch
from rltf.evaluations import Evaluations, count_again
from rltf.monitor import Monitor, read_metrics
from rltf.progress import Progress
from rltf.pulse import Pulse
from rltf.record import Record
from rltf.runs import RunFolder, State
from tests.fake_evaluation import sample

PROBLEMS = [Problem(id=key, question="", tests=(Test("", ""),), difficulty="easy") for key in "abcd"]
SETTINGS = {
    "sampling": {"problems_per_batch": 1, "samples_per_problem": 2},
    "eval": {"samples": 2, "k": [1], "temperatures": [1.0]},
    "objective": {"baseline": "group"},
}
BATCHES = 2 + 4
"""Greedily two problems at once, at T=1.0 one."""
PROGRAMS = len(PROBLEMS) * (1 + 2)


class Killed(BaseException):
    """The process ends here."""


class Life:
    """A run's process from its begin, or from its resumption, to its end or to where it is killed."""

    def __init__(
        self, output: Path, monkeypatch: pytest.MonkeyPatch, *, resume: bool, batches: int = BATCHES, most: int = 1000
    ) -> None:
        """It is killed when it has made so many `batches`; `most`: eval.max_problems."""
        recipe = parse_recipe({"name": "r", "output": str(output), **SETTINGS})
        recipe = recipe.model_copy(update={"eval": recipe.eval.model_copy(update={"max_problems": most})})
        self.folder = RunFolder(recipe.folder)
        self.state = self.folder.state() if resume else State(run="r")
        self.folder.path.mkdir(exist_ok=True)
        count_again(self.folder, self.state.totals)
        self.before = self.state.totals.values()
        self.posted: list[Mapping[str, Value]] = []
        self.published: list[int] = []
        self.monitor = Monitor("r", self.folder.path, MonitorConfig(prometheus_port=0))
        monkeypatch.setattr(self.monitor, "post", self.posted.append)
        monkeypatch.setattr(room, "ray", SimpleNamespace(get=lambda _: None))
        monkeypatch.setattr(room, "evaluate", self._evaluate)
        self.record = Record(recipe, self.folder, self.state, resume=resume)
        self.told = io.StringIO()
        progress = Progress(Console(file=self.told, width=110))
        pulse = Pulse(self.posted.append, self.folder.path, clock=iter(range(10**6)).__next__, time_of_day=lambda: 7.0)
        course = Course(progress, self.record, self.monitor, pulse)
        self._evaluations = Evaluations(recipe, self.folder, self.state.totals, course)
        self._batches = batches

    def make(self) -> None:
        """Evaluate the start."""
        cluster: Any = SimpleNamespace(start_learner=lambda *_: None, publish=self.published.append)
        try:
            self._evaluations.make("start", "model", cluster, PROBLEMS)
        finally:
            self.monitor.close()

    def _evaluate(self, _: object, batches: Sequence[Batch]) -> Iterator[tuple[list[Sample], Counts]]:
        for number, batch in enumerate(batches):
            if number == self._batches:
                raise Killed
            keys = batch.keys
            samples = [sample(key, i, setting=how, problem_digest=of, passed=1, total=1) for how, key, i, of in keys]
            yield samples, {m.JUDGED.name: len(keys), m.SAMPLED_TOKENS.name: {"heldout": 5 * len(keys)}}


def _whole(life: Life) -> None:
    """It has ended as an evaluation ends that was made in one life."""
    (row,) = [row for row in read_metrics(life.folder.path) if row["stage"] == "evaluate start"]
    assert row[m.PROGRAMS.name] == {"heldout|easy|pass": PROGRAMS}
    assert (row[m.JUDGED.name], row[m.SAMPLED_TOKENS.name]) == (PROGRAMS, {"heldout": 5 * PROGRAMS})
    assert row[m.EVAL_PASS.name] == {"start|T=1.0|1": 1.0, "start|greedy|1": 1.0}
    assert numbers_of(life.state.totals.values(), m.PROGRAMS) == {"heldout|easy|pass": PROGRAMS}
    result = life.record.result("start")
    assert result is not None
    assert result.pass_at_1 == 1.0


def test_an_evaluation_that_nobody_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(tmp_path, monkeypatch, resume=False)
    life.make()
    _whole(life)
    assert life.published == [0]
    progress = [values for values in life.posted if m.LAST_PROGRESS.name in values]
    assert len(progress) == 1 + BATCHES, "at its begin, and with each batch"
    assert life.posted[0] == {m.STAGE.name: {"evaluate start": 1.0}, m.LAST_PROGRESS.name: 7.0}
    judged = [number_of(values, m.JUDGED) for values in life.posted if m.DISK_FREE.name in values]
    assert judged == [2, 4, 6, 8, 10, 12]


def test_problems_that_were_drawn_from_more_are_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(tmp_path, monkeypatch, resume=False, most=2)
    life.make()
    summary = read_evaluation(life.folder.evaluations / "start" / "summary.json")
    assert (summary.problems, summary.notes) == (2, ["2 of 4 problems, drawn by seed 0"])
    assert "start: held-out pass@1 1.000, 2 of 4 problems, drawn by seed 0\n" in life.told.getvalue()
    samples = map(decode_sample, (life.folder.evaluations / "start" / "samples.jsonl").read_bytes().splitlines())
    assert sorted({one.problem_id for one in samples}) == ["b", "d"]


@pytest.mark.parametrize("batches", range(BATCHES))
def test_one_that_is_killed_between_batches_is_counted_once_and_wholly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    first = Life(tmp_path, monkeypatch, resume=False, batches=batches)
    first.folder.save(first.state)  # before anything was evaluated: no later save is needed
    with pytest.raises(Killed):
        first.make()
    second = Life(tmp_path, monkeypatch, resume=True)
    assert number_of(second.before, m.JUDGED) == 2 * batches, "what was counted is known before anything is posted"
    second.make()
    _whole(second)
    assert len([values for values in second.posted if m.LAST_PROGRESS.name in values]) == 1 + BATCHES - batches


def test_a_batch_that_was_counted_and_not_written_is_not_counted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Life(tmp_path, monkeypatch, resume=False, batches=3)
    first.folder.save(first.state)
    with pytest.raises(Killed):
        first.make()
    path = first.folder.evaluations / "start" / FILE
    path.write_bytes(path.read_bytes() + json.dumps({m.JUDGED.name: 2}).encode() + b"\n")
    second = Life(tmp_path, monkeypatch, resume=True)
    second.make()
    _whole(second)


def _killed(*_: object) -> None:
    raise Killed


AT_THE_END: dict[str, tuple[type, str]] = {"before its result": (Record, "evaluated"), "before its row": (Monitor, "record")}


@pytest.mark.parametrize("where", AT_THE_END.values(), ids=list(AT_THE_END))
def test_one_that_is_killed_at_its_end_gets_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[type, str]
) -> None:
    first = Life(tmp_path, monkeypatch, resume=False)
    with monkeypatch.context() as patch:
        patch.setattr(*where, _killed)
        with pytest.raises(Killed):
            first.make()
    first.folder.save(first.state)
    second = Life(tmp_path, monkeypatch, resume=True, batches=0)
    second.make()
    _whole(second)
    assert second.published == [], "the model is not needed again"


def test_one_that_is_done_is_shown_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Life(tmp_path, monkeypatch, resume=False)
    first.make()
    first.folder.save(first.state)
    stop: Callable[..., None] = pytest.fail
    second = Life(tmp_path, monkeypatch, resume=True)
    monkeypatch.setattr(room, "Recording", stop)
    second.make()
    (posted,) = second.posted
    assert numbers_of(posted, m.EVAL_PASS) == {"start|T=1.0|1": 1.0, "start|greedy|1": 1.0}
    assert not {"time", "stage"} & posted.keys()
    assert len(read_metrics(second.folder.path)) == 1
    _whole(second)
