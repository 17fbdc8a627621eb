"""Parameters as a few flat buckets: never one message per tensor.

The layout (names, shapes, dtypes, offsets) is made once by the learner and told to the samplers before the first publication.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping

import msgspec
import torch
from torch import Tensor


class Slot(msgspec.Struct, frozen=True):
    """One parameter's place in its bucket, in elements."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)


class Bucket(msgspec.Struct, frozen=True):
    """Parameters of one dtype, end to end."""

    dtype: str
    size: int
    slots: tuple[Slot, ...]


class Layout(msgspec.Struct, frozen=True):
    """How a model's parameters are laid out in buckets."""

    buckets: tuple[Bucket, ...]
    trained: int
    """The first so many hold what is trained; the others stay as they are while a stage lasts."""


Described = tuple[str, tuple[int, ...], torch.dtype]


def layout_of(model: torch.nn.Module, bucket_bytes: int) -> Layout:
    """The layout of a model: what requires a gradient comes first."""
    described: dict[bool, list[Described]] = {True: [], False: []}
    for name, value in model.named_parameters():
        described[value.requires_grad].append((name, tuple(value.shape), value.dtype))
    trained, frozen = (plan_buckets(described[kind], bucket_bytes) for kind in (True, False))
    return Layout((*trained, *frozen), len(trained))


def plan_buckets(parameters: Iterable[Described], bucket_bytes: int) -> tuple[Bucket, ...]:
    """Put parameters, in order, into buckets of one dtype and at most `bucket_bytes` (a larger one gets its own)."""
    buckets: list[Bucket] = []
    slots: list[Slot] = []
    size, dtype = 0, ""
    for name, shape, kind in parameters:
        elements = math.prod(shape)
        if slots and (str(kind) != dtype or (size + elements) * kind.itemsize > bucket_bytes):
            buckets.append(Bucket(dtype, size, tuple(slots)))
            slots, size = [], 0
        slots.append(Slot(name, shape, size))
        size, dtype = size + elements, str(kind)
    if slots:
        buckets.append(Bucket(dtype, size, tuple(slots)))
    return tuple(buckets)


def allocate(buckets: Iterable[Bucket], device: str | torch.device = "cpu") -> list[Tensor]:
    """Empty flat buffers, [size] each."""
    return [torch.empty(bucket.size, dtype=dtype_of(bucket), device=device) for bucket in buckets]


def flatten_into(buffer: Tensor, bucket: Bucket, parameters: Mapping[str, Tensor]) -> None:
    """Copy a bucket's parameters into its flat buffer."""
    for slot in bucket.slots:
        buffer[slot.offset : slot.offset + slot.size].copy_(parameters[slot.name].detach().reshape(-1))


def scatter_from(buffer: Tensor, bucket: Bucket, parameters: Mapping[str, Tensor]) -> None:
    """Copy a flat buffer into a model's parameters, in place (captured CUDA graphs stay valid)."""
    with torch.no_grad():
        for slot in bucket.slots:
            parameters[slot.name].copy_(buffer[slot.offset : slot.offset + slot.size].view(slot.shape))


def checksum(buffers: Iterable[Tensor]) -> int:
    """CRC-32 of all buffers' bytes."""
    total = 0
    for buffer in buffers:
        total = zlib.crc32(buffer.detach().cpu().contiguous().view(torch.uint8).numpy(), total)
    return total


def dtype_of(bucket: Bucket) -> torch.dtype:
    """The bucket's torch dtype."""
    dtype = getattr(torch, bucket.dtype.removeprefix("torch."))
    assert isinstance(dtype, torch.dtype)
    return dtype
