"""What packing is worth to supervised steps: prompt and program tokens per second, padded and packed.

    python -m benchmarks.packing [--width 512] [--layers 3] [--batch 32] [--micro-batch 16] [--pack-tokens 512] [--steps 2]

A Llama with random weights imitates primer's corpus on plain torch, on a GPU where there is one, in float32. Both ways see the
same batches, in turn; the first batch of each is not timed. The losses must agree. Without a GPU seconds are the process's CPU
seconds: other load on the machine changes little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch

from contracts.config import Recipe
from contracts.sections import ModelConfig, PrimerConfig
from contracts.training import LearnerConfig, OptimizerConfig
from learner.advantages import Row
from learner.corpus import Corpus
from learner.engine import TorchEngine
from learner.trainer import Trainer
from models.prompts import prompt_text
from models.tiny import build_model, train_tokenizer
from problems.primer import generate

PROBLEMS, PIECES = 200, 512


class Timed(NamedTuple):
    """One way of training over all timed batches."""

    seconds: float
    tokens: int
    losses: list[float]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare padded and packed supervised steps.")
    for name, default in {"width": 512, "layers": 3, "batch": 32, "micro-batch": 16, "pack-tokens": 512, "steps": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads")
    padded, packed = compare(options, device)
    for name, timed in (("padded", padded), ("packed", packed)):
        print(f"{name}: {timed.tokens / timed.seconds:,.0f} tokens/s, {1000 * timed.seconds / options.steps:,.0f} ms a step")
    print(f"packed over padded: {padded.seconds / packed.seconds:.2f}")
    apart = max(abs(one - other) for one, other in zip(padded.losses, packed.losses, strict=True))
    print(f"losses agree within {apart:.1e} nats")


def compare(options: argparse.Namespace, device: str) -> tuple[Timed, Timed]:
    """Padded and packed, batch by batch in turn."""
    recipe = Recipe(name="packing")
    problems = generate(PrimerConfig(train=PROBLEMS, heldout=1), 0).train
    texts = [prompt_text(p, p.question, recipe.prompt) + text for p in problems for text in p.corpus]
    tokenizer = train_tokenizer(texts, PIECES, recipe.context)
    corpus = Corpus(problems, tokenizer, recipe)
    batches = [corpus.draw(options.batch, step) for step in range(options.steps + 1)]
    trainers = []
    for capacity in (0, options.pack_tokens):
        torch.manual_seed(0)
        model = build_model(ModelConfig(width=options.width, layers=options.layers), tokenizer).to(device).train()
        engine = TorchEngine(model, OptimizerConfig(), options.steps + 1)
        config = LearnerConfig(micro_batch=options.micro_batch, pack_tokens=capacity)
        trainers.append(Trainer(engine, recipe.model_copy(update={"learner": config}), tokenizer.pad_token_id))
    taken: list[list[tuple[float, float]]] = [[], []]
    for step, rows in enumerate(batches):
        for trainer, found in zip(trainers, taken, strict=True):
            found.append(_step(trainer, rows, step))
    tokens = sum(len(row.prompt_ids) + len(row.token_ids) for rows in batches[1:] for row in rows)
    padded, packed = (Timed(sum(s for s, _ in found[1:]), tokens, [loss for _, loss in found[1:]]) for found in taken)
    return padded, packed


def _step(trainer: Trainer, rows: list[Row], step: int) -> tuple[float, float]:
    """Seconds and loss. Reading the loss waits for the device."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    started = clock()
    losses = trainer.step([], rows, step)["loss"]
    assert isinstance(losses, dict)
    return clock() - started, losses["sl"]


if __name__ == "__main__":
    main()
