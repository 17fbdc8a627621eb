"""The configuration tree: one recipe is one `Recipe`, everything that decides what a run does.

Its sections are in contracts/sections.py; reading, overriding and writing recipes is in contracts/recipe.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from contracts.objective import CLIPPED, ObjectiveConfig
from contracts.sections import (
    ActorsConfig,
    BufferConfig,
    CheckpointConfig,
    EvalConfig,
    ExecutorsConfig,
    HardwareConfig,
    ModelConfig,
    MonitorConfig,
    ProblemsConfig,
    PromptConfig,
    RayConfig,
    RewardsConfig,
    SamplingConfig,
    Section,
)
from contracts.training import CriticConfig, DeepSpeedConfig, LearnerConfig, WarmupConfig, WeightsConfig
from contracts.values import Name, NonNegative, UploadUrl


class Recipe(Section):
    """One run: everything that decides what it does."""

    name: Name
    """Name of the run and of its folder."""
    output: Path = Path("runs")
    """Where run folders are."""
    seed: NonNegative = 0
    """Seeds everything that is drawn."""
    deterministic: bool = False
    """Same losses twice: one sampler, one executor, one batch in flight, one step at a time."""
    steps: NonNegative = 1000
    """Optimizer steps of the online stage."""
    control: bool = False
    """Also train an SL-only control for as many steps from the same start."""
    online: bool = True
    """Train online; false: only what comes before it, as for the supervised arm of a comparison."""
    upload: UploadUrl = None
    """Where the run folder is copied to, at checkpoints and at the end: a URL that fsspec knows, such as s3://bucket/runs.
    Passwords belong into the environment variables of its backend: this key is written to config.yaml."""
    ray: RayConfig = RayConfig()
    """The Ray cluster to join."""
    problems: ProblemsConfig = ProblemsConfig()
    """Where problems come from."""
    model: ModelConfig = ModelConfig()
    """The model that is taught."""
    prompt: PromptConfig = PromptConfig()
    """How a problem becomes a prompt."""
    sampling: SamplingConfig = SamplingConfig()
    """The behaviour policy."""
    actors: ActorsConfig = ActorsConfig()
    """The samplers."""
    executors: ExecutorsConfig = ExecutorsConfig()
    """The executors."""
    buffer: BufferConfig = BufferConfig()
    """The online buffer."""
    rewards: RewardsConfig = RewardsConfig()
    """The reward table."""
    objective: ObjectiveConfig = ObjectiveConfig()
    """What is optimised."""
    learner: LearnerConfig = LearnerConfig()
    """The learner."""
    deepspeed: DeepSpeedConfig = DeepSpeedConfig()
    """How DeepSpeed shards and computes."""
    weights: WeightsConfig = WeightsConfig()
    """How weights travel."""
    warmup: WarmupConfig = WarmupConfig()
    """The supervised warm start."""
    critic: CriticConfig = CriticConfig()
    """The critic of `rltf critic`."""
    eval: EvalConfig = EvalConfig()
    """Held-out evaluation."""
    checkpoint: CheckpointConfig = CheckpointConfig()
    """Checkpoints."""
    hardware: HardwareConfig = HardwareConfig()
    """The machines that it is written for."""
    monitor: MonitorConfig = MonitorConfig()
    """What can be watched."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.output / self.name

    @property
    def groups_per_step(self) -> int:
        """Whole groups that make up `learner.batch_samples`."""
        return max(1, round(self.learner.batch_samples / self.sampling.samples_per_problem))

    @property
    def samples_per_step(self) -> int:
        """Programs of these groups."""
        return self.groups_per_step * self.sampling.samples_per_problem

    @property
    def context(self) -> int:
        """Tokens of the longest prompt and the longest program together."""
        return self.prompt.max_tokens + self.sampling.max_new_tokens

    @property
    def needs_greedy(self) -> bool:
        """Does the objective ask for a greedily decoded program per group?"""
        return self.objective.baseline == "greedy"

    @property
    def rows_at_once(self) -> int:
        """Programs that a sampler writes at once at most."""
        return self.sampling.problems_per_batch * (self.sampling.samples_per_problem + self.needs_greedy)

    @property
    def in_flight(self) -> int:
        """Sampled batches that may be under way."""
        return self.actors.in_flight or 2 * self.actors.count

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        n = self.sampling.samples_per_problem
        if self.objective.baseline != "greedy" and n < 2:
            raise ValueError(f"objective.baseline={self.objective.baseline} needs sampling.samples_per_problem of 2 or more")
        if self.groups_per_step < self.learner.ranks:
            raise ValueError(f"{self.groups_per_step} groups per step cannot be shared by learner.ranks={self.learner.ranks}")
        if self.in_flight < self.actors.count:
            raise ValueError(f"actors.in_flight={self.in_flight} leaves some of actors.count={self.actors.count} idle for ever")
        if self.control and not self.learner.sl_samples:
            raise ValueError("control=true trains on learner.sl_samples programs a step: 0 would leave the model as it is")
        if self.steps and not self.online and not self.control and not self.warmup.steps:
            raise ValueError(
                "online=false with control=false and warmup.steps=0 leaves nothing to train: set one of them, "
                "or steps=0 for an evaluation alone"
            )
        if self.deepspeed.precision == "fp16" and not self.learner.num_gpus:
            raise ValueError("deepspeed.precision=fp16 needs GPUs: set learner.num_gpus, or deepspeed.precision=bf16")
        imitates = (self.learner.sl_samples and self.objective.sl) or self.control or self.warmup.steps
        if self.problems.corpus == "verified" and not imitates:
            raise ValueError("problems.corpus=verified is about supervised steps, and there are none: leave it at all")
        return self

    @model_validator(mode="after")
    def _objective_fits(self) -> Self:
        objective, sampling, learner = self.objective, self.sampling, self.learner
        if objective.scores_as_sampled and (sampling.top_p, sampling.top_k) != (1.0, 0):
            asking = {"kind": objective.kind in CLIPPED, "correction": objective.correction != "none", "kl": objective.kl > 0}
            what = " and ".join(f"objective.{key}={getattr(objective, key)}" for key, asks in asking.items() if asks)
            raise ValueError(
                f"{what} needs the log-probs that programs were sampled with, and top_p={sampling.top_p}, "
                f"top_k={sampling.top_k} cut them: set sampling.top_p=1 and sampling.top_k=0"
            )
        if objective.static and not self.executors.analyse:
            raise ValueError(f"objective.static={objective.static} needs findings: set executors.analyse=true, or static=0")
        if self.samples_per_step // learner.ranks < learner.updates:
            raise ValueError(
                f"a rank's share of {self.samples_per_step} programs cannot be split into learner.updates={learner.updates}"
            )
        return self

    @model_validator(mode="after")
    def _buffer_fits(self) -> Self:
        buffer, oldest = self.buffer, self.oldest_weights
        if buffer.capacity < self.samples_per_step:
            raise ValueError(f"buffer.capacity={buffer.capacity} holds less than a step's {self.samples_per_step} samples")
        if buffer.max_lag < oldest:
            raise ValueError(
                f"weights.sync_every={self.weights.sync_every} and hold_back={self.weights.hold_back} make samples {oldest} "
                f"steps old: buffer.max_lag={buffer.max_lag} must be as much"
            )
        return self

    @model_validator(mode="after")
    def _can_be_deterministic(self) -> Self:
        if not self.deterministic:
            return self
        n, buffer = self.sampling.samples_per_problem, self.buffer
        if (self.actors.count, self.executors.count, self.in_flight) != (1, 1, 1):
            raise ValueError("deterministic=true needs actors.count=1, executors.count=1 and actors.in_flight=1")
        if (buffer.max_uses, buffer.on_exhausted) != (1, "refresh"):
            raise ValueError("deterministic=true needs buffer.max_uses=1 and buffer.on_exhausted=refresh")
        most_waiting = (self.groups_per_step + self.sampling.problems_per_batch) * n
        if buffer.capacity < most_waiting:
            raise ValueError(
                f"deterministic=true needs a buffer.capacity of {most_waiting}: a step's samples and a sampled batch"
            )
        if buffer.max_lag < self.deterministic_lag:
            raise ValueError(f"deterministic=true needs a buffer.max_lag of {self.deterministic_lag} or more here")
        if self.checkpoint.every % self.weights.sync_every:
            raise ValueError("deterministic=true needs checkpoint.every to be a multiple of weights.sync_every")
        return self

    @property
    def deterministic_lag(self) -> int:
        """The largest lag in deterministic mode: P problems are sampled when fewer than the G groups of a step wait."""
        problems, groups = self.sampling.problems_per_batch, self.groups_per_step
        return self.oldest_weights + (problems + groups - 2) // groups

    @property
    def oldest_weights(self) -> int:
        """Optimizer steps since the weights that a sampler starts a batch with, at most."""
        return self.weights.sync_every * (1 + self.weights.hold_back) - 1
