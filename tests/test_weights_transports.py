"""Transports between real processes, and CUDA IPC's protocol between threads."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor
from transformers import PreTrainedModel

from tests.tiny_models import tiny_model
from weights.base import Arrival
from weights.buckets import checksum, flatten_into, layout_of
from weights.ipc import IpcSink, IpcSource, open_cuda, share_cuda
from weights.publisher import Publisher, Receiver
from weights.select import make_sink, make_source

SINKS = 2
VERSIONS = (3, 6)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def parameter_sum(model: torch.nn.Module) -> int:
    return checksum(value.reshape(-1) for value in model.parameters())


def half_frozen(seed: int) -> PreTrainedModel:
    """A model whose embeddings and last layer are not trained."""
    model = tiny_model(seed=seed)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("layers.0" in name)
    return model


def learn(port: int, folder: Path) -> None:
    """The learner's process: two publications, trained weights changed in between and right after each; the first has all."""
    model = half_frozen(seed=0)
    layout = layout_of(model, 8192)
    publisher = Publisher(make_source("gloo", ("127.0.0.1", port), SINKS), layout, "cpu")
    published = []
    for version, buckets in zip(VERSIONS, (len(layout.buckets), layout.trained), strict=True):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * parameter.requires_grad)
        staging = publisher.stage(buckets)
        for buffer, bucket in zip(staging, layout.buckets, strict=False):
            flatten_into(buffer, bucket, dict(model.named_parameters()))
        publisher.send(publisher.due(version, staging))
        published.append((version, checksum(staging), parameter_sum(model)))
    publisher.close()
    (folder / "source.json").write_text(json.dumps(published))


def sample(index: int, port: int, folder: Path) -> None:
    """A sampler's process: other weights to begin with; takes both publications over."""
    model = half_frozen(seed=1 + index)
    receiver = Receiver(make_sink("gloo", ("127.0.0.1", port), index, SINKS), layout_of(model, 8192), "cpu")
    taken = []
    for _ in VERSIONS:
        version, staged, *_ = receiver.receive(check=True)
        assert receiver.apply(dict(model.named_parameters())) == version
        taken.append((version, staged, parameter_sum(model)))
    receiver.close()
    (folder / f"sink-{index}.json").write_text(json.dumps(taken))


def run_member(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    if rank == 0:
        learn(port, folder)
    else:
        sample(rank - 1, port, folder)


@pytest.mark.slow
def test_gloo_brings_two_publications_to_two_other_processes(tmp_path: Path) -> None:
    mp.spawn(run_member, args=(free_port(), tmp_path), nprocs=1 + SINKS)
    source, *sinks = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("source", "sink-0", "sink-1")]
    assert [version for version, *_ in source] == list(VERSIONS)
    assert source[0][1:] != source[1][1:]
    assert sinks == [source] * SINKS


class SharedMemory:
    """Stands in for CUDA's: handles are bytes that are no text, and opening one gives the very tensor that was shared."""

    def __init__(self) -> None:
        self.shared: list[Tensor] = []
        self.opened: list[int] = []

    def share(self, tensor: Tensor) -> bytes:
        self.shared.append(tensor)
        return bytes([255, 0, 128, len(self.shared) - 1])

    def open(self, handle: bytes, like: Tensor) -> Tensor:
        assert handle[:3] == bytes([255, 0, 128])
        self.opened.append(handle[3])
        tensor = self.shared[handle[3]]
        assert (tensor.dtype, tensor.shape) == (like.dtype, like.shape)
        return tensor


def receive(sink: IpcSink, buckets: list[Tensor]) -> Arrival:
    return sink.receive(lambda count: buckets[:count])


def test_ipc_returns_only_when_every_sink_has_copied_and_maps_each_bucket_once() -> None:
    address = ("127.0.0.1", free_port())
    memory = SharedMemory()
    source = IpcSource(address, SINKS, memory.share)
    sinks = [IpcSink(address, index, memory.open) for index in range(SINKS)]
    buckets = [torch.zeros(4), torch.zeros(3, dtype=torch.bfloat16)]
    copies = [[torch.full_like(bucket, -1) for bucket in buckets] for _ in sinks]
    with ThreadPoolExecutor(1) as learner:
        for version, order in zip(VERSIONS, ((0, 1), (1, 0)), strict=True):
            for bucket in buckets:
                bucket.fill_(version)
            sending = learner.submit(source.send, version, buckets)
            assert receive(sinks[order[0]], copies[order[0]]) == (version, 2)
            with pytest.raises(TimeoutError):  # one sink is missing: however long it is waited for, it must not return
                sending.result(0.2)
            assert receive(sinks[order[1]], copies[order[1]]) == (version, 2)
            sending.result(30)
            for copy in copies:
                assert [bucket.tolist() for bucket in copy] == [bucket.tolist() for bucket in buckets]
    with ThreadPoolExecutor(1) as learner:  # and one that holds the first bucket alone
        buckets[0].fill_(9)
        buckets[1].fill_(9)
        sending = learner.submit(source.send, 9, buckets[:1])
        for sink, copy in zip(sinks, copies, strict=True):
            assert receive(sink, copy) == (9, 1)
            assert [bucket[0].item() for bucket in copy] == [9, VERSIONS[-1]]
        sending.result(30)
    assert [id(tensor) for tensor in memory.shared] == [id(bucket) for bucket in buckets] * SINKS
    assert sorted(memory.opened) == [0, 1, 2, 3], "each sink maps handles of its own"
    for end in (*sinks, source):
        end.close()


def test_ipc_publications_are_not_lost_on_a_sink_that_joins_late() -> None:
    address = ("127.0.0.1", free_port())
    memory = SharedMemory()
    source = IpcSource(address, 1, memory.share)
    bucket, copy = torch.arange(5.0), torch.zeros(5)
    with ThreadPoolExecutor(1) as learner:
        sending = learner.submit(source.send, 1, [bucket])
        sink = IpcSink(address, 0, memory.open)
        assert receive(sink, [copy]) == (1, 1)
        sending.result(30)
    assert torch.equal(copy, bucket)
    sink.close()
    source.close()


def test_a_cuda_handle_reaches_torch_field_by_field_in_torchs_own_order(monkeypatch: pytest.MonkeyPatch) -> None:
    # device, memory handle, bytes, offset in the allocation, counter handle, counter offset, event handle, event needed
    fields = (1, b"\xffmemory", 48, 512, b"/counter", 7, b"\x00event", True)
    storage = torch.arange(6.0).untyped_storage()
    mapped: list[tuple[object, ...]] = []

    def new_shared_cuda(*parts: object) -> torch.UntypedStorage:
        mapped.append(parts)
        return storage

    monkeypatch.setattr(torch.UntypedStorage, "_new_shared_cuda", new_shared_cuda)
    shared = SimpleNamespace(
        untyped_storage=lambda: SimpleNamespace(_share_cuda_=lambda: fields),
        storage_offset=lambda: 2,
    )
    tensor = open_cuda(share_cuda(shared), torch.zeros(3))  # type: ignore[arg-type]
    assert mapped == [fields]
    assert tensor.tolist() == [2.0, 3.0, 4.0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.slow
def test_every_transport_that_this_machine_has_gpus_for_is_proved() -> None:
    from benchmarks.gpu_sync import main

    assert main(["--model-mb", "50", "--bucket-mb", "8"]) == 0
