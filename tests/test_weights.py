"""How parameters become flat buckets, staging on both ends, and which transport fits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import accumulate, pairwise
from types import SimpleNamespace

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from contracts.errors import UserError
from tests.tiny_models import tiny_model
from weights.base import Arrival, Source, Staging
from weights.buckets import Layout, allocate, checksum, dtype_of, flatten_into, layout_of, plan_buckets, scatter_from
from weights.memory import MemoryTransport
from weights.publisher import Publisher, Received, Receiver
from weights.select import Place, choose_transport

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
shapes = st.lists(st.integers(1, 6), max_size=3).map(tuple)
parameter_lists = st.lists(st.tuples(shapes, st.sampled_from(DTYPES)), max_size=20)


@given(parameter_lists, st.integers(1, 400))
def test_layouts_keep_order_fill_buckets_end_to_end_and_respect_their_size(
    parameters: list[tuple[tuple[int, ...], torch.dtype]], limit: int
) -> None:
    named = [(f"p{i}", shape, dtype) for i, (shape, dtype) in enumerate(parameters)]
    buckets = plan_buckets(named, limit)
    slots = [(slot.name, slot.shape, dtype_of(bucket)) for bucket in buckets for slot in bucket.slots]
    assert slots == named
    for bucket in buckets:
        sizes = [slot.size for slot in bucket.slots]
        assert [slot.offset for slot in bucket.slots] == [0, *accumulate(sizes)][:-1]
        assert bucket.size == sum(sizes)
        assert bucket.size * dtype_of(bucket).itemsize <= limit or len(sizes) == 1
    for bucket, following in pairwise(buckets):
        joined = (bucket.size + following.slots[0].size) * dtype_of(bucket).itemsize
        assert joined > limit or bucket.dtype != following.dtype, "no bucket ends early"


@given(parameter_lists, st.integers(1, 400))
def test_parameters_survive_the_way_through_buckets(parameters: list[tuple[tuple[int, ...], torch.dtype]], limit: int) -> None:
    values = {f"p{i}": torch.randn(shape).to(dtype) for i, (shape, dtype) in enumerate(parameters)}
    layout = whole_layout(values, limit)
    buffers = flattened(layout, values)
    again = {name: torch.full_like(value, torch.nan) for name, value in values.items()}
    for buffer, bucket in zip(buffers, layout.buckets, strict=True):
        scatter_from(buffer, bucket, again)
    assert all(torch.equal(again[name], value) for name, value in values.items())


def whole_layout(values: dict[str, Tensor], limit: int) -> Layout:
    """Of parameters that are all trained."""
    buckets = plan_buckets([(name, tuple(value.shape), value.dtype) for name, value in values.items()], limit)
    return Layout(buckets, len(buckets))


def flattened(layout: Layout, values: dict[str, Tensor]) -> list[Tensor]:
    buffers = allocate(layout.buckets)
    for buffer, bucket in zip(buffers, layout.buckets, strict=True):
        flatten_into(buffer, bucket, values)
    return buffers


def test_a_larger_parameter_gets_a_bucket_of_its_own() -> None:
    named = [("small", (2,), torch.float32), ("large", (10, 10), torch.float32), ("last", (3,), torch.float32)]
    names = [[slot.name for slot in bucket.slots] for bucket in plan_buckets(named, 64)]
    assert names == [["small"], ["large"], ["last"]]


def test_a_layout_travels_as_plain_data() -> None:
    layout = layout_of(tiny_model(), 4096)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(layout), type=Layout) == layout


@pytest.mark.parametrize("family", ["llama", "t5", "gpt2"])
def test_tied_weights_are_sent_once_and_arrive_in_place_on_both_sides_of_the_tie(family: str) -> None:
    learned, sampled = tiny_model(family, seed=1), tiny_model(family, seed=2)
    layout = layout_of(learned, 4096)
    assert len(layout.buckets) > 3
    addresses = {value.data_ptr() for value in learned.parameters()}
    assert sum(len(bucket.slots) for bucket in layout.buckets) == len(addresses)
    places = {name: value.data_ptr() for name, value in sampled.named_parameters()}
    buffers = flattened(layout, dict(learned.named_parameters()))
    for buffer, bucket in zip(buffers, layout.buckets, strict=True):
        scatter_from(buffer, bucket, dict(sampled.named_parameters()))
    assert sampled.get_output_embeddings().weight is sampled.get_input_embeddings().weight
    assert {name: value.data_ptr() for name, value in sampled.named_parameters()} == places
    for name, value in learned.state_dict().items():
        assert torch.equal(sampled.state_dict()[name], value)


def test_a_checksum_tells_apart_one_changed_bit_and_the_order_of_buckets() -> None:
    one, two = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0], dtype=torch.bfloat16)
    changed = torch.tensor([3.0, -0.0], dtype=torch.bfloat16)
    sums = [checksum(buffers) for buffers in ([one, two], [one, two.clone()], [one, changed], [two, one], [one])]
    assert sums[0] == sums[1]
    assert len(set(sums)) == 4


def test_the_memory_transport_delivers_copies_in_order() -> None:
    transport, buffer, arrived = MemoryTransport(), torch.zeros(3), torch.zeros(3)
    for version in (1, 2):
        transport.send(version, [buffer.fill_(version)])
    buffer.fill_(9)
    assert (transport.receive(lambda _: [arrived]), arrived.tolist()) == ((1, 1), [1.0] * 3)
    assert (transport.receive(lambda _: [arrived]), arrived.tolist()) == ((2, 1), [2.0] * 3)


def parameters(value: float) -> dict[str, Tensor]:
    return {"w": torch.full((2, 2), float(value)), "b": torch.full((2,), float(value))}


LAYOUT = whole_layout(parameters(0), 16)


def publish(publisher: Publisher, version: int, value: float) -> int:
    """Publish weights that are all `value`; returns their checksum."""
    staging = publisher.stage(2)
    for buffer, bucket in zip(staging, LAYOUT.buckets, strict=True):
        flatten_into(buffer, bucket, parameters(value))
    total = checksum(staging)
    publisher.send(publisher.due(version, staging))
    return total


def test_what_has_arrived_is_applied_once_and_nothing_before_it_arrives() -> None:
    transport = MemoryTransport()
    publisher, receiver = Publisher(transport, LAYOUT, "cpu"), Receiver(transport, LAYOUT, "cpu")
    model = parameters(0)
    assert receiver.apply(model) is None
    total = publish(publisher, 5, 1.5)
    publisher.stage(0)
    assert receiver.apply(model) is None, "sent is not yet arrived"
    assert model["w"].sum() == 0
    assert receiver.receive(check=True)[:2] == (5, total)
    assert model["w"].sum() == 0, "arrived is not yet applied"
    assert receiver.apply(model) == 5
    assert (model["w"].tolist(), model["b"].tolist()) == ([[1.5, 1.5]] * 2, [1.5, 1.5])
    assert receiver.apply(model) is None
    publisher.close()
    receiver.close()


def test_a_publication_takes_from_when_it_is_waited_for_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    transport, times = MemoryTransport(), iter([10.0, 12.5])
    receiver = Receiver(transport, LAYOUT, "cpu")
    transport.send(3, flattened(LAYOUT, parameters(1.0)))
    monkeypatch.setattr("weights.publisher.time", SimpleNamespace(perf_counter=times.__next__))
    assert receiver.receive() == Received(version=3, checksum=None, size=4 * 6, seconds=2.5)


def test_only_the_newest_of_two_arrivals_is_applied() -> None:
    transport = MemoryTransport()
    publisher, receiver = Publisher(transport, LAYOUT, "cpu"), Receiver(transport, LAYOUT, "cpu")
    publish(publisher, 1, 1.0)
    publish(publisher, 2, 2.0)
    publisher.stage(0)
    assert [receiver.receive()[:2], receiver.receive()[:2]] == [(1, None), (2, None)]
    model = parameters(0)
    assert receiver.apply(model) == 2
    assert model["b"].tolist() == [2.0, 2.0]
    publisher.close()


class Gate(Source):
    """Sends when it is let through; a negative version breaks the line."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.sent: list[tuple[int, float]] = []
        self.closed = False

    def send(self, version: int, buckets: Sequence[Tensor]) -> None:
        assert self.open.wait(30)
        if version < 0:
            raise ConnectionError("the line broke")
        self.sent.append((version, buckets[0][0].item()))

    def close(self) -> None:
        self.closed = True


def test_sending_goes_on_in_the_background_and_close_lets_it_finish() -> None:
    gate = Gate()
    publisher = Publisher(gate, LAYOUT, "cpu")
    publish(publisher, 3, 4.0)
    assert gate.sent == [], "send returned while the gate was shut"
    gate.open.set()
    publish(publisher, 4, 5.0)
    publisher.close()
    assert gate.sent == [(3, 4.0), (4, 5.0)], "the staging copy was not overwritten under the first sending"
    assert gate.closed


def test_a_broken_sending_is_raised_at_the_next_publication() -> None:
    gate = Gate()
    gate.open.set()
    publisher = Publisher(gate, LAYOUT, "cpu")
    publish(publisher, -1, 0.0)
    with pytest.raises(ConnectionError, match="the line broke"):
        publish(publisher, 2, 0.0)


def published(publisher: Publisher, version: int) -> int:
    """Publish weights that are all `version`, as a learner rank does; returns the checksum of what is sent."""
    staging = publisher.stage(2)
    for buffer in staging:
        buffer.fill_(version)
    publication = publisher.due(version, staging)
    publisher.send(publication)
    return checksum(publication.buckets)


@given(st.integers(0, 4), st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_samplers_stay_so_many_publications_behind_in_each_stage(hold_back: int, stages: list[int]) -> None:
    transport = MemoryTransport()
    publisher, receiver = Publisher(transport, LAYOUT, "cpu", hold_back), Receiver(transport, LAYOUT, "cpu")
    model = parameters(-1)
    for publications in stages:
        for version in range(publications):
            total = published(publisher, version)
            publisher.stage(0)
            due = max(0, version - hold_back)
            assert receiver.receive(check=True)[:2] == (due, total), "the checksum is that of what was sent"
            assert receiver.apply(model) == due
            assert {*model["w"].flatten().tolist(), *model["b"].tolist()} == {float(due)}
        publisher.forget()
    publisher.close()


def test_the_versions_of_five_publications_two_behind() -> None:
    gate = Gate()
    gate.open.set()
    publisher = Publisher(gate, LAYOUT, "cpu", hold_back=2)
    for version in range(5):
        published(publisher, version)
    publisher.close()
    assert gate.sent == [(0, 0.0), (0, 0.0), (0, 0.0), (1, 1.0), (2, 2.0)]


class Torn(MemoryTransport):
    """The line breaks in the middle of the second publication."""

    def receive(self, staging: Staging) -> Arrival:
        arrival = super().receive(staging)
        if arrival.version == 2:
            raise ConnectionError("the line broke")
        return arrival


def test_a_transfer_that_breaks_off_leaves_nothing_to_apply() -> None:
    transport = Torn()
    receiver = Receiver(transport, LAYOUT, "cpu")
    for version in (1, 2):
        transport.send(version, flattened(LAYOUT, parameters(version)))
    assert receiver.receive()[:2] == (1, None)
    with pytest.raises(ConnectionError, match="the line broke"):
        receiver.receive()
    model = parameters(0)
    assert receiver.apply(model) is None
    assert [value.sum().item() for value in model.values()] == [0.0, 0.0]


CPU, OTHER_CPU = Place("a", ()), Place("b", ())
GPU0, GPU1, FAR0 = Place("a", ("0",)), Place("a", ("1",)), Place("b", ("0",))


@pytest.mark.parametrize(
    ("learner", "samplers", "auto"),
    [
        (CPU, [CPU, OTHER_CPU], "gloo"),
        (GPU0, [GPU1], "nccl"),
        (GPU0, [GPU1, FAR0], "nccl"),
        (GPU0, [GPU0], "ipc"),
        (GPU0, [GPU0, GPU0], "ipc"),
        (GPU0, [Place("a", ("1", "0"))], "ipc"),
        (GPU0, [GPU0, GPU1], "gloo"),  # neither fits: NCCL cannot join two ranks on one GPU, IPC cannot leave it
        (GPU0, [GPU1, GPU1], "gloo"),  # two samplers on one GPU cannot be in one NCCL group either
        (GPU0, [GPU1, CPU], "gloo"),
        (CPU, [GPU0], "gloo"),
        (GPU0, [CPU], "gloo"),
    ],
)
def test_the_transport_that_fits_the_placement(learner: Place, samplers: list[Place], auto: str) -> None:
    assert choose_transport("auto", learner, samplers) == auto
    assert choose_transport("gloo", learner, samplers) == "gloo"
    for configured in ("nccl", "ipc"):
        if configured == auto:
            assert choose_transport(configured, learner, samplers) == auto
        else:
            with pytest.raises(UserError, match=rf"weights\.transport={configured}.*Use auto \(here: {auto}\)"):
                choose_transport(configured, learner, samplers)


# What is frozen travels once


class Half(torch.nn.Module):
    """Two frozen parameters around a trained one."""

    def __init__(self, trained: float, frozen: float) -> None:
        super().__init__()
        self.first = torch.nn.Parameter(torch.full((3,), float(frozen)), requires_grad=False)
        self.middle = torch.nn.Parameter(torch.full((2, 2), float(trained)))
        self.last = torch.nn.Parameter(torch.full((4,), float(frozen)), requires_grad=False)

    def values(self) -> list[float]:
        return [value.flatten()[0].item() for value in self.parameters()]


HALF = layout_of(Half(0, 0), 16)


def test_what_is_trained_comes_first_in_a_layout() -> None:
    assert [[slot.name for slot in bucket.slots] for bucket in HALF.buckets] == [["middle"], ["first"], ["last"]]
    assert HALF.trained == 1


def send(publisher: Publisher, version: int, model: Half, buckets: int) -> int:
    """As a learner rank publishes; returns the checksum of what is sent."""
    staging = publisher.stage(buckets)
    for buffer, bucket in zip(staging, HALF.buckets, strict=False):
        flatten_into(buffer, bucket, dict(model.named_parameters()))
    publication = publisher.due(version, staging)
    publisher.send(publication)
    return checksum(publication.buckets)


class Counting(MemoryTransport):
    """Knows the elements of each publication."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[int] = []

    def send(self, version: int, buckets: Sequence[Tensor]) -> None:
        self.elements.append(sum(map(len, buckets)))
        super().send(version, buckets)


@given(st.integers(0, 3), st.lists(st.integers(1, 5), min_size=1, max_size=3), st.booleans())
def test_what_is_frozen_travels_with_a_stages_first_publication_alone(hold_back: int, stages: list[int], at_once: bool) -> None:
    transport = Counting()
    publisher, receiver = Publisher(transport, HALF, "cpu", hold_back), Receiver(transport, HALF, "cpu")
    sampled = Half(-1.0, -1.0)
    for stage, publications in enumerate(stages):
        for version in range(publications):
            total = send(publisher, version, Half(version, 10 + stage), 3 if version == 0 else 1)
            publisher.stage(0)
            due = max(0, version - hold_back)
            received = receiver.receive(check=True)
            assert received[:2] == (due, total)
            assert received.size == 4 * transport.elements[-1], "bytes of what came, in single precision"
            if at_once or version == publications - 1:  # others are displaced by newer ones before they are applied
                assert receiver.apply(dict(sampled.named_parameters())) == due
                assert sampled.values() == [10 + stage, due, 10 + stage]
        publisher.forget()
    assert transport.elements == [11 if version == 0 else 4 for n in stages for version in range(n)]
    publisher.close()


def test_what_is_frozen_is_staged_only_on_its_way() -> None:
    transport = MemoryTransport()
    publisher, receiver = Publisher(transport, HALF, "cpu"), Receiver(transport, HALF, "cpu")
    send(publisher, 1, Half(1, 2), 3)
    publisher.stage(0)
    receiver.receive()
    assert (len(publisher._staging._buffers), len(receiver._staging._buffers)) == (1, 3)
    receiver.apply(dict(Half(0, 0).named_parameters()))
    assert len(receiver._staging._buffers) == 1
    publisher.close()
