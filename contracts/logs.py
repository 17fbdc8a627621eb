"""What happens in a run, a line of JSON each: when, in which run and process, at which version of the weights, and what.

The driver's lines go to RUN/log.jsonl; each actor's go to its stderr, of which Ray keeps a file per actor. Passwords in URLs
are left out of both.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

FILE = "log.jsonl"
Field = str | int | float | None | list[str] | Mapping[str, float]

_LOGGER = logging.getLogger("rltf")
_LOGGER.addHandler(logging.NullHandler())  # said to nobody, where nobody has asked for it
# In JSON, where a quotation mark has a backslash before it and a new line is \n. A Redis password that its owner forgot to quote
# may hold anything, and Redis' URLs have no other @.
_SECRETS = (
    re.compile(rb'(rediss?://)(?:[^"\\]|\\[^n])*(@)'),
    re.compile(rb'(://)(?:[^\s"/\\]|\\[^n])*(@)'),
    re.compile(rb'([?&][\w-]*(?:password|secret|token|sig|signature|credential)=)(?:[^\s"&\\]|\\[^n])*()', re.IGNORECASE),
)


class Started(msgspec.Struct, frozen=True):
    """An actor that has begun: what it is, and where."""

    actor: str
    """Its role, such as `sampler 0`."""
    node: str
    pid: int
    gpus: str
    """As CUDA_VISIBLE_DEVICES has them."""


class JsonLines(logging.Formatter):
    """Standard logging's records as JSON, one line each."""

    def __init__(self, run: str, role: str) -> None:
        super().__init__()
        self._run = run
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """One line: time (ISO 8601, UTC), level, run, role, version, message, then the event's own fields and a traceback."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "run": self._run,
            "role": self._role,
            "version": getattr(record, "version", None),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = msgspec.json.encode({key: _encodable(value) for key, value in line.items()})
        for secret in _SECRETS:
            text = secret.sub(rb"\1***\2", text)
        return text.decode()


def info(message: str, version: int | None = None, **fields: Field) -> None:
    """Something that belongs to a run's course. `version`: of the weights, in optimizer steps."""
    _LOGGER.info(message, extra={"version": version, "fields": fields})


def warning(message: str, version: int | None = None, **fields: Field) -> None:
    """Something that a person should look at, while the run goes on."""
    _LOGGER.warning(message, extra={"version": version, "fields": fields})


def error(message: str, err: BaseException, **fields: Field) -> None:
    """What ends the run, with its traceback."""
    _LOGGER.error(message, exc_info=err, extra={"fields": fields})


@contextmanager
def to_file(path: Path, run: str, role: str) -> Iterator[None]:
    """Append this process' lines to a file, until the block ends."""
    handler = logging.FileHandler(path, encoding="utf-8")
    _send_to(handler, run, role)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        handler.close()


def begin_actor(run: str, role: str, node: str) -> Started:
    """Write this process' lines to its stderr from now on; the first one says where it is, and so does what is returned."""
    _send_to(logging.StreamHandler(), run, role)
    started = Started(role, node, os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    info("started", node=node, pid=started.pid, gpus=started.gpus)
    return started


def _encodable(value: Field) -> Field:
    """Without half surrogates, which file names and generated programs may hold and UTF-8 has not."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return [part.encode(errors="replace").decode() for part in value] if isinstance(value, list) else value


def _send_to(handler: logging.Handler, run: str, role: str) -> None:
    handler.setFormatter(JsonLines(run, role))
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False
