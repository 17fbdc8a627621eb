"""Each family through the whole real loop: problems, samplers, executors, buffer, learner, weight sync, evaluation, export."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from actors.sampler import Sampler
from contracts.sections import PromptConfig, SamplingConfig
from models.load import load_model, load_tokenizer
from tests.small_run import losses, run
from tests.tiny_models import FAMILIES, problem, save_family

TINY = (
    "steps=2",
    "control=false",
    "warmup.steps=0",
    "problems.primer.train=12",
    "problems.primer.heldout=2",
    "prompt.max_tokens=160",
    "sampling.max_new_tokens=96",
    "sampling.problems_per_batch=2",
    "learner.batch_samples=4",
    "learner.optimizer.lr=0.02",
    "eval.samples=1",
    "eval.k=[1]",
    "eval.temperatures=[1.0]",
    "checkpoint.every=0",
    "monitor.examples=0",
)
CHAT = ("prompt.chat=true", "prompt.answer=fence", 'sampling.stop=["\\n#"]')


def written(folder: Path) -> list[str]:
    """What a model folder's model writes, with the same draws each time."""
    how = SamplingConfig(samples_per_problem=2, max_new_tokens=16)
    sampler = Sampler(load_model(str(folder)), load_tokenizer(str(folder)), how, PromptConfig(template="{question}\n"))
    (group,) = sampler.sample([problem()], batch=0, version=0, seed="s", greedy=True)
    return [program.text for program in group.programs]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_trains_end_to_end(family: str, tmp_path: Path) -> None:
    start, final = tmp_path / "start", tmp_path / "runs" / "small" / "checkpoints" / "final"
    save_family(family, start)
    summary = run(tmp_path / "runs", *TINY, f"model.path={start}", *(CHAT if family == "qwen2" else ()))
    assert summary.status == "done"
    assert summary.steps == 2
    assert summary.samples_trained == 8
    assert summary.start is not None
    assert summary.final is not None
    terms = losses(tmp_path / "runs")
    assert [sorted(each) for each in terms] == [sorted(terms[0])] * 2
    assert all(math.isfinite(value) for each in terms for value in each.values())
    assert terms[0]["sl"] > 0
    before, after = load_model(str(start)).state_dict(), load_model(str(final)).state_dict()
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.isfinite(after[name]).all()] == []
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(moved) > 0.8 * len(before), "buffers and unused biases may stay"
    assert written(final) != written(start)
    assert load_tokenizer(str(final)).get_vocab() == load_tokenizer(str(start)).get_vocab()
