"""Ctrl-C and `ray job stop` between what belongs together."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """The first SIGINT or SIGTERM that comes within it takes effect at its end; a second one does at once.

    For the main thread, and for what takes no time. Signals that are ignored, or end the process without Python, go on doing so.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    came: list[int] = []
    inside = True

    def later(number: int, frame: FrameType | None) -> None:
        if inside and not came:
            came.append(number)
        else:
            handlers[signal.Signals(number)](number, frame)

    try:
        for number in handlers:
            signal.signal(number, later)
        yield
    finally:
        inside = False
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
