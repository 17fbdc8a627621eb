"""`rltf ablate`: which runs it starts and when, what it keeps, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fake_ablation import ARMS, World, leave, planned, progress, recipe

from contracts.ablation import AblationRecipe
from contracts.errors import RunError, UserError
from contracts.recipe import load_recipe
from contracts.records import Problem
from contracts.records import Test as UnitTest
from contracts.sections import ProblemsConfig
from problems.apps import write_folder
from problems.sets import ProblemSet, check_problem_set
from rltf import ablation_jobs, runs
from rltf.ablate import Ablation, launch
from rltf.ablation_jobs import BARELY_BEGUN, Job, begin, plan
from tests.cli import ROOT, refused
from tests.small_run import SMALL

SEED_0 = ["warm start, seed 0", "sl, seed 0", "coarse, seed 0", "coarse+fine, seed 0"]
SEED_1 = [name.replace("0", "1") for name in SEED_0]


def default(ablation: AblationRecipe) -> dict[str, Any]:
    return {"arms": ablation.chosen(None), "seeds": ablation.seeds}


def execute(ablation: AblationRecipe, world: World, **options: Any) -> str:
    """Run it; returns what it said."""
    shown, said = progress()
    with shown:
        Ablation(ablation, shown, launcher=world.launch, pause=world.pause, **default(ablation) | options).execute()
    return said.getvalue()


def test_a_seed_at_a_time_one_after_the_other(tmp_path: Path) -> None:
    world = World()
    said = execute(recipe(tmp_path), world)
    assert world.begun == [f"start {name}" for name in SEED_0 + SEED_1]
    assert world.most == 1
    assert "coarse, seed 0: pass@1 0.500; 3 of 8 ended" in said
    assert "run 8/8" in said


def test_arms_wait_for_their_own_warm_start_while_other_work_goes_on(tmp_path: Path) -> None:
    world = World(looks={"warm start, seed 0": 3, "warm start, seed 1": 5})
    execute(recipe(tmp_path, parallel=2), world)
    begun = world.begun
    assert begun[:2] == ["start warm start, seed 0", "start warm start, seed 1"]
    assert world.events.index("end warm start, seed 0") < world.events.index("start sl, seed 0")
    assert begun[2:] == [f"start {name}" for name in SEED_0[1:] + SEED_1[1:]]
    assert world.most == 2


def test_runs_start_from_their_seeds_warm_start_and_make_none(tmp_path: Path) -> None:
    jobs = plan(recipe(tmp_path), ["coarse+fine"], [1])
    assert [str(job) for job in jobs] == ["warm start, seed 1", "coarse+fine, seed 1"]
    start, run = (job.recipe for job in jobs)
    assert run.model.path == str(start.folder / "checkpoints" / "start")
    assert (start.warmup.steps, run.warmup.steps, start.seed, run.seed) == (1000, 0, 1, 1)
    assert run.folder == tmp_path / "runs" / "fake" / "seed1" / "coarse_fine"
    assert (run.objective.fine, run.objective.adaptive) == (1.0, 0.0)


def test_without_a_warm_start_arms_begin_with_the_recipes_model(tmp_path: Path) -> None:
    world = World()
    execute(recipe(tmp_path, "warmup.steps=0", "model.path=some/model"), world, arms=["coarse"], seeds=[4])
    assert world.begun == ["start coarse, seed 4"]
    assert load_recipe(tmp_path / "runs/fake/seed4/coarse.yaml").model.path == "some/model"


def test_the_default_arms_are_run_unless_others_are_asked_for(tmp_path: Path) -> None:
    ablation = recipe(tmp_path, default=["coarse"], seeds=[0])
    execute(ablation, world := World())
    assert world.begun == ["start warm start, seed 0", "start coarse, seed 0"]
    execute(ablation, world := World(), resume=True, arms=["coarse", "sl"], seeds=[0])
    assert world.begun == ["start sl, seed 0"], "what is done is kept, new arms may come"
    results = json.loads((ablation.folder / "ablation.json").read_text())
    assert [arm["name"] for arm in results["arms"]] == ["sl", "coarse"]


def test_arms_of_before_stay_on_the_page(tmp_path: Path) -> None:
    ablation = recipe(tmp_path, seeds=[0])
    execute(ablation, World(rates={"coarse": 0.6}), arms=["coarse"])
    execute(ablation, World(), arms=["sl"], resume=True)
    page = (ablation.folder / "ablation.html").read_text()
    assert "coarse − sl" in page


def test_an_interruption_ends_what_runs_and_can_be_resumed(tmp_path: Path) -> None:
    ablation = recipe(tmp_path, parallel=2, seeds=[0])
    world = World(looks={"coarse, seed 0": 99, "sl, seed 0": 99}, interrupt_after=5)
    with pytest.raises(KeyboardInterrupt):
        execute(ablation, world)
    assert world.events[-4:] == ["terminate sl, seed 0", "terminate coarse, seed 0", "wait sl, seed 0", "wait coarse, seed 0"]
    assert "sl, seed 0 (interrupted)" in (ablation.folder / "ablation.html").read_text()
    execute(ablation, world := World(), resume=True)
    assert world.begun == ["resume sl, seed 0", "resume coarse, seed 0", "start coarse+fine, seed 0"]


def test_a_failed_run_does_not_stop_the_others(tmp_path: Path) -> None:
    ablation = recipe(tmp_path, seeds=[0])
    world = World(failing=["sl, seed 0"])
    with pytest.raises(RunError, match=r"1 of 4 runs failed: sl, seed 0 \(no reason recorded; .*/seed0/sl\.log\)") as caught:
        execute(ablation, world)
    assert caught.value.exit_code == 1
    assert "--resume" in caught.value.remedy
    assert world.begun == [f"start {name}" for name in SEED_0]
    execute(ablation, world := World(), resume=True)
    assert world.begun == ["start sl, seed 0"]


def test_arms_are_lost_with_their_warm_start_and_other_seeds_are_not(tmp_path: Path) -> None:
    world = World(failing=["warm start, seed 0"])
    with pytest.raises(RunError, match=r"4 of 8 runs failed: warm start, seed 0 .*, and 3 that needed them"):
        execute(recipe(tmp_path), world)
    assert world.begun == ["start warm start, seed 0", *(f"start {name}" for name in SEED_1)]


def test_a_run_that_ends_well_without_a_result_has_failed(tmp_path: Path) -> None:
    ablation = recipe(tmp_path, seeds=[0])
    world = World()

    def launch(job: Any, lock: int) -> Any:
        process = world.launch(job, lock)
        process.poll = lambda: 0  # exit code 0, and no summary
        return process

    shown, _ = progress()
    with pytest.raises(RunError, match="4 of 4 runs failed"):
        Ablation(ablation, shown, launcher=launch, pause=world.pause, **default(ablation)).execute()


def test_a_new_one_keeps_the_one_before_once(tmp_path: Path) -> None:
    ablation = recipe(tmp_path, seeds=[0])
    for _ in range(3):
        execute(ablation, World(), arms=["coarse"])
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["fake", "fake~previous"]


def test_changed_values_are_named_before_anything_is_started(tmp_path: Path) -> None:
    execute(recipe(tmp_path, seeds=[0]), World(), arms=["coarse"])
    world = World()
    with pytest.raises(UserError, match=r"warm start, seed 0 was started with other values: steps=7 \(was 100\)"):
        execute(recipe(tmp_path, "steps=7", seeds=[0]), world, resume=True)
    assert world.begun == []
    execute(recipe(tmp_path, "monitor.examples=3", seeds=[0, 1]), World(), arms=["coarse"], resume=True)


def test_something_else_is_neither_replaced_nor_resumed(tmp_path: Path) -> None:
    ablation = recipe(tmp_path)
    with pytest.raises(UserError, match="no ablation to resume"):
        execute(ablation, World(), resume=True)
    ablation.folder.mkdir(parents=True)
    (ablation.folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds something else than an ablation"):
        execute(ablation, World())
    assert [path.name for path in ablation.folder.iterdir()] == ["thesis.tex"]


def test_two_in_one_folder_are_refused(tmp_path: Path) -> None:
    ablation, world, refusals = recipe(tmp_path, seeds=[0]), World(), []

    def pause() -> None:
        for resume in (True, False):
            with pytest.raises(UserError, match=r"the ablation in .*/fake is running"):
                execute(ablation, other := World(), resume=resume)
            refusals.append(other.begun)

    execute(ablation, World())
    shown, _ = progress()
    Ablation(ablation, shown, launcher=world.launch, pause=pause, **default(ablation)).execute()
    assert world.begun == [f"start {name}" for name in SEED_0]
    assert refusals
    assert not any(refusals)
    execute(ablation, World(), resume=True)


def test_of_two_that_begin_at_once_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other comes first while this one still checks its runs, before there is a folder."""
    ablation = recipe(tmp_path, seeds=[0])
    jobs, check = plan(ablation, ["coarse"], [0]), ablation_jobs._check_runs
    with ExitStack() as other:

        def check_slowly(those: Sequence[Job], *, resume: bool) -> None:
            check(those, resume=resume)
            monkeypatch.setattr(ablation_jobs, "_check_runs", check)
            other.enter_context(begin(ablation, jobs, resume=False))

        monkeypatch.setattr(ablation_jobs, "_check_runs", check_slowly)
        with pytest.raises(UserError, match="is running"):
            execute(ablation, World())
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["fake"]
    execute(ablation, World(), resume=True)


def test_it_is_running_until_its_last_run_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody looks after the run any more: it has the lock itself."""
    ablation, fifo, run = recipe(tmp_path, "warmup.steps=0", seeds=[0]), tmp_path / "fifo", tmp_path / "run"
    os.mkfifo(fifo)
    run.write_text(f"#!/bin/sh\nexec cat {fifo}\n")
    run.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(run))
    jobs = plan(ablation, ["coarse"], [0])
    with begin(ablation, jobs, resume=False) as lock:
        process = launch(jobs[0], lock)
    with pytest.raises(UserError, match="is running"):
        execute(ablation, World(), resume=True)
    fifo.write_text("that's it")
    assert process.wait() == 0
    execute(ablation, World(), resume=True)
    assert jobs[0].log.exists()


class Killed(BaseException):
    """What nobody catches."""


@pytest.mark.parametrize("files", range(4))
def test_a_kill_before_all_recipes_are_written_leaves_something_to_begin_or_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    ablation = recipe(tmp_path, seeds=[0])
    written: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        if len(written) == files:
            path.with_name(f"{path.name}.partial").write_bytes(b"half")
            raise Killed
        written.append(path)
        path.write_bytes(content)

    with monkeypatch.context() as patched:
        patched.setattr(ablation_jobs, "write_in_one_move", write)
        with pytest.raises(Killed):
            execute(ablation, World())
    assert [path.name for path in written] == ["ablation.yaml", "warm-start.yaml", "sl.yaml"][:files]
    if not files:
        assert {path.name for path in ablation.folder.iterdir()} == BARELY_BEGUN
    execute(ablation, world := World(), resume=files > 0)
    assert world.begun == [f"start {name}" for name in SEED_0]


def test_what_may_change_is_heeded_when_it_is_resumed(tmp_path: Path) -> None:
    execute(recipe(tmp_path, seeds=[0]), World(), arms=["coarse"])
    execute(recipe(tmp_path, "monitor.examples=3", seeds=[0]), World(), arms=["coarse"], resume=True)
    assert load_recipe(tmp_path / "runs/fake/seed0/coarse.yaml").monitor.examples == 3


def test_what_stands_in_the_way_of_one_run_is_found_before_the_first(tmp_path: Path) -> None:
    bad = {"objective.kind": "rltf_reference", "objective.reference.critic": str(tmp_path)}
    arms = ARMS | {"critic": {"about": "", "set": bad}}
    with pytest.raises(UserError, match=rf"critic, seed 0: objective\.reference\.critic={tmp_path} is no model folder"):
        execute(recipe(tmp_path, arms=arms), world := World())
    assert world.begun == []
    assert not (tmp_path / "runs").exists()


def test_problems_are_read_once_for_all_runs_that_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("mine", "held"):
        write_folder(
            tmp_path / place, [Problem(id=place, question="?", tests=(UnitTest("1\n", "1\n"),), corpus=("print(input())",))]
        )
    read: list[str] = []

    def check(config: ProblemsConfig, seed: int) -> ProblemSet | None:
        read.append(config.corpus)
        return check_problem_set(config, seed)

    monkeypatch.setattr(runs, "check_problem_set", check)
    arms = ARMS | {"verified": {"about": "", "set": {"problems.corpus": "verified"}}}
    places = (f"problems.path={tmp_path / 'mine'}", f"problems.heldout_path={tmp_path / 'held'}")
    for _ in range(2):
        planned(recipe(tmp_path, *places, arms=arms), list(arms), [0, 1, 2])
    assert read == ["all", "verified"] * 2


def test_without_a_result_there_is_no_table(tmp_path: Path) -> None:
    shown, said = progress()
    ablation = recipe(tmp_path, seeds=[0])
    world = World(failing=SEED_0)
    with pytest.raises(RunError, match="4 of 4 runs failed"):
        Ablation(ablation, shown, launcher=world.launch, pause=world.pause, **default(ablation)).execute()
    assert "held-out problems" not in said.getvalue()
    assert "page: " in said.getvalue()
    assert "held-out problems" in execute(ablation, World(), resume=True)


def test_the_page_is_there_while_runs_go_on(tmp_path: Path) -> None:
    ablation = recipe(tmp_path, seeds=[0])
    pages = []
    world = World()

    def pause() -> None:
        pages.append((ablation.folder / "ablation.html").read_text())

    shown, _ = progress()
    Ablation(ablation, shown, launcher=world.launch, pause=pause, **default(ablation)).execute()
    assert "No run is done yet." in pages[0]
    assert "1 of 3 runs are done" in pages[-1] or "2 of 3 runs are done" in pages[-1]


def test_the_command_refuses_bad_arms_and_values_in_one_line(tmp_path: Path) -> None:
    command = ("ablate", "recipes/ablation-local.yaml")
    assert "there is no arm fine. There are: sl-noisy, " in refused(tmp_path, *command, "--arms", "fine")
    assert "unknown key stepz=4. Did you mean steps?" in refused(tmp_path, *command, "stepz=4")


def test_begun_runs_are_resumed_by_the_real_command(tmp_path: Path) -> None:
    job = plan(recipe(tmp_path), ["coarse"], [0])[1]
    assert not job.has_begun
    leave(job, status="interrupted")
    assert (job.has_begun, job.is_done) == (True, False)
    leave(job)
    assert job.is_done


@pytest.mark.slow
def test_a_real_one(tmp_path: Path) -> None:
    settings = [setting for setting in SMALL if not setting.startswith("name=")]
    command = [sys.executable, "-m", "rltf.cli", "ablate", "recipes/ablation-local.yaml", *settings, "parallel=2"]
    command += [f"output={tmp_path}", "--arms", "sl-noisy,coarse+fine", "--seeds", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "ablation-local"
    results = json.loads((folder / "ablation.json").read_text())
    assert [(arm["name"], arm["supervised"], arm["runs"][0]["status"]) for arm in results["arms"]] == [
        ("sl-noisy", True, "done"),
        ("coarse+fine", False, "done"),
    ]
    assert (results["equal_starts"], results["unequal_starts"]) == ([3], [])
    assert (folder / "seed3" / "coarse_fine" / "report.html").is_file()
    assert load_recipe(folder / "seed3" / "coarse_fine" / "config.yaml").model.path == str(
        folder / "seed3" / "warm-start" / "checkpoints" / "start"
    )
    again = subprocess.run([*command, "--resume"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "3 runs are done already" in again.stdout
