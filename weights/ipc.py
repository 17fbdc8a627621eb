"""CUDA IPC, for samplers that share the learner's GPU: they map its staging buckets and copy out of them.

A TCP store carries the signals: the source announces publication n with its version and its number of buckets, every sink
acknowledges when it has copied, and only then does the source return. Plain data goes over the wire, no pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor

from weights.base import Arrival, Sink, Source, Staging
from weights.group import TIMEOUT

Share = Callable[[Tensor], bytes]
Open = Callable[[bytes, Tensor], Tensor]


class IpcHandle(msgspec.Struct, frozen=True):
    """What a process needs to map another's CUDA tensor: torch's own handle, field by field."""

    device: int
    handle: bytes
    storage_bytes: int
    storage_offset: int
    counter_handle: bytes
    counter_offset: int
    event_handle: bytes
    event_sync: bool
    tensor_offset: int


def share_cuda(tensor: Tensor) -> bytes:
    """The handle of a flat CUDA tensor; the tensor must outlive all who map it."""
    parts = tensor.untyped_storage()._share_cuda_()
    return msgspec.msgpack.encode(IpcHandle(*(*parts, tensor.storage_offset())))


def open_cuda(payload: bytes, like: Tensor) -> Tensor:
    """Map a shared flat tensor of the dtype and size of `like`."""
    handle = msgspec.msgpack.decode(payload, type=IpcHandle)
    *parts, offset = msgspec.structs.astuple(handle)
    storage = torch.UntypedStorage._new_shared_cuda(*parts)
    return torch.empty(0, dtype=like.dtype, device=like.device).set_(storage, offset, like.shape)


class IpcSource(Source):
    """The learner's end; it always sends the same buckets, all of them at first."""

    keeps_buckets = True

    def __init__(self, address: tuple[str, int], sinks: int, share: Share = share_cuda) -> None:
        self._store = dist.TCPStore(*address, is_master=True, timeout=TIMEOUT, wait_for_workers=False)
        self._sinks = sinks
        self._share = share
        self._sent = 0

    def send(self, version: int, buckets: Sequence[Tensor]) -> None:
        if self._sent == 0:
            for sink in range(self._sinks):  # a handle each: torch counts one reference for every handle that it makes
                for i, bucket in enumerate(buckets):
                    self._store.set(f"handle/{sink}/{i}", self._share(bucket))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._sent += 1
        self._store.set(f"sent/{self._sent}", f"{version} {len(buckets)}")
        self._store.wait([f"copied/{self._sent}/{sink}" for sink in range(self._sinks)], TIMEOUT)

    def close(self) -> None:
        del self._store


class IpcSink(Sink):
    """A sampler's end."""

    def __init__(self, address: tuple[str, int], index: int, open_: Open = open_cuda) -> None:
        self._store = dist.TCPStore(*address, is_master=False, timeout=TIMEOUT)
        self._index = index
        self._open = open_
        self._received = 0
        self._mapped: list[Tensor] = []

    def receive(self, staging: Staging) -> Arrival:
        self._received += 1
        arrival = Arrival(*map(int, self._store.get(f"sent/{self._received}").split()))
        buckets = staging(arrival.buckets)
        if not self._mapped:
            handles = [self._store.get(f"handle/{self._index}/{i}") for i in range(len(buckets))]
            self._mapped = [self._open(handle, bucket) for handle, bucket in zip(handles, buckets, strict=True)]
        for bucket, shared in zip(buckets, self._mapped, strict=False):
            bucket.copy_(shared)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._store.set(f"copied/{self._received}/{self._index}", "yes")
        return arrival

    def close(self) -> None:
        self._mapped.clear()
        del self._store
