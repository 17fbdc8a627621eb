"""The run folder: what is replaced, resumed and refused, and disks that are full."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import load_recipe, write_recipe
from contracts.records import Problem
from problems.sets import ProblemSet
from rltf import runs, standalone, train
from rltf.progress import Progress
from rltf.runs import LEAST_FREE_MB, RunFolder, State, anchored, check_run, check_space, differences
from rltf.train import Run
from tests import fake_run
from tests.cli import RECIPE, ROOT, begun, refused


def test_a_folder_that_holds_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "thesis.tex").write_text("years of work")
    line = refused(tmp_path, "train", RECIPE)
    assert f"{tmp_path / 'local'} is there and holds something else than a run. Choose another name=… or output=…" in line


def test_a_folder_with_only_somebodys_config_is_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "config.yaml").write_text("mine: 1\n")
    (tmp_path / "local" / "thesis.tex").write_text("years of work")
    assert "something else than a run" in refused(tmp_path, "train", RECIPE)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    recipe = load_recipe(ROOT / RECIPE, (f"output={tmp_path / 'file' / 'runs'}",))
    with pytest.raises(UserError, match=rf"cannot be made: {tmp_path / 'file'} is no folder\. Choose"):
        check_run(recipe, resume=False)
    (tmp_path / "local").symlink_to(tmp_path)
    with pytest.raises(UserError, match="local is no folder"):
        check_run(load_recipe(ROOT / RECIPE, (f"output={tmp_path}",)), resume=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_output_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written to"):
        check_run(load_recipe(ROOT / RECIPE, (f"output={tmp_path}",)), resume=False)


@pytest.mark.parametrize("place", ["local", "local~previous"])
def test_a_run_never_replaces_the_model_that_it_begins_from(tmp_path: Path, place: str) -> None:
    begun(tmp_path)
    model = tmp_path / place / "checkpoints" / "final"
    model.mkdir(parents=True)
    line = refused(tmp_path, "train", RECIPE, f"model.path={model}")
    assert f"{model} is to be read, and {tmp_path / place} makes way for what is to be written. Choose another name=…" in line
    assert model.is_dir()


def test_beginning_anew_replaces_a_run_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    recipe = begun(tmp_path)
    state = RunFolder(recipe.folder).begin(recipe, resume=False)
    assert state == State(run=state.run)
    assert state.run.startswith(f"{recipe.name}-")
    assert sorted(path.name for path in recipe.folder.iterdir()) == ["config.yaml", "state.json"]
    assert load_recipe(recipe.folder / "config.yaml") == recipe


def test_starts_that_fail_do_not_cost_the_run_that_was_kept(tmp_path: Path) -> None:
    recipe = begun(tmp_path)
    folder, previous = RunFolder(recipe.folder), tmp_path / "local~previous"
    good = State(run="good", step=7)
    folder.save(good)
    for _ in range(3):
        folder.begin(recipe, resume=False)
        assert RunFolder(previous).state() == good
    for better in (State(run="a", done=["warm start"]), State(run="b", stage="warm start", stage_step=5)):
        folder.save(better)
        folder.begin(recipe, resume=False)
        assert RunFolder(previous).state() == better


def test_a_displaced_run_is_told_of(tmp_path: Path) -> None:
    recipe, told = begun(tmp_path), list[str]()
    folder, moved = RunFolder(recipe.folder), f"what was in {tmp_path}/local is now in {tmp_path}/local~previous"
    folder.begin(recipe, resume=False, tell=told.append)
    folder.begin(recipe, resume=False, tell=told.append)  # what it replaces came to nothing: that is not kept
    folder.save(State(run="r", step=1))
    folder.begin(recipe, resume=False, tell=told.append)
    assert told == [moved, f"{moved}, and what was in that is gone"]


def test_prometheus_looks_no_longer_for_a_killed_run_that_is_replaced(tmp_path: Path) -> None:
    targets = tmp_path / "targets"
    recipe = begun(tmp_path, f"monitor.targets={targets}")
    targets.mkdir()
    for run in ("r", "another"):
        (targets / f"{run}.json").write_text("[]")
    RunFolder(recipe.folder).begin(recipe, resume=True)
    assert len(list(targets.iterdir())) == 2, "it may be gone on with"
    RunFolder(recipe.folder).begin(recipe, resume=False)
    assert [file.name for file in targets.iterdir()] == ["another.json"]


@pytest.mark.parametrize("left", [(), ("config.yaml",)], ids=["empty", "killed before its state was saved"])
def test_a_run_folder_barely_begun_can_be_begun_again(tmp_path: Path, left: tuple[str, ...]) -> None:
    recipe = load_recipe(ROOT / RECIPE, (f"output={tmp_path}",))
    recipe.folder.mkdir()
    for name in left:
        write_recipe(recipe, recipe.folder / name)
    check_run(recipe, resume=False)


def _relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """With models by paths that hold in `tmp_path` alone, which is where we are."""
    for name in ("model", "critic"):
        (tmp_path / "models" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    named = ("model.path=models/model", "objective.kind=rltf_reference", "objective.reference.critic=models/critic")
    return load_recipe(ROOT / RECIPE, (f"output={tmp_path}", *named))


def test_a_run_is_resumed_from_its_config_wherever_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _relative(tmp_path, monkeypatch)
    folder = RunFolder(recipe.folder)
    folder.begin(recipe, resume=False)
    folder.check(recipe, resume=True)
    monkeypatch.chdir(ROOT)
    kept = load_recipe(recipe.folder / "config.yaml")
    assert kept.model.path == str(tmp_path / "models" / "model")
    assert kept.objective.reference.critic == tmp_path / "models" / "critic"
    folder.check(kept, resume=True)
    with pytest.raises(UserError, match=rf"model\.path=models/model \(was {tmp_path}/models/model\)"):
        folder.check(recipe, resume=True)


def test_actors_are_given_models_by_paths_that_hold_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _relative(tmp_path, monkeypatch)
    given: list[str | None] = []

    def cluster(taught: Recipe, model: str, *_: object, **__: object) -> None:
        given.extend([taught.model.path, model, str(taught.objective.reference.critic)])
        raise KeyboardInterrupt

    for room in (train, standalone):
        monkeypatch.setattr(room, "check_model_path", lambda *_: None)
        monkeypatch.setattr(room, "connected", lambda _: nullcontext())
        monkeypatch.setattr(room, "reserve", lambda *_: {})
        monkeypatch.setattr(room, "Cluster", cluster)
        monkeypatch.setattr(room, "load_problem_set", lambda *_: ProblemSet([], [], 0))
    progress = Progress(Console(file=io.StringIO()))
    with pytest.raises(KeyboardInterrupt):
        Run(recipe, progress).execute()
    monkeypatch.setattr(standalone, "drawn", lambda *_: [Problem(id="p", question="", tests=("x",))])
    with pytest.raises(KeyboardInterrupt):
        standalone.evaluate_model(recipe, "models/model", "heldout", tmp_path / "e", Console(file=io.StringIO()), resume=False)
    model = str(tmp_path / "models" / "model")
    assert given == [model, model, str(tmp_path / "models" / "critic")] * 2


def test_in_a_jobs_copy_of_the_tree_paths_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _relative(tmp_path, monkeypatch)
    monkeypatch.setattr(runs, "in_a_job", lambda: True)
    assert anchored(recipe) == recipe


def test_names_on_the_hub_stay_as_they_are() -> None:
    recipe = load_recipe(ROOT / RECIPE, ("model.path=Qwen/Qwen2.5-Coder-1.5B",))
    assert anchored(recipe) == recipe


def test_state_survives_saving(tmp_path: Path) -> None:
    recipe = begun(tmp_path)
    folder = RunFolder(recipe.folder)
    state = State(run="r", done=["warm start", "control"], step=7, position=9, pending=[8, 7])
    state.totals.online["programs_judged_total"] = 3
    folder.save(state)
    assert folder.state() == state
    assert not list(recipe.folder.glob("*.partial"))


# A full disk


@pytest.fixture(scope="module")
def tiny_disk(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Words that run a shell script where a disk of 4 MB is mounted on the folder. Needs no root on most systems."""
    mount = tmp_path_factory.mktemp("disk")
    script = f'mount -t tmpfs -o size=4m tmpfs "{mount}" && eval "$1"'
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("users may not mount a disk of their own here")
    return words, mount


def on_tiny_disk(disk: tuple[list[str], Path], script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*disk[0], script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_disk_too_small_for_a_run_is_refused_at_once(tiny_disk: tuple[list[str], Path]) -> None:
    _, mount = tiny_disk
    done = on_tiny_disk(
        tiny_disk, f"{sys.executable} -m rltf.cli train {RECIPE} output={mount}/runs || code=$?; ls {mount}; exit $code"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: only [0-4] MB are free on the disk of .*\. Free 200 MB or set output=FOLDER\n", done.stderr)


def test_a_disk_that_fills_up_ends_a_command_with_one_line(tiny_disk: tuple[list[str], Path], tmp_path: Path) -> None:
    run, (_, mount) = fake_run.write_run(tmp_path / "run"), tiny_disk
    fill = f"cp -r {run} {mount}; cat /dev/zero > {mount}/filler 2> /dev/null || true"
    done = on_tiny_disk(tiny_disk, f"{fill}; exec {sys.executable} -m rltf.cli report {mount}/run")
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(r"error: the disk is full: [^\n]+\. Free some space and run it again\n", done.stderr)


def test_the_space_that_a_run_needs_is_looked_at_where_its_folder_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[Path] = []
    free = (LEAST_FREE_MB << 20) - 1

    def usage(path: Path) -> SimpleNamespace:
        looked_at.append(path)
        return SimpleNamespace(free=free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(UserError, match=rf"only {LEAST_FREE_MB - 1} MB are free on the disk of {tmp_path}\. Free"):
        check_space(tmp_path / "not" / "yet")
    assert looked_at == [tmp_path]
    free += 1
    check_space(tmp_path)


def test_parts_whose_keys_differ_are_compared_as_a_whole() -> None:
    old: dict[str, Any] = {"executors": {"cores": 1, "resources": {}}}
    new: dict[str, Any] = {"executors": {"cores": 1, "resources": {"cpu_node": 0.5}}}
    assert differences(old, new) == ["executors.resources={'cpu_node': 0.5} (was {})"]
    assert differences(new, old) == ["executors.resources={} (was {'cpu_node': 0.5})"]
