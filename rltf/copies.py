"""A run's copy at a URL that fsspec knows: what is there, whether a run may put its own there, and the way back.

URL/NAME holds what the run folder holds, and copied.json, which names what the run has put there: nothing else is ever deleted.
The buffer lies one folder deeper, in that of the step at which it stood so: what is sent next does not take its place.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from contracts.errors import UserError

STATE = "state.json"
COPIED = "copied.json"
BUFFER = "redis"
T = TypeVar("T")


class Copy:
    """Files at URL/NAME, each by its name in the run folder. What its methods raise is of the backend's kind."""

    def __init__(self, url: str, name: str) -> None:
        self.url = f"{url}/{name}"
        self._system, self._root = fsspec.url_to_fs(self.url)

    @property
    def folder(self) -> Path | None:
        """Where it is on this machine, None where it is not."""
        return Path(self._root).resolve() if isinstance(self._system, LocalFileSystem) else None

    def names(self) -> set[str]:
        """Of all that is there."""
        self._system.invalidate_cache()
        try:
            found = self._system.find(self._root)
        except FileNotFoundError:  # so say some backends where there is nothing
            return set()
        return {path.removeprefix(self._root).lstrip("/") for path in found}

    def read(self, name: str) -> bytes:
        """A file's content."""
        content: bytes = self._system.cat_file(f"{self._root}/{name}")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file."""
        self._write(f"{self._root}/{name}", content)

    def send(self, name: str, source: Path) -> None:
        """Make or replace a file by one of this machine."""
        target = f"{self._root}/{name}"
        self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
        self._system.put_file(str(source), target)

    def bring(self, name: str, target: Path) -> None:
        """Write a file's content to one of this machine."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._system.get_file(f"{self._root}/{name}", str(target))

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._system.rm_file(f"{self._root}/{name}")

    def try_out(self) -> None:
        """Write a file beside what is there, and remove it."""
        trial = f"{self._root}~{secrets.token_hex(4)}"
        self._write(trial, b"trial")
        self._system.rm_file(trial)

    def _write(self, path: str, content: bytes) -> None:
        self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._system.pipe_file(path, content)


class _State(msgspec.Struct):
    """As much of a state.json as says how far which run has come."""

    run: str
    done: list[str] = []
    stage: str = ""
    stage_step: int = 0
    step: int = 0

    @property
    def far(self) -> tuple[int, int, int]:
        """The further, the larger."""
        return len(self.done), self.step, 0 if self.stage in self.done else self.stage_step


def check_url(url: str, folder: Path, *, resume: bool) -> None:
    """See whether the run in `folder` may be copied to URL/NAME; a trial file is written beside it and removed.

    Raises UserError for a URL that cannot be asked or written to or needs a missing package, that lies in the run folder, and
    where something else, another run, or more of this one than in `folder` is there.
    """
    copy = _asked(url, "asked", lambda: Copy(url, folder.name))
    if (there := copy.folder) and (there.is_relative_to(folder.resolve()) or folder.resolve().is_relative_to(there)):
        raise UserError(f"{copy.url} and the run folder {folder} are not apart", "Choose another upload=…")
    names = _asked(url, "asked", copy.names)
    if names and not names & {STATE, COPIED}:
        raise UserError(f"{copy.url} holds something else than a run", "Choose another name=… or upload=…")
    if STATE in names and not resume:
        raise UserError(f"{copy.url} holds a run", "Go on with it with --resume, or choose another name=… or upload=…")
    if STATE in names and (folder / STATE).is_file():
        _check_not_behind(folder, copy.url, _decoded(_asked(url, "asked", lambda: copy.read(STATE)), copy.url))
    _asked(url, "written to", copy.try_out)


def _check_not_behind(folder: Path, url: str, there: _State) -> None:
    here = _decoded((folder / STATE).read_bytes(), str(folder))
    if here.run != there.run:
        raise UserError(
            f"{url} holds the run {there.run}, {folder} the run {here.run}",
            f"Choose another upload=…, or move {folder} away to go on with what is at the URL",
        )
    if there.far > here.far:
        raise UserError(f"{url} is ahead of {folder}", f"Move {folder} away: --resume brings it back from there")


def _decoded(state: bytes, where: str) -> _State:
    try:
        return msgspec.json.decode(state, type=_State)
    except msgspec.DecodeError as err:
        raise UserError(f"{STATE} in {where} cannot be read: {err}", "Choose another name=…") from err


def buffer_at(step: int) -> str:
    """The folder in which the copy keeps the buffer as it stood at a step."""
    return f"{BUFFER}/step-{step:06d}/"


def fetch(url: str, folder: Path) -> None:
    """Bring a run back from its copy to where it was, to be resumed there. Raises UserError where there is no copy or no way."""
    copy = _asked(url, "asked", lambda: Copy(url, folder.name))
    names = _asked(url, "asked", copy.names)
    if STATE not in names:
        raise UserError(f"there is no run to resume in {folder} or at {copy.url}", "Leave out --resume to start one")
    for name in names:
        if ".." in Path(name).parts:  # an object store's keys may be any text
            raise UserError(f"{copy.url} holds {name!r}, which leads out of the run folder", "Remove it there")
    buffer = buffer_at(_decoded(_asked(url, "read", partial(copy.read, STATE)), copy.url).step)
    part = folder.with_name(f"{folder.name}~fetched")  # no recipe can have this name
    shutil.rmtree(part, ignore_errors=True)
    for name in sorted(names - {COPIED}):
        if name.startswith(buffer):
            _asked(url, "read", partial(copy.bring, name, part / BUFFER / name.removeprefix(buffer)))
        elif not name.startswith(f"{BUFFER}/"):  # a buffer of another step may be left
            _asked(url, "read", partial(copy.bring, name, part / name))
    part.rename(folder)


def _asked(url: str, what: str, question: Callable[[], T]) -> T:
    """In a thread, whose exceptions can be looked at whatever kind they are of: backends raise many."""
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(question)
    if error := answer.exception():
        raise UserError(f"upload={url} cannot be {what}: {line(error)}", "Mend upload or its credentials, install what it needs")
    return answer.result()


def line(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
