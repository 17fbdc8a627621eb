"""A model's size and what its passes keep in memory, measured on torch's meta device: shapes without contents, in seconds.

Measured at one and at two blocks: the difference is what a block takes, the rest is outside the blocks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from contracts.config import Recipe
from models.load import DTYPES
from models.lora import with_adapters
from models.scoring import TokenBatch, score
from rltf.memory import Pass, Sizes

_FUSED = "fused_on_meta"


def measure(config: PretrainedConfig, recipe: Recipe) -> Sizes:
    """Sizes of a model of this configuration, at the recipe's precision, adapters, micro-batch and context."""
    bare, whole = _on_meta(config, recipe, adapters=False), _on_meta(config, recipe)
    learner, sampling, size = recipe.learner, recipe.sampling, DTYPES[recipe.deepspeed.precision].itemsize
    shapes = [(learner.micro_batch, recipe.prompt.max_tokens, sampling.max_new_tokens)]
    if learner.pack_tokens > 1:
        shapes.append((1, 1, learner.pack_tokens - 1))  # a packed row whose prompts are short
    passes = [_pass(config, recipe, shape) for shape in shapes]
    block = passes[0].block_bytes / learner.micro_batch * recipe.prompt.max_tokens / recipe.context
    return Sizes(
        parameters=sum(parameter.numel() for parameter in bare.parameters()),
        trained=sum(parameter.numel() for parameter in whole.parameters() if parameter.requires_grad),
        blocks=config.num_hidden_layers,
        largest=max(passes, key=lambda each: each.other_bytes + config.num_hidden_layers * each.block_bytes),
        vocabulary=config.vocab_size,
        row_prompt_bytes=round(block),
        row_cache_bytes=_row_cache(config, recipe) * size,
    )


def _pass(config: PretrainedConfig, recipe: Recipe, shape: tuple[int, int, int]) -> Pass:
    """What scoring keeps. shape: rows, prompt tokens, program tokens."""
    one, two = (_kept_by(_on_meta(reduced(config, blocks), recipe), shape) for blocks in (1, 2))
    rows, prompt, program = shape
    size = DTYPES[recipe.deepspeed.precision].itemsize
    return Pass(
        block_bytes=two - one,
        boundary_bytes=rows * (prompt + program) * config.hidden_size * size,
        other_bytes=2 * one - two,
        logits=rows * program * config.vocab_size,
    )


def reduced(config: PretrainedConfig, blocks: int) -> PretrainedConfig:
    """The same architecture with fewer blocks."""
    fewer = copy.deepcopy(config)
    fewer.num_hidden_layers = blocks
    if hasattr(fewer, "num_decoder_layers"):
        fewer.num_decoder_layers = blocks
    if getattr(fewer, "layer_types", None):
        fewer.layer_types = fewer.layer_types[:blocks]
    return fewer


def _on_meta(config: PretrainedConfig, recipe: Recipe, *, adapters: bool = True) -> PreTrainedModel:
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        model = kind.from_config(config, dtype=DTYPES[recipe.deepspeed.precision])
        return with_adapters(model, recipe.model.lora) if adapters and recipe.model.lora.rank else model


def _kept_by(model: PreTrainedModel, shape: tuple[int, int, int]) -> int:
    """Bytes that scoring keeps for its backward pass, parameters not counted."""
    if model.config._attn_implementation == "sdpa" or model.config.is_encoder_decoder:  # the others' masks can be made on meta
        AttentionInterface.register(_FUSED, sdpa_attention_forward)
        AttentionMaskInterface.register(_FUSED, _mask)
        model.set_attn_implementation(_FUSED)
    rows, prompt, program = shape
    ids = [torch.ones(rows, length, dtype=torch.int64, device="meta") for length in (prompt, prompt, program, program)]
    parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), _FusedKernels():
        scores = score(model.train(), TokenBatch(*ids))
    size = sum(storage.nbytes() for storage in kept.values())
    del scores  # until here nothing that was kept may go: another tensor's storage would take its place
    return size


class _Fused(torch.autograd.Function):
    """What a fused attention kernel keeps: its inputs, its output and a number per query and head; no scores.

    A mask is one of its inputs, added to the scores: where there is one, it takes as much as they would for one head, or for all
    of them where it holds a bias per head, as T5's does.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        out = torch.empty_like(query)
        added = mask.to(query.dtype) if mask is not None else None  # from True and False
        ctx.save_for_backward(query, key, value, out, torch.empty(query.shape[:3], device=query.device), added)
        return out


class _FusedKernels(TorchFunctionMode):
    """Attention as a GPU computes it, in place of what torch does with meta tensors."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        return _Fused.apply(*args, kwargs["attn_mask"]) if func is scaled_dot_product_attention else func(*args, **kwargs)


def _mask(**settings: Any) -> Tensor | None:
    """transformers' own, made as for rows of different lengths: it is left out where they have one, and meta cannot know that."""
    if settings["attention_mask"] is not None:
        settings |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    mask: Tensor | None = sdpa_mask(**settings)
    return mask


def _row_cache(config: PretrainedConfig, recipe: Recipe) -> int:
    """Keys and values of all blocks; an encoder–decoder's are of its program, and of its prompt for cross-attention."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or getattr(config, "d_kv", None) or config.hidden_size // config.num_attention_heads
    blocks = getattr(config, "num_decoder_layers", None) or config.num_hidden_layers
    return 2 * int(blocks) * int(heads) * int(size) * recipe.context
