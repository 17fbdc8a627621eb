"""What a learner rank and a sampler will need of memory, in bytes, part by part. Pure reckoning: rltf/sizes.py measures a model.

Mixed precision with AdamW takes 18 bytes a trained parameter: 2 for the weight and, in fp32, 4 for its gradient, which is added
up there, and 12 for the optimizer: its own copy of the weight and two moments. That is what Rajbhandari et al. 2020 (ZeRO, arXiv
1910.02054, section 3.1) have, but for their gradients' 2 bytes. ZeRO stage 1 shares the optimizer's part out over the ranks,
stage 2 the gradients too, stage 3 the weights too. Under ZeRO the optimizer copies weights in fp32 as well. To these come
DeepSpeed's buffers and what an update takes besides.
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
"""Parameters that ZeRO 3 keeps gathered at most (stage3_max_live_parameters), and that it updates at once (sub_group_size)."""
ENTROPY = 4 * FP32
"""Taken by an entry of one program's logits while its entropy is computed."""
CONTEXT = 1.5 * GB
"""CUDA's and NCCL's own, and what the allocator leaves unused."""
TIGHT = 0.85
"""What fills more of a GPU than this is said to be tight: the reckoning isn't more exact."""
ADAMW = {"gpu": FP32, "host": 2 * FP32}
"""Taken by each parameter under ZeRO while AdamW updates it, by where it is."""

Where = Literal["gpu", "host"]


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
    where: Where


def learner_parts(recipe: Recipe, sizes: Sizes) -> list[Part]:
    """What one rank holds at its fullest, rank 0's staging copy included."""
    gpu: Where = "gpu" if recipe.learner.num_gpus else "host"
    stage, width = recipe.deepspeed.zero_stage, PRECISION_BYTES[recipe.deepspeed.precision]
    passing = _pass_parts(recipe, sizes, gpu)
    update = _update_bytes(recipe, sizes.trained) - sum(part.size for part in passing)
    parts = [*_state_parts(recipe, sizes, gpu), *passing]
    if update > 0:
        parts.append(Part("an update, beyond a pass", update, gpu))
    parts.append(Part("staging copy for the samplers", sizes.trained * width, gpu))
    if stage and not _sums_in_place(recipe):
        parts.append(Part("DeepSpeed's gradient bucket", BUCKET * (FP32 if stage == 1 else width), gpu))
    if recipe.objective.kl:
        parts.append(Part("frozen reference", sizes.parameters * width, gpu))
    if recipe.objective.reference.critic is not None:
        parts.append(Part("critic", sizes.parameters * width, gpu))
    if recipe.weights.hold_back:
        parts.append(Part("weights held back", sizes.trained * width * (recipe.weights.hold_back + 1), "host"))
    return parts + [Part("CUDA, NCCL and fragments", CONTEXT, gpu)] * bool(recipe.learner.num_gpus)


def _state_parts(recipe: Recipe, sizes: Sizes, gpu: Where) -> list[Part]:
    """What lasts from one micro-batch to the next."""
    engine, share = recipe.deepspeed, _share(recipe, sizes.trained)
    stage, width = engine.zero_stage, PRECISION_BYTES[engine.precision]
    summed: Where = "host" if _offloads(recipe) and (stage == 3 or (stage == 2 and width == FP32)) else gpu
    parts = [
        Part("weights", sizes.parameters * width / (recipe.learner.ranks if stage == 3 else 1), gpu),
        Part("gradients", FP32 * (share if stage >= 2 else sizes.trained), summed),
        Part("optimizer", share * (MOMENTS + FP32 * bool(stage)), "host" if _offloads(recipe) else gpu),
    ]
    if _offloads(recipe):
        under_way = FP32 + (width if stage < 3 else 0)
        parts.append(Part("gradients and weights under way", share * under_way, "host"))
        parts.append(Part("AdamW's working copies", share * ADAMW["host"], "host"))
    return parts


def _pass_parts(recipe: Recipe, sizes: Sizes, gpu: Where) -> list[Part]:
    """What a micro-batch takes, forward and backward, and gives back before the update."""
    stage, width = recipe.deepspeed.zero_stage, PRECISION_BYTES[recipe.deepspeed.precision]
    entropy = ENTROPY * recipe.sampling.max_new_tokens * sizes.vocabulary
    parts = [
        Part("activations", activation_bytes(recipe, sizes), gpu),
        Part("gradient of logits, or entropy", max(sizes.largest.logits * (2 * FP32 + width), entropy), gpu),
    ]
    if stage >= 2:
        parts.append(Part("gradients between ranks", min(sizes.trained, BUCKET) * width, gpu))
    if stage == 3:
        parts.append(Part("gathered weights", min(sizes.parameters, LIVE) * width, gpu))
    return parts


def _update_bytes(recipe: Recipe, trained: int) -> float:
    """What an update takes where the model is, when the pass is over: gradients between ranks, then AdamW's working copies."""
    engine, share = recipe.deepspeed, _share(recipe, trained)
    stage, width = engine.zero_stage, PRECISION_BYTES[engine.precision]
    if not stage:
        return FP32 * trained
    adamw = 0 if _offloads(recipe) else ADAMW["gpu" if recipe.learner.num_gpus else "host"]
    if stage == 3:  # its share of the gradients once more
        return 0 if _offloads(recipe) else min(share, LIVE) * (adamw + FP32)
    if stage == 2:
        return share * adamw
    between = min(trained, BUCKET) * width if width < FP32 else 0  # those in fp32 are in the bucket already
    return max(share * adamw, between + (0 if _sums_in_place(recipe) else share * FP32))


def _share(recipe: Recipe, trained: int) -> float:
    """Parameters that one rank's optimizer updates."""
    return trained / (recipe.learner.ranks if recipe.deepspeed.zero_stage else 1)


def _offloads(recipe: Recipe) -> bool:
    return recipe.deepspeed.offload_optimizer and recipe.deepspeed.zero_stage > 0


def _sums_in_place(recipe: Recipe) -> bool:
    """DeepSpeed's own optimizer for bf16 under ZeRO 1 has one buffer for all gradients and sends that."""
    return recipe.deepspeed.precision == "bf16" and recipe.deepspeed.zero_stage == 1 and not _offloads(recipe)


def activation_bytes(recipe: Recipe, sizes: Sizes) -> float:
    """What a micro-batch's forward pass keeps for its backward pass; with checkpointing, one block at a time is made again."""
    kept = sizes.largest
    if recipe.learner.activation_checkpointing:
        return kept.other_bytes + kept.block_bytes + sizes.blocks * kept.boundary_bytes
    return kept.other_bytes + sizes.blocks * kept.block_bytes


def sampler_parts(recipe: Recipe, sizes: Sizes) -> list[Part]:
    """What one sampler holds while it samples its largest batch."""
    gpu: Where = "gpu" if recipe.actors.num_gpus else "host"
    width, rows = PRECISION_BYTES[recipe.deepspeed.precision], recipe.rows_at_once
    parts = [
        Part("weights", sizes.parameters * width, gpu),
        Part("staging copy of new weights", sizes.trained * width, gpu),
        Part("keys and values", rows * sizes.row_cache_bytes, gpu),
        Part("one block over the prompts", rows * sizes.row_prompt_bytes, gpu),
        Part("logits", rows * sizes.vocabulary * (width + 3 * FP32), gpu),
    ]
    return parts + [Part("CUDA, NCCL and fragments", CONTEXT, gpu)] * bool(recipe.actors.num_gpus)


def total(parts: list[Part], where: Where) -> float:
    """Bytes in all, there."""
    return sum(part.size for part in parts if part.where == where)


def checkpoint_bytes(recipe: Recipe, sizes: Sizes) -> float:
    """Disk for a run's checkpoints: those kept and one being written, and the models of its stages."""
    width = PRECISION_BYTES[recipe.deepspeed.precision]
    model = sizes.parameters * width
    state = model + sizes.trained * (MOMENTS + FP32 * bool(recipe.deepspeed.zero_stage))
    stages = [not recipe.model.path, bool(recipe.warmup.steps), recipe.control, recipe.online]
    online = (state + model) * (recipe.checkpoint.keep + 1) if recipe.online and recipe.steps else 0
    return model * sum(stages) + online
