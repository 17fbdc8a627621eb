"""What the learner needs of an optimizer engine, and the boring one: plain torch on one rank."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from contracts.training import OptimizerConfig


class Engine(ABC):
    """A model with its optimizer, on one of `ranks` data-parallel ranks."""

    model: PreTrainedModel
    """Called for forward passes."""
    rank: int = 0
    ranks: int = 1

    @abstractmethod
    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradient of one micro-batch's loss. `last`: the step's last micro-batch, at which ranks reduce.

        Losses are sums over the ranks' micro-batches divided by global counts: gradients are summed, never averaged.
        """

    @abstractmethod
    def step(self) -> float | None:
        """Clip, update, advance the schedule; returns the gradient norm before clipping.

        None where gradients overflowed in half precision: weights, optimizer and schedule are as before.
        """

    @abstractmethod
    def learning_rate(self) -> float:
        """The rate that the next step will use."""

    @abstractmethod
    def sum_over_ranks(self, values: Sequence[float]) -> list[float]:
        """Element-wise sum of a list of numbers over all ranks."""

    @abstractmethod
    def broadcast(self, text: str | None) -> str:
        """Rank 0's text, on every rank."""

    @abstractmethod
    def gathered(self, parameters: Sequence[torch.nn.Parameter]) -> AbstractContextManager[None]:
        """A context in which these parameters are whole (all ranks must enter it)."""


class TorchEngine(Engine):
    """One process, one rank, plain torch."""

    def __init__(self, model: PreTrainedModel, config: OptimizerConfig, steps: int) -> None:
        self.model = model
        self._config = config
        self._optimizer, self._schedule = build_optimizer(model, config, steps)

    def backward(self, loss: Tensor, *, last: bool) -> None:  # noqa: ARG002 - one rank has nothing to reduce
        loss.backward()

    def step(self) -> float:
        limit = self._config.grad_clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit).item()
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        return norm

    def learning_rate(self) -> float:
        return float(self._schedule.get_last_lr()[0])

    def sum_over_ranks(self, values: Sequence[float]) -> list[float]:
        return list(values)

    def broadcast(self, text: str | None) -> str:
        assert text is not None
        return text

    @contextmanager
    def gathered(self, parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:  # noqa: ARG002 - all are whole
        yield


def build_optimizer(model: torch.nn.Module, config: OptimizerConfig, steps: int) -> tuple[torch.optim.AdamW, LambdaLR]:
    """AdamW on what is trained, and its schedule over `steps` optimizer steps."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay)
    return optimizer, LambdaLR(optimizer, lambda step: rate_factor(step, config, steps))


def rate_factor(step: int, config: OptimizerConfig, steps: int) -> float:
    """The learning rate of a step (counted from 0) as a share of `config.lr`."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    progress = min(1.0, (step - config.warmup_steps) / max(1, steps - config.warmup_steps))
    left = 1 - progress if config.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return config.final_lr_ratio + (1 - config.final_lr_ratio) * left
