"""Copies the run folder to a URL that fsspec knows, while the run goes on. What is there is enough to go on from.

Copying never holds up the run, and never ends it before its own end. state.json is read first and written last, and only where
all of the checkpoint that it names is there: what the copy's says is always there. So is the buffer as it stood at that state,
since the run's own goes on: it is set aside, and sent under the state's step.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from contracts import logs
from contracts import metrics as m
from contracts.errors import RunError, UserError
from rltf.board import Values
from rltf.copies import BUFFER, COPIED, STATE, Copy, buffer_at, line
from rltf.counted import FILE as COUNTS
from rltf.runs import RunFolder, State
from rltf.supervised import newest_checkpoint

ATTEMPTS = 3
SECONDS_BETWEEN = 5.0

Stamps = dict[str, tuple[int, int]]
"""File → its size and time."""
GONE = f"the checkpoint that its {STATE} names is not there"


class _Standing(NamedTuple):
    """What a state.json names."""

    state: bytes
    step: int
    checkpoint: Path | None
    stamps: Stamps
    """Of the checkpoint's files."""


class Upload:
    """Copies a run's folder, changed files only; a no-op where there is no URL."""

    def __init__(
        self,
        url: str | None,
        folder: Path,
        tell: Callable[[str], None],
        post: Callable[[Values], object],
        *,
        lasts: bool = True,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`tell` hears what went wrong, and at the end that all is there; `post`, from any thread, how many copies have failed.

        `check_url` has found nothing against the URL. `lasts`: False where the folder goes when the run has ended.
        """
        self._copy = Copy(url, folder.name) if url else None
        self._folder = folder
        self._aside = folder / f"{BUFFER}.partial"
        self._tell = tell
        self._post = post
        self._remedy = "Copy it from there, or mend the cause and go on with --resume"
        if not lasts:
            self._remedy = "That folder goes with the job: mend the cause, then --resume goes on from what is at the URL"
        self._pause = pause
        self._failed = 0
        self._sent: Stamps = {}
        self._ours: set[str] = set()
        self._thread = ThreadPoolExecutor(1)
        self._under_way: Future[bool] | None = None
        self._begun = False

    def begin(self) -> None:
        """Copy what there is. Raises UserError where that fails: before anything is paid for."""
        self._post({m.COPIES_FAILED.name: 0})
        if not self._copy:
            return
        if error := self._thread.submit(self._first_round, self._copy).exception():
            raise UserError(f"{self._copy.url} cannot be written to: {line(error)}", "Mend upload, or its credentials")
        self._begun = True

    def in_background(self) -> None:
        """Begin to copy what has changed, unless that is still under way. Failures are told, and made good by the next time."""
        if not self._copy or (self._under_way and not self._under_way.done()):
            return
        self._warn(self._copy)
        self._under_way = self._thread.submit(self._noted_round, self._copy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        """Copy all that has changed. Raises RunError where it cannot be done, unless something else has ended the run."""
        if not self._copy or not self._begun:
            return
        error = self._last_round(self._copy)
        for _ in range(ATTEMPTS - 1):
            if error:
                self._say_failed(self._copy, "tried again", error)
                self._pause(SECONDS_BETWEEN)
                error = self._last_round(self._copy)
        if not error:
            self._tell(f"copy: {self._copy.url}")
            return
        said = f"the run is in {self._folder}, and not all of it at {self._copy.url}: {error}"
        self._tell(said)
        logs.warning("not all of the run is at upload", error=error)
        if kind is None:
            raise RunError(said, self._remedy)

    def _warn(self, copy: Copy) -> None:
        if self._under_way and (error := _fault(self._under_way)):
            self._say_failed(copy, "the next checkpoint tries again", error)

    def _say_failed(self, copy: Copy, then: str, error: str) -> None:
        self._tell(f"upload to {copy.url} failed, {then}: {error}")
        logs.warning("a copy to upload failed", url=copy.url, error=error)

    def _last_round(self, copy: Copy) -> str:
        """What went wrong with it; empty: nothing."""
        return _fault(self._thread.submit(self._noted_round, copy))

    def _noted_round(self, copy: Copy) -> bool:
        """A round, and how many have failed since the last one that did not."""
        whole = False
        try:
            whole = self._round(copy)
        finally:
            self._failed = 0 if whole else self._failed + 1
            self._post({m.COPIES_FAILED.name: self._failed})
            shutil.rmtree(self._aside, ignore_errors=True)
        return whole

    def _first_round(self, copy: Copy) -> bool:
        if COPIED in copy.names():
            self._ours = set(msgspec.json.decode(copy.read(COPIED), type=list[str]))
        return self._round(copy)

    def _round(self, copy: Copy) -> bool:
        """Copy what has changed. False where the checkpoint that the state names has made way meanwhile: then the copy's state,
        and the checkpoint that it names, stay as they are until the next time."""
        at = self._standing()
        here = self._files(at.step)
        if not here.keys() <= self._ours:
            self._ours |= here.keys()
            copy.write(COPIED, msgspec.json.encode(sorted(self._ours)))
        for name in sorted(here, key=lambda name: (name.endswith(COUNTS), name)):  # no sample without its count: see Counted
            self._send(copy, name, here[name])
        if at.checkpoint and not (at.stamps and _stamps(at.checkpoint) == at.stamps):
            return False
        copy.write(STATE, at.state)
        for name in copy.names() & (self._ours - here.keys()):
            copy.remove(name)
        self._ours = set(here)
        return True

    def _files(self, step: int) -> dict[str, Path]:
        """Name in the copy → what is to be sent, but for the state. The buffer is what was set aside."""
        found = {str(path.relative_to(self._folder)): path for path in self._folder.rglob("*") if path.is_file()}
        live = {name: path for name, path in found.items() if ".partial" not in name and not name.startswith(f"{BUFFER}/")}
        buffer = {buffer_at(step) + path.name: path for path in self._aside.iterdir()}
        return {name: path for name, path in (live | buffer).items() if name not in (STATE, COPIED)}

    def _standing(self) -> _Standing:
        """state.json, the checkpoint that it names, whole, and its buffer, set aside.

        A checkpoint makes way, and programs that it has used leave the buffer, only after a newer state has been saved.
        """
        path = self._folder / STATE
        while True:
            state = path.read_bytes()
            decoded = msgspec.json.decode(state, type=State)
            newest = newest_checkpoint(RunFolder(self._folder), decoded)
            kept = _stamps(newest) if newest else {}
            self._set_aside()
            if path.read_bytes() == state:
                return _Standing(state, decoded.step, newest, kept)

    def _set_aside(self) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir()
        for path in (self._folder / BUFFER).glob("*"):
            if not path.name.startswith("temp-"):  # so Redis calls a file that it has not finished
                shutil.copy2(path, self._aside)

    def _send(self, copy: Copy, name: str, path: Path) -> None:
        stamp = _stamp(path)
        if stamp is None or self._sent.get(name) == stamp:
            return
        try:
            copy.send(name, path)
        except FileNotFoundError:
            if path.exists():  # it is the target that is not there
                raise
        self._sent[name] = stamp


def _fault(done: Future[bool]) -> str:
    """What went wrong with a round, in a line; empty: nothing. Waits for its end."""
    if error := done.exception():
        return line(error)
    return "" if done.result() else GONE


def _stamps(folder: Path) -> Stamps:
    found = {str(path): _stamp(path) for path in folder.rglob("*") if path.is_file()}
    return {name: stamp for name, stamp in found.items() if stamp}


def _stamp(path: Path) -> tuple[int, int] | None:
    """None: it has made way, as old checkpoints do."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
