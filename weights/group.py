"""Broadcast over a process group of its own: learner rank 0 and all samplers. gloo for CPUs, NCCL for GPUs of their own.

The group is built directly over its own store, beside whatever group DeepSpeed uses. It ends with any of its members: a
sampler's death ends the run. NCCL cannot join two ranks on one GPU: see ipc.py for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from weights.base import Arrival, Sink, Source, Staging

SOURCE = 0
TIMEOUT = timedelta(minutes=10)


class _Group:
    """One member of the group: rank 0 sends, ranks 1 … n receive."""

    def __init__(self, backend: str, address: tuple[str, int], rank: int, size: int) -> None:
        """Join. gloo returns when all members have; NCCL connects at the first broadcast. `address`: of rank 0's store."""
        host, port = address
        store = dist.TCPStore(host, port, size, is_master=rank == SOURCE, timeout=TIMEOUT, wait_for_workers=False)
        self._store = store  # rank 0's serves the others: it must live as long as the group
        self._device = torch.device("cuda" if backend == "nccl" else "cpu")
        self._group: Any
        if backend == "nccl":
            options = dist.ProcessGroupNCCL.Options()
            self._group = dist.ProcessGroupNCCL(store, rank, size, options)
        else:
            self._group = dist.ProcessGroupGloo(store, rank, size, TIMEOUT)

    def broadcast(self, tensor: Tensor) -> None:
        options = dist.BroadcastOptions()
        options.rootRank, options.rootTensor = SOURCE, 0
        self._group.broadcast([tensor], options).wait()
        if self._device.type == "cuda":
            torch.cuda.current_stream().synchronize()

    def header(self, version: int = 0, buckets: int = 0) -> Tensor:
        return torch.tensor([version, buckets], dtype=torch.int64, device=self._device)

    def close(self) -> None:
        self._group.shutdown()


class GroupSource(_Group, Source):
    """Rank 0 of the group."""

    def send(self, version: int, buckets: Sequence[Tensor]) -> None:
        self.broadcast(self.header(version, len(buckets)))
        for bucket in buckets:
            self.broadcast(bucket)


class GroupSink(_Group, Sink):
    """A sampler's end."""

    def receive(self, staging: Staging) -> Arrival:
        header = self.header()
        self.broadcast(header)
        arrival = Arrival(*map(int, header.tolist()))
        for bucket in staging(arrival.buckets):
            self.broadcast(bucket)
        return arrival
