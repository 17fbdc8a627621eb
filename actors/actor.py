"""The Ray actor around a sampler."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import ray
import torch

from actors.sampler import Sampler
from contracts.config import Recipe
from contracts.records import Problem, decode_problems, encode
from contracts.sections import SamplingConfig
from models.load import load_tokenizer
from models.lora import load_taught
from weights.buckets import Layout
from weights.publisher import Receiver
from weights.select import Place, make_sink


class SamplerActor:
    """Samples batches of problems, and takes new weights between batches.

    Runs with two concurrency groups: `receive` waits for weights in a thread of its own while `sample` works.
    """

    def start(self, recipe: Recipe, model_path: str, problems: bytes) -> None:
        """Load model and tokenizer. Raises UserError where they cannot be loaded."""
        torch.set_num_threads(recipe.actors.threads)
        self._recipe = recipe
        self._device = "cuda" if torch.cuda.is_available() and recipe.actors.num_gpus else "cpu"
        self._problems: dict[str, Problem] = {problem.id: problem for problem in decode_problems(problems)}
        tokenizer = load_tokenizer(model_path)
        model = load_taught(model_path, recipe).to(self._device)
        self._sampler = Sampler(model, tokenizer, recipe.sampling, recipe.prompt)
        self._parameters = dict(model.named_parameters())
        self._version = 0
        self._receiver: Receiver | None = None

    def place(self) -> Place:
        """Where it runs."""
        return here(self._device)

    def join(self, transport: str, address: tuple[str, int], index: int, sinks: int, layout: bytes) -> None:
        """Join the group that weights travel in."""
        parsed = msgspec.msgpack.decode(layout, type=Layout)
        device = "cpu" if transport == "gloo" else self._device
        self._receiver = Receiver(make_sink(transport, address, index, sinks), parsed, device)

    @ray.method(concurrency_group="weights")
    def receive(self) -> tuple[int, int | None]:
        """Take a publication; returns its version and, where the recipe asks for it, a checksum."""
        assert self._receiver is not None
        return self._receiver.receive(check=self._recipe.weights.checksum)

    def sample(
        self, batch: int, ids: list[str], seed: str, greedy: bool, sampling: SamplingConfig | None = None
    ) -> tuple[bytes, dict[str, Any]]:
        """Sample these problems with the newest weights: the groups as msgpack, and figures for the driver."""
        assert self._receiver is not None
        started = time.perf_counter()
        version = self._receiver.apply(self._parameters)
        self._version = self._version if version is None else version
        problems = [self._problems[key] for key in ids]
        groups = self._sampler.sample(problems, batch=batch, version=self._version, seed=seed, greedy=greedy, sampling=sampling)
        figures = {"seconds": time.perf_counter() - started, "prompt_cut": sum(group.prompt_cut for group in groups)}
        return encode(groups), figures


def here(device: str) -> Place:
    """This actor's node and GPUs."""
    context = ray.get_runtime_context()
    gpus = tuple(map(str, context.get_accelerator_ids().get("GPU", ()))) if device == "cuda" else ()
    return Place(context.get_node_id(), gpus)
