"""Whole numbers of any length: tests of APPS hold some of 9,000 digits, and Python by itself reads and writes 4,300."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

_LOCK = RLock()
"""The limit is the whole process's: one thread at a time lifts it and puts it back."""


@contextmanager
def any_digits() -> Iterator[None]:
    """Within it, or in a function that it decorates, a whole number's text may have any number of digits."""
    with _LOCK:
        most = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
        try:
            yield
        finally:
            sys.set_int_max_str_digits(most)
