"""The command line as a user meets it: bad input ends it with one line that names key, value and remedy, and costs nothing."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from contracts.config import Recipe
from contracts.errors import RunError, UserError
from contracts.recipe import load_recipe, write_recipe
from contracts.records import Problem
from contracts.records import Test as UnitTest
from models.load import check_model_path
from problems.apps import write_folder
from rltf import cli
from rltf.runs import LEAST_FREE_MB, RunFolder, State, check_run, check_space
from tests import fake_run
from tests.tiny_models import tiny_model, tiny_tokenizer

ROOT = Path(__file__).resolve().parent.parent
RECIPE = "recipes/local.yaml"
COMMANDS = ("train", "warmup", "eval", "report", "doctor")
HEAVY = {"torch", "ray", "transformers", "deepspeed", "numpy", "redis", "matplotlib"}


def rltf(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "rltf.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder; None for a folder."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in sorted(folder.rglob("*"))}


def begun(output: Path, *overrides: str) -> Recipe:
    """A run as an interrupted `rltf train` leaves it, with a checkpoint that nobody wants to lose."""
    recipe = load_recipe(ROOT / RECIPE, (f"output={output}", *overrides))
    folder = RunFolder(recipe.folder)
    folder.begin(recipe, resume=False)
    folder.save(State(run="r", done=["warm start"], step=50, position=3))
    folder.checkpoints.mkdir()
    (folder.checkpoints / "precious").write_text("weights")
    return recipe


def refused(output: Path, *arguments: str) -> str:
    """The one line that the command ends with; nothing in the output folder has changed."""
    before = snapshot(output)
    done = rltf(*arguments, f"output={output}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr), done.stderr
    assert snapshot(output) == before
    return done.stderr


# Help


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=lambda words: " ".join(words) or "rltf")
def test_help_comes_without_anything_heavy(command: tuple[str, ...]) -> None:
    done = rltf(*command, "--help", python=("-X", "importtime"))
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    imported = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in imported, "importtime's lines are read right"
    assert imported & HEAVY == set()


def test_help_lists_every_command() -> None:
    listed = re.findall(r"^  (\w+)  ", rltf("--help").stdout.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS) == sorted(cli.main.commands)


def test_every_command_and_option_is_explained() -> None:
    for command in cli.main.commands.values():
        assert command.help
        assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "Usage:"), (("train",), "RECIPE"), (("train", RECIPE, "--nope"), "--nope"), (("nope",), "nope")],
)
def test_words_that_are_no_command_line_are_explained(arguments: tuple[str, ...], said: str) -> None:
    done = rltf(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# Bad recipes: found before anything heavy is loaded


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", RECIPE, "stpes=3"), "unknown key stpes=3. Did you mean steps?"),
        (("warmup", RECIPE, "learner.rank=2"), "unknown key learner.rank=2. Did you mean ranks?"),
        (("eval", RECIPE, "--model=x", "steps=abc"), "steps='abc' is not valid: "),
        (("train", "recipes/nope.yaml"), "no recipe at recipes/nope.yaml. The recipes that come with it: recipes/"),
        (("train", RECIPE, "eval.k=[9]"), "k=9 needs at least as many samples per problem, there are 8"),
    ],
)
def test_a_bad_recipe_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    begun(tmp_path)
    assert said in refused(tmp_path, *arguments)


Asked = Callable[[str], str]


@pytest.fixture(params=["new", "local"], ids=["new run", "existing run"])
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Asked:
    """What `rltf train` refuses with, given an override: for a run to come, and for one whose run would be replaced."""
    output = tmp_path / "runs"
    begun(output)
    return lambda override: refused(output, "train", RECIPE, f"name={request.param}", override)


def test_a_folder_without_problems(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "set" / "1").mkdir(parents=True)
    line = asked(f"problems.path={tmp_path / 'set'}")
    assert f"problems.path={tmp_path / 'set'}: " in line
    assert "holds no problems. Name the folder that holds one folder per problem" in line


def test_a_missing_folder_of_held_out_problems(asked: Asked, tmp_path: Path) -> None:
    line = asked(f"problems.heldout_path={tmp_path / 'set'}")
    assert f"problems.heldout_path={tmp_path / 'set'}: no folder at" in line


def test_problems_that_all_lack_tests(asked: Asked, tmp_path: Path) -> None:
    write_folder(tmp_path / "set", [Problem(id=name, question="?", tests=()) for name in "ab"])
    line = asked(f"problems.path={tmp_path / 'set'}")
    assert "none of the 2 problems in" in line
    assert "has tests. Add inputs and outputs to input_output.json" in line


def test_a_single_problem_has_none_to_hold_out(asked: Asked, tmp_path: Path) -> None:
    write_folder(tmp_path / "set", [Problem(id="a", question="?", tests=(UnitTest("1\n", "1\n"),))])
    line = asked(f"problems.path={tmp_path / 'set'}")
    assert f"problems.path={tmp_path / 'set'} has one problem with tests" in line
    assert "set problems.heldout_path" in line


def test_a_redis_that_does_not_answer(asked: Asked) -> None:
    with socket.socket() as bound:  # bound, not listening: nobody else gets the port, and nobody answers
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        line = asked(f"buffer.url=redis://:secret@127.0.0.1:{port}/0")
    assert f"no Redis answers at redis://127.0.0.1:{port}/0: " in line
    assert "Start it, mend buffer.url or unset it" in line
    assert "secret" not in line


def test_a_prometheus_port_in_use(asked: Asked) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        line = asked(f"monitor.prometheus_port={port}")
    assert f"monitor.prometheus_port={port}: cannot listen on 127.0.0.1:{port}" in line
    assert "free port, or to 0" in line


@pytest.mark.parametrize("url", ["localhost:6379", "redis://localhost:port/0"])
def test_what_is_no_redis_url(tmp_path: Path, url: str) -> None:
    line = refused(tmp_path, "train", RECIPE, f"buffer.url={url}")
    assert f"buffer.url={url} is not a Redis URL: " in line
    assert "Write redis://HOST:PORT/0" in line


# Models: transformers must be asked


def model_folder(tmp_path: Path, config: str | None) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(config)
    return folder


@pytest.mark.parametrize("command", [("train",), ("eval", "--model")], ids=["train", "eval"])
def test_a_model_folder_with_a_broken_config_is_refused(tmp_path: Path, command: tuple[str, ...]) -> None:
    begun(tmp_path / "runs")
    folder = model_folder(tmp_path, "{")
    arguments = ("train", RECIPE, f"model.path={folder}") if command == ("train",) else (*command, str(folder), RECIPE)
    line = refused(tmp_path / "runs", *arguments)
    assert str(folder) in line
    assert "Name a Hugging Face model folder or hub name" in line


@pytest.mark.parametrize("config", ["{", "{}", "[]", "", '{"model_type": "nope"}', '{"model_type": "llama", "hidden_size": "x"}'])
def test_broken_model_configs_are_all_refused(tmp_path: Path, config: str) -> None:
    folder = model_folder(tmp_path, config)
    with pytest.raises(UserError, match=re.escape(str(folder))) as caught:
        check_model_path(str(folder), 100)
    assert "\n" not in str(caught.value)


def test_a_model_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^model\.path=.*model is not a model folder: it has no config\.json\. Name "):
        check_model_path(str(model_folder(tmp_path, None)), 100)
    with pytest.raises(UserError, match=r"^model\.path=.*nowhere: there is no such folder\. Name "):
        check_model_path(str(tmp_path / "nowhere"), 100)


def test_a_model_folder_without_weights_is_refused(tmp_path: Path) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    tiny_model().config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"^model\.path=.* is not a model folder: it has no weights\. Name "):
        check_model_path(str(tmp_path), 100)
    tiny_model().save_pretrained(tmp_path)
    check_model_path(str(tmp_path), 100)


# Resuming


def test_nothing_to_resume(tmp_path: Path) -> None:
    line = refused(tmp_path, "train", RECIPE, "--resume")
    assert f"there is no run to resume in {tmp_path / 'local'}. Leave out --resume" in line


def test_resuming_with_another_recipe_names_what_differs(tmp_path: Path) -> None:
    begun(tmp_path)
    line = refused(tmp_path, "train", RECIPE, "--resume", "steps=7", "learner.optimizer.lr=0.1", "monitor.examples=3")
    assert "other values: steps=7 (was 100), learner.optimizer.lr=0.1 (was 0.0002). Resume with the recipe" in line
    assert "monitor" not in line, "what can be watched may change"


def test_a_run_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    recipe = begun(tmp_path)
    before = snapshot(tmp_path)
    check_run(recipe, resume=True)
    state = RunFolder(recipe.folder).begin(recipe, resume=True)
    assert (state.step, state.position, state.done) == (50, 3, ["warm start"])
    assert snapshot(tmp_path) == before


# The run folder


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


def test_beginning_anew_replaces_a_run_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    recipe = begun(tmp_path)
    state = RunFolder(recipe.folder).begin(recipe, resume=False)
    assert state == State(run=state.run)
    assert state.run.startswith(f"{recipe.name}-")
    assert sorted(path.name for path in recipe.folder.iterdir()) == ["config.yaml", "state.json"]
    assert load_recipe(recipe.folder / "config.yaml") == recipe


@pytest.mark.parametrize("left", [(), ("config.yaml",)], ids=["empty", "killed before its state was saved"])
def test_a_run_folder_barely_begun_can_be_begun_again(tmp_path: Path, left: tuple[str, ...]) -> None:
    recipe = load_recipe(ROOT / RECIPE, (f"output={tmp_path}",))
    recipe.folder.mkdir()
    for name in left:
        write_recipe(recipe, recipe.folder / name)
    check_run(recipe, resume=False)


def test_state_survives_saving(tmp_path: Path) -> None:
    recipe = begun(tmp_path)
    folder = RunFolder(recipe.folder)
    state = State(run="r", done=["warm start", "control"], step=7, position=9, pending=[8, 7])
    state.totals.outcomes["pass"] = 3
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
    assert re.fullmatch(r"error: the disk is full: [^\n]+\. Free some space and go on with --resume\n", done.stderr)


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


# How a command ends

Ends = Callable[[BaseException], Result]


def full_disk() -> OSError:
    """What the kernel says when a disk is full."""
    with pytest.raises(OSError, match="No space left") as caught, open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    return caught.value


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """How a command ends that raises an exception."""

    def run(err: BaseException) -> Result:
        def fail() -> None:
            raise err

        monkeypatch.setitem(cli.main.commands, "fail", click.Command("fail", callback=fail))
        return CliRunner().invoke(cli.main, ["fail"])

    return run


def test_errors_end_with_their_line_and_code(ends: Ends) -> None:
    for err, code, line in (
        (UserError("steps=x is bad", "Mend it"), 2, "error: steps=x is bad. Mend it\n"),
        (
            RunError("the executors are at fault", "See `rltf doctor`"),
            1,
            "error: the executors are at fault. See `rltf doctor`\n",
        ),
        (UserError("two\nlines", "One\n line"), 2, "error: two lines. One line\n"),
        (KeyboardInterrupt(), 130, "interrupted: go on with --resume\n"),
    ):
        result = ends(err)
        assert (result.exit_code, result.stderr, result.stdout) == (code, line, "")


def test_a_full_disk_and_a_full_quota_are_told_apart_from_bugs(ends: Ends) -> None:
    for err in (full_disk(), OSError(errno.EDQUOT, "Disk quota exceeded", "/runs/local/metrics.jsonl")):
        result = ends(err)
        assert result.exit_code == 1
        where = err.filename or os.getcwd()
        assert result.stderr == f"error: the disk is full: {where}. Free some space and go on with --resume\n"


@pytest.mark.parametrize("err", [OSError(errno.EIO, "I/O error"), ValueError("a bug"), KeyError("a bug")])
def test_bugs_keep_their_traceback(ends: Ends, err: Exception) -> None:
    result = ends(err)
    assert result.exception is err
    assert result.stderr == ""


def test_what_an_actor_raised_ends_as_if_raised_here(ends: Ends) -> None:
    from ray.exceptions import RayTaskError

    def from_actor(cause: Exception) -> Exception:
        return RayTaskError("step", "Traceback (most recent call last):\n  many lines", cause).as_instanceof_cause()

    result = ends(from_actor(UserError("problem p has no tests", "Leave it out")))
    assert (result.exit_code, result.stderr) == (2, "error: problem p has no tests. Leave it out\n")
    result = ends(from_actor(OSError(errno.ENOSPC, "No space left on device", "/runs/x")))
    assert (result.exit_code, result.stderr[:34]) == (1, "error: the disk is full: /runs/x. ")
    bug = from_actor(ValueError("a bug"))
    assert ends(bug).exception is bug


def test_a_report_of_no_run(tmp_path: Path) -> None:
    done = rltf("report", str(tmp_path / "nope"))
    assert done.returncode == 2
    assert re.fullmatch(rf"error: {tmp_path}/nope holds no run\. Name a run's folder[^\n]*\n", done.stderr)


def test_a_saved_state_of_another_kind_is_no_state(tmp_path: Path) -> None:
    recipe = begun(tmp_path)
    (recipe.folder / "state.json").write_text('{"step": "many"}')
    with pytest.raises(msgspec.ValidationError):
        RunFolder(recipe.folder).state()
