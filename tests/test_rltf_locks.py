"""Who is alone in a folder, and how others hear of it."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from contracts.errors import UserError
from contracts.recipe import load_recipe
from rltf import standalone
from rltf.locks import alone_in, check_alone
from rltf.progress import Progress
from rltf.runs import RunFolder, check_run
from rltf.train import Run
from tests.cli import RECIPE, ROOT, begun, snapshot

HOLDER = """
import sys
from pathlib import Path
from rltf.locks import alone_in
with alone_in(Path(sys.argv[1]), "the run"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_told_who_is_there_until_that_one_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "r"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        who = rf"process {other.pid} on {re.escape(socket.gethostname())}, since \d{{4}}-\d\d-\d\d \d\d:\d\d UTC"
        said = rf"^the run in {folder} is running: {who}\. Wait until it has ended, end it, or choose another folder$"
        with pytest.raises(UserError, match=said):
            check_alone(folder, "the run")
        with pytest.raises(UserError, match=said), alone_in(folder, "the run"):
            pytest.fail("two in one folder")
        other.send_signal(signal.SIGKILL)
        other.wait()
        check_alone(folder, "the run")
        with alone_in(folder, "the run"):
            assert (tmp_path / "runs" / ".r.lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_second_driver_of_a_run_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    recipe = begun(tmp_path)
    folder = RunFolder(recipe.folder)
    with alone_in(recipe.folder, "the run"):
        before = snapshot(tmp_path)
        for resume in (True, False):
            with pytest.raises(UserError, match=r"^the run in .*/local is running: process"):
                check_run(recipe, resume=resume)
            progress = Progress(Console(file=io.StringIO()))
            with pytest.raises(UserError, match=r"^the run in .*/local is running: process"):
                Run(recipe, progress, resume=resume).execute()
        assert snapshot(tmp_path) == before
        assert folder.state().step == 50
        check_run(load_recipe(recipe.folder / "config.yaml", ("name=another",)), resume=False)
    check_run(recipe, resume=True)


def test_a_second_evaluation_in_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standalone, "check_model_path", lambda *_: None)
    recipe, console = load_recipe(ROOT / RECIPE), Console(file=io.StringIO())
    with (
        alone_in(tmp_path / "e", "the evaluation"),
        pytest.raises(UserError, match=r"^the evaluation in .*/e is running: process"),
    ):
        standalone.evaluate_model(recipe, "model", "heldout", tmp_path / "e", console, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == [".e.lock"]


def test_a_folder_that_is_moved_away_stays_locked(tmp_path: Path) -> None:
    recipe = begun(tmp_path)
    with alone_in(recipe.folder, "the run"):
        RunFolder(recipe.folder).begin(recipe, resume=False)
        with pytest.raises(UserError, match="is running"):
            check_alone(tmp_path / "elsewhere" / ".." / "local", "the run")


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = errno.ENOLCK

    def flock(*_: int) -> None:
        raise OSError(failing, os.strerror(failing))

    monkeypatch.setattr(fcntl, "flock", flock)
    with alone_in(tmp_path / "r", "the run"), alone_in(tmp_path / "r", "the run"):
        pass
    failing = errno.EIO
    with pytest.raises(OSError, match="Input/output error"), alone_in(tmp_path / "r", "the run"):
        pytest.fail("what else is wrong is not hidden")
