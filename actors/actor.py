"""The Ray actor around a sampler."""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec
import ray
import torch

from actors.sampler import Sampler
from contracts import logs
from contracts import metrics as m
from contracts.config import Recipe
from contracts.counts import Counts, count
from contracts.network import lead_gloo
from contracts.records import Problem, decode_problems, encode
from contracts.sections import SamplingConfig
from models.load import load_tokenizer
from models.lora import load_taught
from weights.buckets import Layout
from weights.publisher import Received, Receiver
from weights.select import Place, make_sink


class Sampled(NamedTuple):
    """Figures of one sampled batch."""

    seconds: float
    tokens: int
    """Generated, those of greedy programs too."""
    prompt_cut: int
    """Characters."""

    def counts(self, split: str) -> Counts:
        """As a run counts them."""
        counts: Counts = {}
        count(counts, m.PHASE_SECONDS, "sampling", by=self.seconds)
        count(counts, m.SAMPLED_TOKENS, split, by=self.tokens)
        return counts


class SamplerActor:
    """Samples batches of problems, and takes new weights between batches.

    Runs with two concurrency groups: `receive` waits for weights in a thread of its own while `sample` works.
    """

    def start(self, recipe: Recipe, run: str, index: int, model_path: str, problems: bytes) -> logs.Started:
        """Load model and tokenizer. Raises UserError where they cannot be loaded."""
        torch.set_num_threads(recipe.actors.threads)
        lead_gloo(ray.util.get_node_ip_address())
        self._recipe = recipe
        self._device = "cuda" if torch.cuda.is_available() and recipe.actors.num_gpus else "cpu"
        self._problems: dict[str, Problem] = {problem.id: problem for problem in decode_problems(problems)}
        tokenizer = load_tokenizer(model_path)
        model = load_taught(model_path, recipe).to(self._device)
        self._sampler = Sampler(model, tokenizer, recipe.sampling, recipe.prompt)
        self._parameters = dict(model.named_parameters())
        self._version = 0
        self._receiver: Receiver | None = None
        return logs.begin_actor(run, f"sampler {index}", ray.util.get_node_ip_address())

    def place(self) -> Place:
        """Where it runs."""
        return here(self._device)

    def join(self, transport: str, address: tuple[str, int], index: int, sinks: int, layout: bytes) -> None:
        """Join the group that weights travel in."""
        parsed = msgspec.msgpack.decode(layout, type=Layout)
        device = "cpu" if transport == "gloo" else self._device
        self._receiver = Receiver(make_sink(transport, address, index, sinks), parsed, device)

    @ray.method(concurrency_group="weights")
    def receive(self) -> Received:
        """Take a publication."""
        assert self._receiver is not None
        return self._receiver.receive(check=self._recipe.weights.checksum)

    def sample(
        self, batch: int, ids: list[str], seed: str, greedy: bool, sampling: SamplingConfig | None = None
    ) -> tuple[bytes, Sampled]:
        """Sample these problems with the newest weights that came, else with those loaded: the groups as msgpack, and figures."""
        started = time.perf_counter()
        if self._receiver is not None and (version := self._receiver.apply(self._parameters)) is not None:
            self._version = version
        problems = [self._problems[key] for key in ids]
        groups = self._sampler.sample(problems, batch=batch, version=self._version, seed=seed, greedy=greedy, sampling=sampling)
        seconds = time.perf_counter() - started
        tokens = sum(len(program.token_ids) for group in groups for program in group.programs)
        return encode(groups), Sampled(seconds, tokens, prompt_cut=sum(group.prompt_cut for group in groups))


def here(device: str) -> Place:
    """This actor's node and GPUs."""
    context = ray.get_runtime_context()
    gpus = tuple(map(str, context.get_accelerator_ids().get("GPU", ()))) if device == "cuda" else ()
    return Place(context.get_node_id(), gpus)
