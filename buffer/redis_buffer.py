"""The online buffer over Redis. Actors are given the URL and connect for themselves; entries are msgpack, never pickle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from buffer import scripts
from buffer.base import Append, Counts, OnlineBuffer, Waiting
from contracts.errors import UserError
from contracts.records import LabelledGroup, decode_labelled, encode
from contracts.sections import BufferConfig


class RedisBuffer(OnlineBuffer):
    """A FIFO shared by executors, learner ranks and driver. Retried commands are harmless: appends and draws happen once."""

    def __init__(self, url: str, run: str, config: BufferConfig) -> None:
        """Connect. Raises UserError where `url` is none and where no Redis answers there."""
        try:
            self._client = redis.Redis.from_url(url)
        except ValueError:  # its text may quote the password
            raise UserError(f"{_without_secrets(url)} is not a Redis URL", "Write redis://HOST:PORT/0") from None
        self._config = config
        self._prefix = f"rltf:{{{run}}}:"
        try:
            self._client.ping()
        except redis.RedisError as err:
            raise UserError(
                f"no Redis answers at {self._place(url)}: {err}", "Start it, mend or unset buffer.url or RLTF_REDIS_URL"
            ) from err
        self._scripts = {text: self._client.register_script(text) for text in scripts.ALL}

    def append(self, entry: LabelledGroup) -> Append:
        group = entry.group
        arguments = (group.id, encode(entry), entry.samples, group.policy_version, self._config.capacity, self._config.overflow)
        return Append(self._run(scripts.APPEND, *arguments).decode())

    def waiting(self) -> list[Waiting]:
        flat = self._run(scripts.WAITING)
        rows = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return [Waiting(key.decode(), int(version), int(samples)) for key, version, samples in rows]

    def draw(self, ids: Sequence[str], step: int) -> list[str]:
        return [key.decode() for key in self._run(scripts.DRAW, step, self._config.max_uses, *ids)]

    def fetch(self, ids: Sequence[str]) -> list[LabelledGroup]:
        pipeline = self._client.pipeline(transaction=False)
        for key in ids:
            pipeline.hget(f"{self._prefix}g:{key}", "payload")
        payloads = pipeline.execute()
        for key, payload in zip(ids, payloads, strict=True):
            if payload is None:
                raise KeyError(key)
        return [decode_labelled(payload) for payload in payloads]

    def evict(self, ids: Sequence[str], reason: str) -> None:
        self._run(scripts.EVICT, reason, *ids)

    def commit(self, steps: int) -> None:
        self._run(scripts.COMMIT, steps)

    def rewind(self, steps: int, sequence: int, drawn: int) -> None:
        self._run(scripts.REWIND, steps, sequence, drawn)

    def oldest(self) -> int | None:
        version = self._run(scripts.OLDEST)
        return None if version is None else int(version)

    def counts(self) -> Counts:
        totals = {key.decode(): int(value) for key, value in self._client.hgetall(f"{self._prefix}counts").items()}
        evicted = {key.removeprefix("evicted:"): value for key, value in totals.items() if key.startswith("evicted:")}
        running = {name: totals.get(name, 0) for name in ("waiting", "appended", "drawn", "sequence")}
        return Counts(**running, evicted=evicted)

    def clear(self) -> None:
        """Delete everything that the run keeps in this Redis."""
        keys = list(self._client.scan_iter(match=f"{self._prefix}*", count=1000))
        if keys:
            self._client.delete(*keys)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _run(self, script: str, *arguments: Any) -> Any:
        return self._scripts[script](keys=[self._prefix], args=list(arguments))

    def _place(self, url: str) -> str:
        """Scheme, host or path, and database: what else is in the URL may be secret."""
        found = self._client.connection_pool.connection_kwargs
        place = found.get("path") or f"{found.get('host', 'localhost')}:{found.get('port', 6379)}/{found.get('db', 0)}"
        return f"{url.partition('://')[0]}://{place}"


def _without_secrets(url: str) -> str:
    """Of a URL that cannot be read: nothing that is before a host, nothing of a query."""
    scheme, separator, rest = url.rpartition("://")
    if "?" in rest:
        return f"{scheme}{separator}…"
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
