"""The command line as a user meets it: bad input ends it with one line that names key, value and remedy, and costs nothing."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from contracts.errors import RunError, UserError
from contracts.records import Problem
from contracts.records import Test as UnitTest
from models.load import check_model_path
from problems.apps import write_folder
from rltf import cli
from rltf.runs import RunFolder, check_run
from tests.cli import RECIPE, begun, refused, rltf, snapshot
from tests.fake_ablation import leave, planned, recipe
from tests.tiny_models import tiny_model, tiny_tokenizer

COMMANDS = ("train", "submit", "warmup", "eval", "compare", "critic", "ablate", "report", "label", "problems", "doctor")
HEAVY = {"torch", "ray", "transformers", "deepspeed", "numpy", "redis", "matplotlib"}

# Help


@pytest.mark.parametrize(
    "command", [(), *((name,) for name in COMMANDS), ("problems", "check")], ids=lambda words: " ".join(words) or "rltf"
)
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
    for command in (*cli.main.commands.values(), *cli.problems.commands.values()):
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


Asked = Callable[..., str]


@pytest.fixture(params=["new", "local"], ids=["new run", "existing run"])
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Asked:
    """What `rltf train` refuses with, given overrides: for a run to come, and for one whose run would be replaced."""
    output = tmp_path / "runs"
    begun(output)
    return lambda *overrides: refused(output, "train", RECIPE, f"name={request.param}", *overrides)


def test_a_folder_without_problems(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "set" / "1").mkdir(parents=True)
    line = asked(f"problems.path={tmp_path / 'set'}")
    assert f"problems.path={tmp_path / 'set'}: " in line
    assert "holds no problems. Name the folder that holds one folder per problem" in line


def test_a_missing_folder_of_held_out_problems(asked: Asked, tmp_path: Path) -> None:
    line = asked(f"problems.heldout_path={tmp_path / 'set'}")
    assert f"problems.heldout_path={tmp_path / 'set'}: no such file or folder" in line


def test_problems_that_all_lack_tests(asked: Asked, tmp_path: Path) -> None:
    write_folder(tmp_path / "set", [Problem(id=name, question="?", tests=()) for name in "ab"])
    line = asked(f"problems.path={tmp_path / 'set'}")
    assert "none of the 2 problems in" in line
    assert "has tests. Add inputs and outputs to input_output.json" in line


def test_problems_without_solutions_to_imitate(asked: Asked, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_folder(folder, [Problem(id=key, question="?", tests=(UnitTest("1\n", "1\n"),)) for key in "abcd"])
    assert "learner.sl_samples=0" in asked(f"problems.path={folder}")


def test_a_single_problem_has_none_to_hold_out(asked: Asked, tmp_path: Path) -> None:
    write_folder(tmp_path / "set", [Problem(id="a", question="?", tests=(UnitTest("1\n", "1\n"),))])
    line = asked(f"problems.path={tmp_path / 'set'}")
    assert f"problems.path={tmp_path / 'set'} has one problem with tests" in line
    assert "set problems.heldout_path" in line


def test_a_redis_that_does_not_answer(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:  # bound, not listening: nobody else gets the port, and nobody answers
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        monkeypatch.setenv("RLTF_REDIS_URL", f"redis://:secret@127.0.0.1:{port}/0")
        line = asked()
    assert f"no Redis answers at redis://127.0.0.1:{port}/0: " in line
    assert "Start it, mend or unset buffer.url or RLTF_REDIS_URL" in line
    assert "secret" not in line


def test_a_password_on_the_command_line_is_refused_and_not_repeated(tmp_path: Path) -> None:
    line = refused(tmp_path, "train", RECIPE, "buffer.url=redis://:secret@127.0.0.1:6380/0")
    assert "buffer.url: it names a user or a password, which would stand in config.yaml: set RLTF_REDIS_URL in its place" in line
    assert "secret" not in line


def test_a_prometheus_port_in_use(asked: Asked) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        line = asked(f"monitor.prometheus_port={port}")
    assert f"monitor.prometheus_port={port}: cannot listen on 127.0.0.1:{port}" in line
    assert "Set monitor.prometheus_port to a free port, unset it for any free one, or set it to 0 for no endpoint" in line


def test_a_prometheus_host_that_is_another_machine(asked: Asked) -> None:
    line = asked("monitor.prometheus_host=203.0.113.7")
    assert "monitor.prometheus_host=203.0.113.7: cannot listen on 203.0.113.7:0 (" in line
    assert "Set monitor.prometheus_host to an address of this machine" in line


def test_a_place_for_target_files_that_is_none(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    line = asked(f"monitor.targets={tmp_path / 'file'}")
    assert f"no file for Prometheus can be written into {tmp_path / 'file'}: {tmp_path / 'file'} is no folder. " in line
    assert "Set monitor.targets to another folder, or monitor.prometheus_port=0 for no endpoint" in line


@pytest.mark.parametrize("url", ["localhost:6379", "redis://localhost:port/0"])
def test_what_is_no_redis_url(tmp_path: Path, url: str) -> None:
    line = refused(tmp_path, "train", RECIPE, f"buffer.url={url}")
    assert f"{url} is not a Redis URL. " in line
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


# How a command ends

Ends = Callable[..., Result]


def full_disk() -> OSError:
    """What the kernel says when a disk is full."""
    with pytest.raises(OSError, match="No space left") as caught, open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    return caught.value


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """How a command ends that raises an exception."""

    def run(err: BaseException, *, resumes: bool = True) -> Result:
        def fail() -> None:
            raise err

        resume = click.Option(["--resume"], is_flag=True, expose_value=False)
        monkeypatch.setitem(cli.main.commands, "fail", click.Command("fail", callback=fail, params=[resume] * resumes))
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


def test_commands_that_cannot_be_resumed_do_not_say_so(ends: Ends) -> None:
    assert ends(KeyboardInterrupt(), resumes=False).stderr == "interrupted: run it again\n"
    assert ends(full_disk(), resumes=False).stderr.endswith(" Free some space and run it again\n")


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


def test_a_report_of_an_ablation_is_its_page(tmp_path: Path) -> None:
    made = recipe(tmp_path)
    for job in planned(made, ["sl", "coarse"], [0, 1]):
        leave(job, 0.6 if job.arm == "coarse" else 0.3)
    done = CliRunner().invoke(cli.main, ["report", str(made.folder)])
    assert (done.exit_code, done.output) == (0, f"{made.folder}/ablation.html\n")
    assert "coarse has the highest mean pass@1" in (made.folder / "ablation.html").read_text()
    assert [pair["first"] for pair in json.loads((made.folder / "ablation.json").read_bytes())["pairs"]] == ["coarse"]
    assert not (made.folder / "report.html").exists()


def test_a_saved_state_of_another_kind_is_no_state(tmp_path: Path) -> None:
    recipe = begun(tmp_path)
    (recipe.folder / "state.json").write_text('{"step": "many"}')
    with pytest.raises(msgspec.ValidationError):
        RunFolder(recipe.folder).state()


def test_a_second_sigterm_does_not_interrupt_the_end() -> None:
    before = signal.signal(signal.SIGTERM, cli._interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
