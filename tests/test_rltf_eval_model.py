"""`rltf eval RECIPE --model` with every real part, killed and resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.evaluation import read_evaluation
from contracts.recipe import load_recipe
from models.tiny import build_model, train_tokenizer
from problems.sets import load_problem_set
from rltf.evaluate import plan
from tests.small_run import ROOT, SMALL

pytestmark = pytest.mark.slow
SETTINGS = (*SMALL, "problems.primer.heldout=40", "eval.samples=8", "eval.k=[1,5]", "eval.temperatures=[1.0]")


@pytest.mark.slow
def test_killed_and_resumed_it_repeats_no_sample_and_loses_none(tmp_path: Path) -> None:
    recipe = load_recipe(ROOT / "recipes" / "local.yaml", SETTINGS)
    problems = load_problem_set(recipe.problems, tmp_path, recipe.seed)
    tokenizer = train_tokenizer((p.question for p in problems.train), recipe.model.vocab_size, recipe.context)
    build_model(recipe.model, tokenizer).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    folder = tmp_path / "runs" / "small-eval"
    samples = folder / "samples.jsonl"
    words = ("eval", "recipes/local.yaml", *SETTINGS, f"output={tmp_path / 'runs'}", "--model", str(tmp_path / "model"))
    command = [sys.executable, "-m", "rltf.cli", *words]

    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not (samples.exists() and samples.stat().st_size):
        assert killed.poll() is None, "it ended without a sample"
        with pytest.raises(subprocess.TimeoutExpired):
            killed.wait(timeout=0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    left = samples.read_bytes()
    done = subprocess.run([*command, "--resume"], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    whole = samples.read_bytes()
    assert whole.splitlines()[:8] == left.splitlines()[:8], "the first batch, greedy, stays as it was"
    rows = [json.loads(line) for line in whole.splitlines()]
    planned = [key for batch in plan(problems.heldout, recipe) for key in batch.keys]
    assert [(row["setting"], row["problem_id"], row["index"], row["problem_digest"]) for row in rows] == planned
    assert len(planned) == 40 * (1 + 8)
    assert all(row["text"].startswith(row["code"]) and row["tokens"] > 0 and row["prompt_tokens"] > 0 for row in rows)
    assert all(row["visible"] is not None for row in rows), "primer has hidden tests"
    summary = read_evaluation(folder / "summary.json")
    assert (summary.status, summary.main, summary.problems, summary.programs) == ("done", "T=1.0", 40, 320)
    assert set(summary.pass_at_k) == set(summary.intervals) == {"1", "5"}
    assert list(summary.evaluations) == ["greedy", "T=1.0"]
    assert summary.model == str(tmp_path / "model") == load_recipe(folder / "config.yaml").model.path
    assert "40 problems, judged by hidden tests" in done.stdout
