"""The Ray actor around one learner rank."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import ray
import torch

from buffer.redis_buffer import RedisBuffer
from buffer.window import Window
from contracts import logs
from contracts import metrics as m
from contracts.config import Recipe
from contracts.network import free_port, lead_gloo
from contracts.records import LabelledGroup, decode_problems
from contracts.training import OptimizerConfig
from learner.advantages import Row
from learner.corpus import Corpus
from learner.deepspeed_engine import DeepSpeedEngine, join_ranks
from learner.frozen import Frozen
from learner.step_metrics import StepMetrics
from learner.trainer import Trainer
from models.load import load_tokenizer
from models.lora import load_taught, merged_state
from models.packing import refuse_unpackable
from weights.buckets import Layout, checksum, flatten_into, layout_of
from weights.publisher import Publisher
from weights.select import Place, make_source

POLL_SECONDS = 0.01


class LearnerRank:
    """One DeepSpeed rank. All ranks are told the same things in the same order; rank 0 draws and publishes."""

    def prepare(self, recipe: Recipe, run: str, rank: int, model_path: str, problems: bytes) -> logs.Started:
        """Load the tokenizer and the corpus. Raises UserError where the tokenizer cannot be loaded."""
        torch.set_num_threads(recipe.learner.threads)
        lead_gloo(ray.util.get_node_ip_address())
        self._recipe = recipe
        self._rank = rank
        self._tokenizer = load_tokenizer(model_path)
        self._corpus = Corpus(decode_problems(problems), self._tokenizer, recipe)
        self._engine: DeepSpeedEngine | None = None
        self._publisher: Publisher | None = None
        self._layout: Layout | None = None
        self._buffer: RedisBuffer | None = None
        return logs.begin_actor(run, f"learner rank {rank}", ray.util.get_node_ip_address())

    def place(self) -> Place:
        """Where it runs."""
        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", ()) if self._recipe.learner.num_gpus else ()
        return Place(context.get_node_id(), tuple(map(str, gpus)))

    def free_address(self) -> tuple[str, int]:
        """A port on this rank's node, for a rendezvous."""
        host = ray.util.get_node_ip_address()
        return host, free_port(host)

    def join(self, address: tuple[str, int]) -> None:
        """Meet the other ranks."""
        join_ranks(self._rank, self._recipe.learner.ranks, address, gpu=self._recipe.learner.num_gpus > 0)

    def start(self, model_path: str, optimizer: OptimizerConfig, steps: int) -> bytes:
        """Begin a stage: a fresh optimizer on a model folder's weights. Returns the layout that weights travel in.

        Raises UserError where the model lacks modules that adapters are wanted for, or cannot be packed.
        """
        recipe = self._recipe
        self._forget_engine()
        torch.manual_seed(recipe.seed)
        model = load_taught(model_path, recipe)
        if recipe.learner.activation_checkpointing:  # reentrant, it would pass no gradient by frozen embeddings
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if recipe.learner.pack_tokens:
            refuse_unpackable(model)
        self._layout = layout_of(model, recipe.weights.bucket_mb * 2**20)
        self._publishes_all = True
        if self._publisher is not None:
            self._publisher.forget()
        self._engine = DeepSpeedEngine(model.train(), recipe.deepspeed, optimizer, steps)
        self._trainer = Trainer(self._engine, recipe, self._tokenizer.pad_token_id)
        return msgspec.msgpack.encode(self._layout)

    def _forget_engine(self) -> None:
        """Give the memory of the stage before back: there is not room for two models with their optimizers."""
        if self._engine is None:
            return
        self._engine.close()
        self._engine = None
        del self._trainer  # it holds the engine, and the frozen models
        gc.collect()  # hooks and modules hold one another
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def load_frozen(self, start: str) -> None:
        """Hold the models that the objective scores with and does not train; `start`: the weights that KL stays near."""
        assert self._engine is not None
        frozen = Frozen(self._recipe, start, self._engine.model.device)
        self._trainer = Trainer(self._engine, self._recipe, self._tokenizer.pad_token_id, frozen)

    def open_buffer(self, url: str, run: str) -> None:
        """Connect to the online buffer."""
        recipe = self._recipe
        self._buffer = RedisBuffer(url, run, recipe.buffer)
        n = recipe.sampling.samples_per_problem
        self._window = Window(self._buffer, recipe.buffer, recipe.groups_per_step, n, recipe.seed, recipe.steps)

    def open_source(self, transport: str, address: tuple[str, int]) -> None:
        """Rank 0: open the group that weights travel in; returns when all samplers have joined."""
        assert self._layout is not None
        device = "cpu" if transport == "gloo" else "cuda"
        source = make_source(transport, address, self._recipe.actors.count)
        self._publisher = Publisher(source, self._layout, device, self._recipe.weights.hold_back)

    def supervised_steps(self, stage: str, first: int, count: int, batch: int) -> list[StepMetrics]:
        """`count` steps of L_sl alone on `batch` corpus programs each."""
        return [self._step([], self._share(stage, step, batch), step) for step in range(first, first + count)]

    def online_step(self, step: int) -> StepMetrics:
        """One step on the next groups of the window; rank 0 waits for them and tells the others their ids."""
        assert self._engine is not None
        assert self._buffer is not None
        drawn = msgspec.json.encode(self._draw(step)).decode() if self._rank == 0 else None
        ids = msgspec.json.decode(self._engine.broadcast(drawn), type=list[str])
        entries = self._buffer.fetch(ids[self._rank :: self._engine.ranks])
        return self._step(entries, self._share("online", step, self._recipe.learner.sl_samples), step)

    def _step(self, entries: Sequence[LabelledGroup], supervised: Sequence[Row], step: int) -> StepMetrics:
        started = time.perf_counter()
        metrics = self._trainer.step(entries, supervised, step)
        return metrics | {m.PHASE_SECONDS.name: {"learning": time.perf_counter() - started}}

    def publish(self, version: int) -> int | None:
        """Gather the weights into the staging copy; rank 0 then sends it, or one held back, in the background.

        What is frozen is sent once, with the stage's first publication. Returns, where the recipe asks for it, the checksum of
        what is sent.
        """
        assert self._engine is not None
        assert self._layout is not None
        parameters = dict(self._engine.module.named_parameters())
        buckets = self._layout.buckets if self._publishes_all else self._layout.buckets[: self._layout.trained]
        self._publishes_all = False
        staging = self._publisher.stage(len(buckets)) if self._publisher is not None else []
        for i, bucket in enumerate(buckets):
            members = [parameters[slot.name] for slot in bucket.slots]
            with self._engine.gathered(members):
                if self._publisher is not None:
                    flatten_into(staging[i], bucket, parameters)
        if self._publisher is None:
            return None
        publication = self._publisher.due(version, staging)
        total = checksum(publication.buckets) if self._recipe.weights.checksum else None
        self._publisher.send(publication)
        return total

    def export(self, folder: Path) -> None:
        """Rank 0 writes a Hugging Face folder that `from_pretrained` loads; all ranks take part in the gathering."""
        assert self._engine is not None
        module = self._engine.module
        whole = merged_state(module, self._engine.gathered)
        if self._rank == 0:
            module.save_pretrained(folder, state_dict=whole)
            self._tokenizer.save_pretrained(folder)

    def save(self, folder: Path) -> None:
        """Model, optimizer, schedule, random generators and window, below `folder`."""
        assert self._engine is not None
        python = random.getstate()
        self._engine.save(
            folder,
            {
                "window": self._window.state(),
                "torch": torch.get_rng_state(),
                "numpy": np.random.get_state(),
                "python": python,
            },
        )

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        assert self._engine is not None
        extra: dict[str, Any] = self._engine.load(folder)
        self._window.restore(extra["window"])
        torch.set_rng_state(extra["torch"])
        np.random.set_state(extra["numpy"])
        random.setstate(extra["python"])

    def describe(self) -> dict[str, str | int]:
        """Architecture and size of the model that is taught."""
        assert self._layout is not None
        assert self._engine is not None
        sizes = [bucket.size for bucket in self._layout.buckets]
        found: dict[str, str | int] = {"architecture": type(self._engine.module).__name__, "parameters": sum(sizes)}
        trained = sum(sizes[: self._layout.trained])
        return found if trained == sum(sizes) else found | {"trained_parameters": trained}

    def _share(self, stage: str, step: int, batch: int) -> list[Any]:
        """This rank's part of a step's corpus programs: the global batch is the same for any number of ranks."""
        assert self._engine is not None
        return self._corpus.draw(batch, self._recipe.seed, stage, step)[self._rank :: self._engine.ranks] if batch else []

    def _draw(self, step: int) -> list[str]:
        while (ids := self._window.draw(step)) is None:
            time.sleep(POLL_SECONDS)
        return ids
