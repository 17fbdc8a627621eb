"""When an endpoint is scraped, and whether its last values have been read: they would be lost between two scrapes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

MOST_SECONDS = 30.0
"""Longest wait for the last scrape."""
SENT_BY_PROMETHEUS = "HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS"
"""The header by which its scrapes are told from a person's reading, who reads as often as they like."""
PATIENCE = 1.5
"""Intervals between two scrapes after which whoever scraped is taken to have gone."""
_App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Scrapes:
    """Watches a WSGI application that serves what was posted; `posts` says how much that is."""

    def __init__(self, posts: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._posts = posts
        self._clock = clock
        self._begun: deque[float] = deque(maxlen=5)  # several gaps: a second reader in between makes one of them short
        self._read = 0
        self._ended = threading.Condition()

    def watched(self, app: _App) -> _App:
        """The same application; an answer to Prometheus counts as a scrape when it has been sent."""

        def watching(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
            begun, posts = self._clock(), self._posts()
            yield from app(environ, start_response)
            if not _is_scrape(environ):
                return
            with self._ended:
                self._begun.append(begun)
                self._read = max(self._read, posts)
                self._ended.notify_all()

        return watching

    @property
    def patience(self) -> float:
        """Seconds for which a scrape of what was posted last is worth waiting for.

        0 where it has been, where nobody scrapes in a rhythm, and where the next scrape is overdue.
        """
        with self._ended:
            if self._read >= self._posts() or len(self._begun) < 2:
                return 0.0
            times = sorted(self._begun)
        gap = max(after - before for before, after in pairwise(times))
        return min(MOST_SECONDS, max(0.0, times[-1] + PATIENCE * gap - self._clock()))

    def wait(self, seconds: float) -> bool:
        """Until a scrape that began after the last post has been answered; False where none was."""
        with self._ended:
            return self._ended.wait_for(lambda: self._read >= self._posts(), seconds)


def _is_scrape(environ: dict[str, Any]) -> bool:
    asked = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    return asked == ("GET", "/metrics") and SENT_BY_PROMETHEUS in environ
