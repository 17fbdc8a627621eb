"""The whole algorithm in one process and on one screen: no Ray, no Redis, no DeepSpeed.

The boring version of rltf/loop.py: the same samplers, executors, buffer semantics and objective, one after the other. Tests
compare the real loop with it, and `make bench` measures what distribution costs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import torch

from actors.sampler import Sampler
from buffer.base import Append
from buffer.memory import MemoryBuffer
from buffer.window import Window
from contracts.config import Recipe
from contracts.records import Problem
from executors.labels import label_batch
from executors.pool import Pool
from learner.corpus import Corpus
from learner.engine import TorchEngine
from learner.frozen import Frozen
from learner.step_metrics import StepMetrics
from learner.trainer import Trainer
from models.load import load_tokenizer
from models.lora import load_taught
from problems.order import ProblemOrder


def serial_loop(recipe: Recipe, problems: Sequence[Problem], model_path: str) -> Iterator[StepMetrics]:
    """Online RLTF, one optimizer step per item; sampling, executing and learning take turns."""
    tokenizer = load_tokenizer(model_path)
    learned, sampled = load_taught(model_path, recipe), load_taught(model_path, recipe)
    sampler = Sampler(sampled, tokenizer, recipe.sampling, recipe.prompt)
    engine = TorchEngine(learned.train(), recipe.learner.optimizer, recipe.steps * recipe.learner.updates)
    trainer = Trainer(engine, recipe, tokenizer.pad_token_id, Frozen(recipe, model_path, "cpu"))
    corpus = Corpus(problems, tokenizer, recipe)
    by_id = {problem.id: problem for problem in problems}
    order = ProblemOrder(list(by_id), recipe.seed, min(recipe.sampling.problems_per_batch, len(by_id)))
    buffer = MemoryBuffer(recipe.buffer)
    n = recipe.sampling.samples_per_problem
    window = Window(buffer, recipe.buffer, recipe.groups_per_step, n, recipe.seed, recipe.steps)
    held = deque([(0, _copy_of(learned))], maxlen=1 + recipe.weights.hold_back)
    batch = 0
    torch.manual_seed(recipe.seed)
    with Pool(recipe.executors, recipe.rewards) as pool:
        for step in range(recipe.steps):
            while (ids := window.draw(step)) is None:
                chosen = [by_id[key] for key in order.batch_at(batch)]
                seed = f"{recipe.seed}/online/{batch}"
                groups = sampler.sample(chosen, batch=batch, version=held[0][0], seed=seed, greedy=recipe.needs_greedy)
                for entry in label_batch(pool, groups, by_id, recipe).entries:
                    assert buffer.append(entry) is Append.ADDED, "nobody else would make room"
                batch += 1
            supervised = corpus.draw(recipe.learner.sl_samples, recipe.seed, "online", step)
            yield trainer.step(buffer.fetch(ids), supervised, step)
            buffer.commit(step + 1)
            if (step + 1) % recipe.weights.sync_every == 0:
                held.append((step + 1, _copy_of(learned)))
                sampled.load_state_dict(held[0][1])


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}
