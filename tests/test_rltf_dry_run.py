"""`rltf train --dry-run`: every recipe is reckoned and prepared; some are run through the whole loop (`make dry-runs`: all)."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from transformers import LlamaConfig

from contracts.config import Recipe
from contracts.errors import RunError, UserError
from contracts.recipe import load_recipe
from models.tiny import build_model, train_tokenizer
from problems.sets import ProblemSet
from rltf import dry_run
from rltf.cli import main
from rltf.dry_run import Plan, prepare, two_steps
from rltf.dry_run import dry_run as try_out
from rltf.fitting import full_run
from rltf.monitor import Monitor
from rltf.progress import Progress
from rltf.reduced import find_base, local_folder, precision_here, shortest, small_recipe, write_model
from rltf.runs import check_run
from rltf.train import Run

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if not path.name.startswith("ablation-"))
PUBLISHED = [path for path in RECIPES if path.name.startswith(("apps-", "mbpp-zero"))]
NO_DATA = ("problems.path=nowhere/train", "problems.heldout_path=null", "problems.split=null", "problems.heldout_split=null")


@pytest.fixture(autouse=True)
def without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path for temporary files: Ray's sockets must fit into it."""
    with tempfile.TemporaryDirectory(prefix="t") as name:
        monkeypatch.setenv("TMPDIR", name)
        yield Path(name)


def prepared(recipe: Recipe) -> tuple[Plan, str]:
    """The plan, and what was printed."""
    console = Console(file=StringIO(), width=110)
    with Progress(console) as progress:
        plan = prepare(recipe, progress)
    assert isinstance(console.file, StringIO)
    return plan, console.file.getvalue()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_fits_the_machines_that_it_names(path: Path) -> None:
    plan, said = prepared(load_recipe(path))
    assert "in all on its GPU" in said
    assert "NOT" not in said
    assert 2 <= len(plan.problems.train) <= 4
    assert plan.problems.heldout


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_the_trial_keeps_what_decides_whether_the_parts_fit_together(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path, NO_DATA)
    plan, _ = prepared(recipe)
    assert plan.base is not None
    tokenizer = write_model(plan.base, plan.problems, tmp_path / "model", seed=0)
    small = small_recipe(recipe, plan.problems, tmp_path / "model", tokenizer, tmp_path)
    assert (small.steps, small.samples_per_step, small.learner.ranks, small.actors.count) == (2, 4, 1, 1)
    assert small.objective.kind == recipe.objective.kind
    assert small.model.lora == recipe.model.lora
    assert small.deepspeed.model_dump(exclude={"precision"}) == recipe.deepspeed.model_dump(exclude={"precision"})
    assert small.sampling.top_p == recipe.sampling.top_p
    written = local_folder(str(tmp_path / "model"))
    found = find_base(small)
    assert found is not None
    assert written == tmp_path / "model" == found.folder
    assert found.config.hidden_size == plan.base.config.hidden_size
    assert found.config.num_attention_heads == plan.base.config.num_attention_heads
    assert found.config.num_hidden_layers == 1 < plan.base.config.num_hidden_layers


def test_missing_weights_and_data_are_said_in_a_line_each() -> None:
    plan, said = prepared(load_recipe(ROOT / "recipes" / "apps-codet5-770m.yaml", NO_DATA))
    assert "Where there is a network: hf download Salesforce/codet5-large-ntp-py" in said.replace("\n", " ")
    assert "problems.path=nowhere/train not on this machine: docs/problems.md says how to get it" in said
    assert len(plan.notes) == 3 - (precision_here(load_recipe(PUBLISHED[0])) == "fp16")
    assert plan.heldout is None


def test_what_was_not_tried_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rltf.dry_run.two_steps", lambda *_: [])
    console = Console(file=StringIO(), width=200)
    try_out(load_recipe(ROOT / "recipes" / "local.yaml", ("problems.path=mine.josnl",)), console)
    assert isinstance(console.file, StringIO)
    *_, note, done = console.file.getvalue().splitlines()
    assert note == "not tried: problems.path=mine.josnl: not on this machine, and the run itself would end there"
    assert done.startswith("two steps through the whole loop: done")


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_real_run_without_its_data_ends_in_a_line_that_says_how_to_get_it(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^problems\.path=nowhere/train: no such file.*docs/problems\.md says how to get APPS"):
        check_run(load_recipe(path, (*NO_DATA, f"output={tmp_path}")), resume=False)
    assert not list(tmp_path.iterdir())


def test_data_that_is_there_is_counted_and_its_shortest_problems_are_taken(tmp_path: Path) -> None:
    rows = [
        f'{{"id": "{n}", "question": "{"x" * n}", "tests": [{{"input": "", "expected": ""}}], "solutions": ["print()"], '
        f'"difficulty": "{"easy" if n % 2 else "hard"}"}}'
        for n in range(20, 50)
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(rows), encoding="utf-8")
    recipe = load_recipe(ROOT / "recipes" / "own-problems.yaml", (f"problems.path={tmp_path}/own.jsonl",))
    plan, said = prepared(recipe)
    assert re.search(r"27 problems to train on \(1\d (easy|hard), 1\d (easy|hard)\), 3 held out", said)
    assert plan.heldout == 3
    assert max(len(problem.question) for problem in plan.problems.train) < 28


def test_malformed_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"id": 7}', encoding="utf-8")
    with pytest.raises(UserError, match=r"own\.jsonl, line 1 is malformed"):
        prepared(load_recipe(ROOT / "recipes" / "own-problems.yaml", (f"problems.path={tmp_path}/own.jsonl",)))


def test_a_model_that_is_neither_there_nor_described_is_named() -> None:
    with pytest.raises(UserError, match=r"hf download a/b.*model\.architecture"):
        prepared(load_recipe(ROOT / "recipes" / "own-problems.yaml", ("model.path=a/b",)))
    with pytest.raises(UserError, match=r"model\.architecture describes no model"):
        prepared(
            load_recipe(ROOT / "recipes" / "own-problems.yaml", ("model.path=a/b", "model.architecture={model_type: abacus}"))
        )


def test_a_context_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(UserError, match="= 2512 exceed the model's context of 2048"):
        prepared(load_recipe(ROOT / "recipes" / "apps-codegen-2.7b.yaml", ("prompt.max_tokens=2000",)))


def test_a_model_folder_is_taken_before_the_description(tmp_path: Path) -> None:
    recipe = load_recipe(ROOT / "recipes" / "local.yaml", ("model.width=32", "model.layers=2"))
    tokenizer = train_tokenizer(["print(1)"], 300, 100)
    build_model(recipe.model, tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    described = recipe.model.model_copy(update={"path": str(tmp_path), "architecture": {"model_type": "gpt2"}})
    base = find_base(recipe.model_copy(update={"model": described}))
    assert base is not None
    assert isinstance(base.config, LlamaConfig)
    assert base.tokenizer is not None
    assert len(base.tokenizer) == len(tokenizer)


def test_what_does_not_fit_ends_with_2_and_a_remedy_before_anything_is_run() -> None:
    done = CliRunner().invoke(
        main, ["train", str(ROOT / "recipes" / "apps-codegen-2.7b.yaml"), "--dry-run", "hardware.gpu_memory_gb=12"]
    )
    assert done.exit_code == 2
    assert re.search(r"error: a learner rank needs about 1\d\.\d GB of GPU memory, the recipe gives it 12 GB .*Set", done.stderr)
    assert "does NOT fit" in done.stdout
    assert "two steps" not in done.stdout


def test_there_is_nothing_to_resume() -> None:
    done = CliRunner().invoke(main, ["train", "recipes/local.yaml", "--dry-run", "--resume"])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_losses_that_are_not_finite_fail(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    class Broken(Run):
        def execute(self) -> None:
            self._recipe.folder.mkdir(parents=True)
            with Monitor("trial", self._recipe.folder, self._recipe.monitor) as monitor:
                for loss in (1.0, math.nan):
                    monitor.record("online", {"loss": {"sl": loss}})

    monkeypatch.setattr(dry_run, "Run", Broken)
    recipe = load_recipe(ROOT / "recipes" / "local.yaml")
    plan, _ = prepared(recipe)
    with pytest.raises(RunError, match="losses are not finite"):
        two_steps(recipe, plan)
    assert not list(scratch.iterdir())


def test_the_full_run_is_counted() -> None:
    rows = dict(full_run(load_recipe(ROOT / "recipes" / "apps-codet5-770m.yaml"), heldout=5000))
    assert rows["GPUs"] == "16 of 32 GB: 8 x 1 to learn, 8 x 1 to sample"
    assert rows["CPU cores"] == str(8 * 4 + 8 + 2 * 16)
    assert rows["warm-start steps"] == "16,000 of 32 programs"
    assert rows["optimizer steps"] == "10,000 of 160 sampled and 160 corpus programs"
    assert rows["programs to sample"].startswith("1,680,000 to learn from or more")
    assert rows["programs to evaluate"] == "2 x 105,000 for 5,000 problems"
    assert rows["tokens at most"] == f"{(1_680_000 + 210_000) * 512:,}"
    zero_shot = dict(full_run(load_recipe(ROOT / "recipes" / "mbpp-zero-shot.yaml"), heldout=500))
    assert zero_shot["programs to evaluate"] == "1 x 50,500 for 500 problems"
    assert zero_shot["optimizer steps"].startswith("0 of")


def test_a_recipe_that_trains_nothing_says_so_by_its_steps() -> None:
    path = ROOT / "recipes" / "mbpp-zero-shot.yaml"
    assert load_recipe(path).steps == 0
    with pytest.raises(UserError, match=r"leaves nothing to train.* or steps=0 for an evaluation alone"):
        load_recipe(path, ("steps=5",))
    assert any("does not train online" in note for note in prepared(load_recipe(path))[0].notes)


def test_the_shortest_problems_with_a_prompt_and_a_program_come_first() -> None:
    recipe = load_recipe(ROOT / "recipes" / "local.yaml")
    plan, _ = prepared(recipe)
    bare = [type(p)(id=f"bare-{n}", question="", tests=p.tests) for n, p in enumerate(plan.problems.train)]
    chosen = shortest(ProblemSet([*bare, *plan.problems.train], plan.problems.heldout, 0), recipe.prompt)
    assert [problem.id for problem in chosen.train] == [problem.id for problem in plan.problems.train]
    continued, _ = prepared(load_recipe(ROOT / "recipes" / "humaneval-zero-shot.yaml"))
    assert all(problem.starter_code for problem in continued.problems.train), "the others' prompts would be empty"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["apps-codet5-770m", "apps-qwen2.5-coder-1.5b-lora"])
def test_a_dry_run_makes_two_steps_and_leaves_nothing(name: str, scratch: Path) -> None:
    """An encoder–decoder and a decoder with adapters, by the command line, with every real part."""
    done = real_dry_run(name, scratch)
    assert len(re.findall(r"^step [12]: .*\(finite\)$", done, re.MULTILINE)) == 2
    assert f"{name}: what the full run will need" in done


@pytest.mark.slow
def test_a_dry_run_takes_the_data_that_is_there(scratch: Path, benchmark_data: Path) -> None:
    done = real_dry_run("mbpp-zero-shot", scratch, f"problems.path={benchmark_data}/mbpp/mbpp.jsonl")
    assert "374 problems to train on" in done
    assert "500 held out" in done
    assert len(re.findall(r"^step [12]: .*\(finite\)$", done, re.MULTILINE)) == 2


def real_dry_run(name: str, scratch: Path, *overrides: str) -> str:
    """What it prints; nothing is left in the folder for temporary files, whose path is a long one, nor in that for runs."""
    runs, temporary = scratch / "runs", scratch / ("x" * 60)
    temporary.mkdir()
    command: list[Any] = [sys.executable, "-m", "rltf.cli", "train", f"recipes/{name}.yaml", "--dry-run", f"output={runs}"]
    environment = os.environ | {"TMPDIR": str(temporary)}
    done = subprocess.run(
        [*command, *overrides], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert not runs.exists()
    assert not list(temporary.iterdir())
    return done.stdout
