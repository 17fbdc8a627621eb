"""What a learner rank and a sampler will need of memory, in bytes, part by part. Pure reckoning: rltf/sizes.py measures a model.

Mixed precision with AdamW takes 16 bytes a trained parameter (Rajbhandari et al. 2020, ZeRO, arXiv 1910.02054, section 3.1):
2 for the weight, 2 for its gradient, 12 in fp32 for the optimizer's own copy of the weight and two moments. ZeRO stage 1 shares
the optimizer's part out over the ranks, stage 2 the gradients too, stage 3 the weights too. DeepSpeed adds buffers of fixed size.
Expect ±20 %: allocators fragment, kernels take workspace, and libraries keep what they once needed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from contracts.config import Recipe

GB = 10**9
PRECISION_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
FP32 = 4
MOMENTS = 2 * FP32
BUCKET = 5 * 10**8
"""Elements of DeepSpeed's buffer for gradients under way (reduce_bucket_size)."""
LIVE = 10**9
"""Parameters that ZeRO 3 keeps gathered at most (stage3_max_live_parameters)."""
CONTEXT = 1.5 * GB
"""CUDA's and NCCL's own, and what the allocator leaves unused."""
TIGHT = 0.85
"""What fills more of a GPU than this is said to be tight: the reckoning isn't more exact."""


class Pass(NamedTuple):
    """What a forward pass over one micro-batch keeps for its backward pass."""

    block_bytes: int
    """By one block; of an encoder–decoder, by a pair of them."""
    boundary_bytes: int
    """A block's input: all that activation checkpointing keeps of it."""
    other_bytes: int
    """Outside the blocks: embeddings, logits and their softmax."""
    logits: int
    """Elements of the logits, [B, T, V]."""


class Sizes(NamedTuple):
    """What a model takes at a recipe's precision, micro-batch and context."""

    parameters: int
    trained: int
    """Those that the optimizer updates: with LoRA, the adapters'."""
    blocks: int
    largest: Pass
    """Of a padded micro-batch and, where the recipe packs, a packed one: the one that keeps more."""
    vocabulary: int
    row_prompt_bytes: int
    """Taken by one block while sampling reads one prompt, at most."""
    row_cache_bytes: int
    """Keys and values that sampling keeps for one program at full length."""


class Part(NamedTuple):
    """One thing that takes memory, on the actor's GPU or in main memory."""

    name: str
    size: float
    where: Literal["gpu", "host"]


def learner_parts(recipe: Recipe, sizes: Sizes) -> list[Part]:
    """What one rank holds at its fullest, rank 0's staging copy included."""
    gpu: Literal["gpu", "host"] = "gpu" if recipe.learner.num_gpus else "host"
    engine, ranks = recipe.deepspeed, recipe.learner.ranks
    stage, width = engine.zero_stage, PRECISION_BYTES[engine.precision]
    half = engine.precision != "fp32"
    state = "host" if engine.offload_optimizer and stage else gpu
    shared = sizes.trained / (ranks if stage else 1)
    whole_gradients = sizes.trained * width / (ranks if stage >= 2 else 1)
    parts = [
        Part("weights", sizes.parameters * width / (ranks if stage == 3 else 1), gpu),
        Part("gradients", whole_gradients, gpu),
        Part("optimizer", shared * (MOMENTS + (FP32 if half else 0)), state),
        Part("activations", activation_bytes(recipe, sizes), gpu),
        Part("gradient of logits", sizes.largest.logits * (2 * FP32 + width), gpu),
        Part("staging copy for the samplers", sizes.trained * width, gpu),
    ]
    if half:
        parts.append(Part("gradients in fp32", shared * FP32, state))
    if stage:
        parts.append(Part("DeepSpeed's gradient bucket", BUCKET * (FP32 if stage == 1 else width), gpu))
    if stage == 3:
        parts.append(Part("gathered weights", min(sizes.parameters, LIVE) * width, gpu))
    if recipe.objective.kl:
        parts.append(Part("frozen reference", sizes.parameters * width, gpu))
    if recipe.objective.reference.critic is not None:
        parts.append(Part("critic", sizes.parameters * width, gpu))
    if recipe.weights.hold_back:
        parts.append(Part("weights held back", sizes.trained * width * (recipe.weights.hold_back + 1), "host"))
    return parts + [Part("CUDA, NCCL and fragments", CONTEXT, gpu)] * bool(recipe.learner.num_gpus)


def activation_bytes(recipe: Recipe, sizes: Sizes) -> float:
    """What a micro-batch's forward pass keeps for its backward pass; with checkpointing, one block at a time is made again."""
    kept = sizes.largest
    if recipe.learner.activation_checkpointing:
        return kept.other_bytes + kept.block_bytes + sizes.blocks * kept.boundary_bytes
    return kept.other_bytes + sizes.blocks * kept.block_bytes


def sampler_parts(recipe: Recipe, sizes: Sizes) -> list[Part]:
    """What one sampler holds while it samples its largest batch."""
    gpu: Literal["gpu", "host"] = "gpu" if recipe.actors.num_gpus else "host"
    width, rows = PRECISION_BYTES[recipe.deepspeed.precision], recipe.rows_at_once
    parts = [
        Part("weights", sizes.parameters * width, gpu),
        Part("staging copy of new weights", sizes.trained * width, gpu),
        Part("keys and values", rows * sizes.row_cache_bytes, gpu),
        Part("one block over the prompts", rows * sizes.row_prompt_bytes, gpu),
        Part("logits", rows * sizes.vocabulary * (width + 3 * FP32), gpu),
    ]
    return parts + [Part("CUDA, NCCL and fragments", CONTEXT, gpu)] * bool(recipe.actors.num_gpus)


def total(parts: list[Part], where: Literal["gpu", "host"]) -> float:
    """Bytes in all, there."""
    return sum(part.size for part in parts if part.where == where)


def checkpoint_bytes(recipe: Recipe, sizes: Sizes) -> float:
    """Disk for a run's checkpoints: those kept and one being written, and the models of its stages."""
    width = PRECISION_BYTES[recipe.deepspeed.precision]
    model = sizes.parameters * width
    state = model + sizes.trained * (MOMENTS + (FP32 if width < FP32 else 0))
    stages = [not recipe.model.path, bool(recipe.warmup.steps), recipe.control, recipe.online]
    online = (state + model) * (recipe.checkpoint.keep + 1) if recipe.online and recipe.steps else 0
    return model * sum(stages) + online
