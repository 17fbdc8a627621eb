"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) in a loaded model, by peft. Class and forward pass stay the model's own.

Adapters are a matter of training: what a run writes has them merged, and loads without peft.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import peft
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.sections import LoraConfig
from models.load import load_model

ADAPTER = "default"
Gathered = Callable[[Sequence[torch.nn.Parameter]], AbstractContextManager[None]]


def load_taught(path: str, recipe: Recipe) -> PreTrainedModel:
    """The model as learner and samplers hold it: `load_model`'s, with the recipe's adapters, drawn from its seed."""
    model = load_model(path, recipe.deepspeed.precision)
    if not recipe.model.lora.rank:
        return model
    torch.manual_seed(recipe.seed)
    return with_adapters(model, recipe.model.lora)


def with_adapters(model: PreTrainedModel, config: LoraConfig) -> PreTrainedModel:
    """Put adapters into a model, in place; only they are trained. They change nothing yet: B is 0.

    A is drawn from torch's global generator. Raises UserError where a target is no linear module of the model.
    """
    targets = _targets(model, config)
    transposed = any(isinstance(model.get_submodule(name), Conv1D) for name in targets)  # as GPT-2 has its weights
    settings = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=0.0, target_modules=targets, fan_in_fan_out=transposed
    )
    peft.inject_adapter_in_model(settings, model)
    return model


@contextmanager
def all_whole(parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:  # noqa: ARG001 - the default of `Gathered`
    """For models that are not sharded."""
    yield


def merged_state(model: PreTrainedModel, gathered: Gathered = all_whole) -> dict[str, Tensor]:
    """Parameters by the names that they have without adapters, W + alpha / rank · B A where there are any, on the CPU.

    `gathered`: a context in which parameters are whole; it is entered for one weight and its adapters at a time.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    merged = {}
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            continue
        layer: Any = layers.get(name.removesuffix(".base_layer.weight"))
        needed = [parameter] if layer is None else [parameter, layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight]
        with gathered(needed):
            value = parameter.detach()
            whole = value if layer is None else value + layer.get_delta_weight(ADAPTER).detach()
            merged[name.replace(".base_layer.", ".")] = whole.cpu().clone()
    return merged


def _targets(model: PreTrainedModel, config: LoraConfig) -> list[str]:
    """Full names of the modules that get adapters: linear ones, the output layer left out, which may be the embedding's."""
    head = model.get_output_embeddings()
    linear = [name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear | Conv1D) and part is not head]
    if config.targets == "all-linear":
        return linear
    unknown = [target for target in config.targets if not any(_is_named(name, target) for name in linear)]
    if unknown:
        there = sorted({name.rpartition(".")[2] for name in linear})
        raise UserError(
            f"model.lora.targets: {type(model).__name__} has no linear module {', '.join(unknown)}",
            f"It has {', '.join(there)}; all-linear means all of them",
        )
    return [name for name in linear if any(_is_named(name, target) for target in config.targets)]


def _is_named(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")
