"""Keeps others out of a folder while somebody works in it, by a file that the system unlocks when its holder's processes end."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from contracts.errors import UserError

_NO_LOCKS_THERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def locked(path: Path, what: str, remedy: str) -> Iterator[int]:
    """Hold the lock `path` until it is closed here and in all processes that its descriptor, which is yielded, was passed on to.

    Raises UserError where somebody holds it: `what` is running, and who runs it. A file system without locks keeps nobody out.
    """
    with _opened(path) as file:
        _take(file, what, remedy)
        file.truncate(0)
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {since}".encode())
        file.flush()
        yield file.fileno()


@contextmanager
def alone_in(folder: Path, what: str) -> Iterator[None]:
    """Be the only one who makes this folder or goes on in it. Raises UserError where somebody else is, who runs `what`."""
    lock = _beside(folder)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock, *_words(folder, what)):
        yield


def check_alone(folder: Path, what: str) -> None:
    """See whether `alone_in` would go ahead; changes nothing. Raises UserError where it would not."""
    if _beside(folder).is_file():
        with _opened(_beside(folder)) as file:
            _take(file, *_words(folder, what))


def _beside(folder: Path) -> Path:
    """Not in it: it is moved away where it is made anew."""
    folder = folder.resolve()
    return folder.with_name(f".{folder.name}.lock")


def _words(folder: Path, what: str) -> tuple[str, str]:
    return f"{what} in {folder}", "Wait until it has ended, end it, or choose another folder"


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("a+b")
    except PermissionError as err:
        raise UserError(f"{path} cannot be written to", f"Make it and {path.parent} writable, or choose another folder") from err


def _take(file: BinaryIO, what: str, remedy: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        file.seek(0)
        holder = file.read().decode(errors="replace")
        raise UserError(f"{what} is running{holder and f': {holder}'}", remedy) from err
    except OSError as err:
        if err.errno not in _NO_LOCKS_THERE:
            raise
