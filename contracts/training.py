"""The sections of a recipe that say how weights are trained, sharded and sent."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.sections import Section
from contracts.values import Count, Gpus, NonNegative, Positive, Ratio, Resources


class OptimizerConfig(Section):
    """AdamW and its learning rate."""

    lr: Positive = 2e-6
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """Decoupled weight decay."""
    warmup_steps: NonNegative = 0
    """Steps of linear warm-up."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """After warm-up: keep the rate, or let it fall towards `final_lr_ratio` of it, which it would reach after the last step."""
    final_lr_ratio: Ratio = 0.0
    """Where a falling schedule ends, as a share of `lr`."""
    grad_clip: Annotated[float, Field(ge=0)] = 1.0
    """Global gradient norm is clipped to this; 0: no clipping."""


class LearnerConfig(Section):
    """The learner: DeepSpeed ranks as Ray actors."""

    ranks: Count = 1
    """Data-parallel ranks."""
    threads: Count = 1
    """CPU threads of each."""
    num_gpus: Gpus = 0
    """GPUs of each rank: some, or a share of one."""
    resources: Resources = Field(default_factory=dict)
    """Custom resources of Ray that each rank takes, such as {gpu_node: 0.001}: they say on which nodes ranks may be."""
    one_node: bool = False
    """All ranks on one node or not at all; false: on as few as there is room on."""
    batch_samples: Count = 128
    """Programs per optimizer step over all ranks, rounded to whole groups."""
    sl_samples: NonNegative = 128
    """Corpus programs per optimizer step over all ranks, for L_sl; 0: none."""
    updates: Count = 1
    """Weight updates per online step: its programs are split into so many mini-batches, each used once. Supervised stages make
    one update per step."""
    micro_batch: Count = 4
    """Programs per forward pass of one rank; accumulation follows from it."""
    pack_tokens: NonNegative = 0
    """Supervised steps of decoders: prompts with their programs are packed into rows of up to so many tokens; 0: padded, a row
    each."""
    activation_checkpointing: bool = False
    """Trade compute for memory."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimizer of the online stage, and of the supervised control."""


class DeepSpeedConfig(Section):
    """How DeepSpeed shards and in which precision it computes."""

    zero_stage: Literal[0, 1, 2, 3] = 0
    """What is sharded over ranks: nothing, optimizer, gradients too, parameters too. Half precision needs 1 or more."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of forward and backward passes. fp16 needs GPUs."""
    offload_optimizer: bool = False
    """Keep optimizer state in CPU memory (ZeRO 1 to 3)."""

    @model_validator(mode="after")
    def _half_precision_needs_zero(self) -> Self:
        if self.precision != "fp32" and not self.zero_stage:  # DeepSpeed's optimizer there makes an empty first step of Adam
            raise ValueError(f"precision={self.precision} needs a zero_stage of 1 or more: set deepspeed.zero_stage=1")
        return self


class WeightsConfig(Section):
    """How new weights travel from the learner to the samplers."""

    sync_every: Count = 50
    """Optimizer steps between publications."""
    transport: Literal["auto", "gloo", "nccl", "ipc"] = "auto"
    """`auto`: gloo on CPUs, NCCL where learner and samplers have GPUs of their own, CUDA IPC where they share one."""
    bucket_mb: Count = 256
    """Size of the flat buffers that are sent."""
    hold_back: NonNegative = 0
    """Publications by which samplers stay behind, to study what lag does."""
    checksum: bool = False
    """Compare checksums after each publication (for debugging)."""


class WarmupConfig(Section):
    """The supervised warm start on the corpus."""

    steps: NonNegative = 0
    """Optimizer steps; 0: start from the model as it is."""
    batch: Count = 32
    """Programs per step."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-5)
    """Optimizer of the warm start."""


class CriticConfig(Section):
    """`rltf critic`: a token classifier that tells a program's outcome."""

    steps: Count = 500
    """Optimizer steps."""
    batch: Count = 32
    """Programs per step; `learner.micro_batch` of them per forward pass."""
    heldout: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the problems whose programs are kept for its figures; at least one is."""
    solutions: bool = False
    """The problems' solutions are passing programs too."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-5)
    """Its optimizer."""
