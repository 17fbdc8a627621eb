"""`rltf eval RECIPE --model` without a model: which problems it asks about, and what it says of them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
from rich.console import Console

from contracts.counts import Counts
from contracts.evaluation import Sample, decode_sample, read_evaluation
from contracts.recipe import parse_recipe
from contracts.records import Problem, Test
from problems.sets import ProblemSet
from rltf import standalone
from rltf.evaluate import Batch
from tests.fake_evaluation import sample


def evaluated(_: object, batches: Sequence[Batch]) -> Iterator[tuple[list[Sample], Counts]]:
    """Every program passes."""
    for batch in batches:
        yield [sample(key, i, setting=how, problem_digest=of) for how, key, i, of in batch.keys], {}


@pytest.mark.parametrize(("on", "chosen"), [("heldout", ["b", "d"]), ("train", ["0", "3", "7"])])
def test_problems_that_were_drawn_from_more_are_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: standalone.On, chosen: list[str]
) -> None:
    train, heldout = ([Problem(id=id_, question="", tests=(Test("", ""),)) for id_ in ids] for ids in ("01234567", "abcd"))
    monkeypatch.setattr(standalone, "load_problem_set", lambda *_: ProblemSet(train, heldout, 0))
    monkeypatch.setattr(standalone, "check_model_path", lambda *_: None)
    monkeypatch.setattr(standalone, "connected", lambda _: nullcontext())
    monkeypatch.setattr(standalone, "reserve", lambda *_: {})
    monkeypatch.setattr(standalone, "Cluster", lambda *_, **__: None)
    monkeypatch.setattr(standalone, "evaluate", evaluated)
    recipe = parse_recipe({"name": "r", "eval": {"max_problems": len(chosen), "samples": 2, "k": [1]}})
    told = io.StringIO()
    standalone.evaluate_model(recipe, "m", on, tmp_path / "e", Console(file=told, width=110), resume=False)
    of = len(train if on == "train" else heldout)
    summary = read_evaluation(tmp_path / "e" / "summary.json")
    assert (summary.problems, summary.notes) == (len(chosen), [f"{len(chosen)} of {of} problems, drawn by seed 0"])
    assert f"\n{len(chosen)} of {of} problems, drawn by seed 0\n" in told.getvalue()
    samples = map(decode_sample, (tmp_path / "e" / "samples.jsonl").read_bytes().splitlines())
    assert list(dict.fromkeys(one.problem_id for one in samples)) == chosen
