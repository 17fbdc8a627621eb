"""Copies the run folder to a URL that fsspec knows, while the run goes on. What is there is enough to go on from.

Copying never holds up the run, and never ends it before its own end. state.json is read first and written last, and only where
all of the checkpoint that it names is there: what the copy's says is always there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from contracts.errors import RunError, UserError
from rltf.copies import COPIED, STATE, Copy, line
from rltf.runs import RunFolder, State
from rltf.supervised import newest_checkpoint

ATTEMPTS = 3
SECONDS_BETWEEN = 5.0

Stamps = dict[str, tuple[int, int]]
"""File → its size and time."""


class Upload:
    """Copies a run's folder, changed files only; a no-op where there is no URL."""

    def __init__(
        self, url: str | None, folder: Path, tell: Callable[[str], None], pause: Callable[[float], None] = time.sleep
    ) -> None:
        """`tell` hears what went wrong, and at the end that all is there. `check_url` has found nothing against the URL."""
        self._copy = Copy(url, folder.name) if url else None
        self._folder = folder
        self._tell = tell
        self._pause = pause
        self._sent: Stamps = {}
        self._ours: set[str] = set()
        self._thread = ThreadPoolExecutor(1)
        self._under_way: Future[bool] | None = None
        self._begun = False

    def begin(self) -> None:
        """Copy what there is. Raises UserError where that fails: before anything is paid for."""
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
        self._under_way = self._thread.submit(self._round, self._copy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        """Copy all that has changed. Raises RunError where it cannot be done, unless something else has ended the run."""
        if not self._copy or not self._begun:
            return
        error = self._last_round(self._copy)
        for _ in range(ATTEMPTS - 1):
            if error:
                self._tell(f"upload to {self._copy.url} failed, tried again: {error}")
                self._pause(SECONDS_BETWEEN)
                error = self._last_round(self._copy)
        if not error:
            self._tell(f"copy: {self._copy.url}")
            return
        said = f"the run is in {self._folder}, and not all of it at {self._copy.url}: {error}"
        self._tell(said)
        if kind is None:
            raise RunError(said, "Copy it from there, or mend the cause and go on with --resume")

    def _warn(self, copy: Copy) -> None:
        if self._under_way and (error := self._under_way.exception()):
            self._tell(f"upload to {copy.url} failed, the next checkpoint tries again: {line(error)}")

    def _last_round(self, copy: Copy) -> str:
        """What went wrong with it; empty: nothing."""
        done = self._thread.submit(self._round, copy)
        if error := done.exception():
            return line(error)
        return "" if done.result() else f"the checkpoint that its {STATE} names is not there"

    def _first_round(self, copy: Copy) -> bool:
        if COPIED in copy.names():
            self._ours = set(msgspec.json.decode(copy.read(COPIED), type=list[str]))
        return self._round(copy)

    def _round(self, copy: Copy) -> bool:
        """Copy what has changed. False where the checkpoint that the state names has made way meanwhile: then the copy's state,
        and the checkpoint that it names, stay as they are until the next time."""
        state, newest, kept = self._state_and_checkpoint()
        here = {str(path.relative_to(self._folder)): path for path in self._folder.rglob("*") if path.is_file()}
        here = {name: path for name, path in here.items() if ".partial" not in name and name not in (STATE, COPIED)}
        if not here.keys() <= self._ours:
            self._ours |= here.keys()
            copy.write(COPIED, msgspec.json.encode(sorted(self._ours)))
        for name, path in sorted(here.items()):
            self._send(copy, name, path)
        if newest and not (kept and _stamps(newest) == kept):
            return False
        copy.write(STATE, state)
        for name in copy.names() & (self._ours - here.keys()):
            copy.remove(name)
        self._ours = set(here)
        return True

    def _state_and_checkpoint(self) -> tuple[bytes, Path | None, Stamps]:
        """state.json, and the checkpoint that it names, whole: one makes way only after a newer state has been saved."""
        path = self._folder / STATE
        while True:
            state = path.read_bytes()
            newest = newest_checkpoint(RunFolder(self._folder), msgspec.json.decode(state, type=State))
            kept = _stamps(newest) if newest else {}
            if path.read_bytes() == state:
                return state, newest, kept

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
