"""Prove the weight transports on the machine at hand, and time them.

    python -m benchmarks.gpu_sync [--model-mb 1000] [--bucket-mb 256]

Needs torch, transformers and this repository; no Ray, no DeepSpeed. Two processes, a learner and a sampler, hold a Llama of
about the given size with different random weights. Twice the learner changes its weights and publishes them, the second time
without its embeddings, which are frozen then; each time both ends must agree on a checksum of their parameters and on the logits
of one forward pass. Tried are, as the runs use them: NCCL between two GPUs, CUDA IPC on one GPU, gloo between CPUs. What cannot
be tried here is said in plain words. Seconds are from the start of sending to the sampler's having everything; the first
publication includes what connecting costs.
Exit code: 0 when all that could be tried agreed, 1 otherwise.
"""

from __future__ import annotations

import argparse
import math
import os
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

import torch
import torch.multiprocessing as mp
from transformers import LlamaConfig, LlamaForCausalLM

from weights.buckets import checksum, flatten_into, layout_of
from weights.publisher import Publisher, Receiver
from weights.select import make_sink, make_source

VERSIONS = (1, 2)
VOCABULARY, LAYERS, HEAD = 2048, 8, 64
TOLERANCE = 1e-3
"""On logits: two GPUs may add up in different orders; different weights are off by far more."""


class Task(NamedTuple):
    """What both processes are told."""

    transport: str
    device: str
    address: tuple[str, int]
    model_mb: int
    bucket_mb: int
    folder: Path


class Seen(NamedTuple):
    """One end's view of its model after a publication."""

    checksum: int
    logits: torch.Tensor
    """[8, vocabulary], of one prompt"""
    seconds: float
    """Of sending; 0 at the sampler's end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what can be tried; returns the exit code."""
    parser = argparse.ArgumentParser(description="Prove and time the weight transports on this machine.")
    parser.add_argument("--model-mb", type=int, default=1000, help="size of the float32 model, about (default: 1000)")
    parser.add_argument("--bucket-mb", type=int, default=256, help="size of the flat buffers (default: 256)")
    options = parser.parse_args(arguments)
    gpus = visible_gpus()
    print(f"torch {torch.__version__}, {len(gpus)} GPUs, {os.cpu_count()} CPUs")
    ok = True
    if len(gpus) >= 2:
        ok &= prove("NCCL, two GPUs", "nccl", "cuda", gpus[:2], options)
    else:
        print("NCCL: unproved here, needs two GPUs")
    if gpus:
        ok &= prove("CUDA IPC, two processes on one GPU", "ipc", "cuda", [gpus[0]] * 2, options)
    else:
        print("CUDA IPC: unproved here, needs a GPU")
    ok &= prove("gloo, two processes on CPUs", "gloo", "cpu", ["", ""], options)
    return 0 if ok else 1


def visible_gpus() -> list[str]:
    """How this machine's GPUs are named in CUDA_VISIBLE_DEVICES."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(i) for i in range(torch.cuda.device_count())] if named is None else named.split(",")[: torch.cuda.device_count()]


def prove(title: str, transport: str, device: str, masks: Sequence[str], options: argparse.Namespace) -> bool:
    """Run both ends, each seeing only its own GPU as a Ray actor does, and compare what they saw. Prints the outcome."""
    with tempfile.TemporaryDirectory() as folder:
        task = Task(transport, device, free_address(), options.model_mb, options.bucket_mb, Path(folder))
        if not run_both(task, masks):
            print(f"{title}: FAILED, a process ended with an error")
            return False
        return compare(title, task)


def free_address() -> tuple[str, int]:
    """A port on this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1", probe.getsockname()[1]


def run_both(task: Task, masks: Sequence[str]) -> bool:
    """Start learner and sampler and wait for both; if one fails the other is stopped. Did both end well?"""
    context = mp.get_context("spawn")
    processes = [context.Process(target=end, args=(task,)) for end in (learn, sample)]
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    for process, mask in zip(processes, masks, strict=True):
        os.environ["CUDA_VISIBLE_DEVICES"] = mask  # read when the child first touches CUDA
        process.start()
    os.environ.pop("CUDA_VISIBLE_DEVICES")
    if before is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = before
    running = {process.sentinel: process for process in processes}
    while running:
        for sentinel in wait(list(running)):
            ended = running.pop(sentinel)
            ended.join()
            if ended.exitcode:
                for other in running.values():
                    other.terminate()
    return all(process.exitcode == 0 for process in processes)


def learn(task: Task) -> None:
    """The learner's process."""
    model = random_model(task, seed=0)
    layout = layout_of(model, task.bucket_mb * 2**20)
    publisher = Publisher(make_source(task.transport, task.address, 1), layout, task.device)
    for version, buckets in zip(VERSIONS, (len(layout.buckets), layout.trained), strict=True):
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad or version == VERSIONS[0]:
                    parameter.mul_(1 + 0.1 * version)
        staging = publisher.stage(buckets)
        for buffer, bucket in zip(staging, layout.buckets, strict=False):
            flatten_into(buffer, bucket, dict(model.named_parameters()))
        started = time.perf_counter()
        publisher.send(publisher.due(version, staging))
        publisher.stage(0)
        save(task, "learner", version, view(model, time.perf_counter() - started))
    publisher.close()


def sample(task: Task) -> None:
    """The sampler's process."""
    model = random_model(task, seed=1)
    receiver = Receiver(make_sink(task.transport, task.address, 0, 1), layout_of(model, task.bucket_mb * 2**20), task.device)
    save(task, "sampler", 0, view(model))
    for version in VERSIONS:
        assert receiver.receive()[0] == version
        receiver.apply(dict(model.named_parameters()))
        save(task, "sampler", version, view(model))
    receiver.close()


def random_model(task: Task, seed: int) -> LlamaForCausalLM:
    """A Llama of about `model_mb` in float32 (16 · layers · width² + vocabulary · width parameters), drawn from `seed`."""
    torch.manual_seed(seed)
    wanted = task.model_mb * 2**20 / 4
    a, b = 16 * LAYERS, VOCABULARY
    width = max(1, round((math.sqrt(b * b + 4 * a * wanted) - b) / (2 * a) / HEAD)) * HEAD
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=LAYERS,
        num_attention_heads=width // HEAD, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(task.device).eval()
    model.get_input_embeddings().requires_grad_(False)
    return model


def view(model: LlamaForCausalLM, seconds: float = 0.0) -> Seen:
    """What can be said of a model's weights at this end."""
    prompt = torch.arange(1, 9, device=model.device).unsqueeze(0)
    with torch.no_grad():
        logits = model(prompt).logits[0].float().cpu()
    return Seen(checksum(value.detach().reshape(-1) for value in model.parameters()), logits, seconds)


def save(task: Task, end: str, version: int, seen: Seen) -> None:
    """Leave it for the parent process."""
    torch.save(seen._asdict(), task.folder / f"{end}-{version}.pt")


def load(task: Task, end: str, version: int) -> Seen:
    """What a process left."""
    return Seen(**torch.load(task.folder / f"{end}-{version}.pt", weights_only=True))


def compare(title: str, task: Task) -> bool:
    """Print one line per publication; did both ends agree, and only after it?"""
    size = model_bytes(task)
    before, ok = load(task, "sampler", 0), True
    for version in VERSIONS:
        learner, sampler = load(task, "learner", version), load(task, "sampler", version)
        off = (learner.logits - sampler.logits).abs().max().item()
        was_off = (learner.logits - before.logits).abs().max().item()
        agreed = learner.checksum == sampler.checksum != before.checksum and off <= TOLERANCE < was_off
        print(
            f"{title}: publication {version}, {size / 2**20:.0f} MB in {learner.seconds:.3f} s, "
            f"{size / learner.seconds / 1e9:.2f} GB/s, checksums {learner.checksum:08x} {sampler.checksum:08x}, "
            f"logits off by {off:.1e} (before: {was_off:.1e}): {'proved' if agreed else 'MISMATCH'}"
        )
        before, ok = sampler, ok and agreed
    return ok


def model_bytes(task: Task) -> int:
    """Bytes of the model's parameters, without making them."""
    with torch.device("meta"):
        model = random_model(task._replace(device="meta"), seed=0)
    return sum(value.numel() * value.element_size() for value in model.parameters())


if __name__ == "__main__":
    sys.exit(main())
