"""The sections of a recipe: frozen, unknown keys refused, a line of explanation under each field.

Those of training are in contracts/training.py; contracts/config.py puts them together. Nothing here imports anything heavy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from contracts.values import Count, Gpus, NonNegative, Positive, Ratio, Resources


class Section(BaseModel):
    """A node of the tree."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PrimerConfig(Section):
    """The generated problem set, used where `problems.path` is not set."""

    train: Count = 3000
    """Training problems."""
    heldout: Count = 150
    """Held-out problems: no (family, constants, kind) is in both."""
    corpus_per_problem: Count = 2
    """Programs per training problem in the corpus that supervised steps imitate."""
    bug_rate: Ratio = 0.5
    """Share of the corpus's programs that carry an injected bug, another one each time."""
    misunderstood: Ratio = 0.0
    """Share of the problem families that the corpus misunderstands: one wrong idea each, the same in all of their problems."""
    misconception_rate: Ratio = 0.6
    """Share of the corpus's programs in these families that follow the wrong idea; `bug_rate` is for the others."""


class ProblemsConfig(Section):
    """Where problems come from."""

    path: Path | None = None
    """A folder in the APPS layout, a file of problems, or hub:OWNER/NAME/FILE to train on (docs/problems.md); unset: primer,
    generated into the run folder."""
    heldout_path: Path | None = None
    """The same to evaluate on; unset: `heldout_split` or `heldout_fraction` of `path`, or primer's held-out problems."""
    split: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Train only on problems of these splits of `path`, for example [train]; unset: on all that are not held out."""
    heldout_split: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Evaluate only on problems of these splits: of `heldout_path`, or else of `path`."""
    checked: Path | None = None
    """What `rltf problems check` wrote about `path`: problems that it drops are left out, reference times set limits."""
    heldout_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of `path`'s problems that are held out where neither `heldout_path` nor `heldout_split` is set; at least one is."""
    corpus: Literal["all", "verified"] = "all"
    """What supervised steps imitate: the whole corpus, or those of its programs that pass their problem's tests."""
    primer: PrimerConfig = PrimerConfig()
    """The generated problem set."""

    @model_validator(mode="after")
    def _checked_is_about_path(self) -> Self:
        if self.checked is not None and self.path is None:
            raise ValueError("checked is about the problems of path: set path, or leave checked unset")
        return self

    @model_validator(mode="after")
    def _splits_are_of_something(self) -> Self:
        if self.split is not None and self.path is None:
            raise ValueError("split is about the problems of path: set path, or leave split unset")
        if self.heldout_split is not None and self.path is None and self.heldout_path is None:
            raise ValueError("heldout_split is about the problems of heldout_path or path: set one, or leave heldout_split unset")
        both = set(self.split or ()) & set(self.heldout_split or ())
        if both and self.heldout_path is None:
            raise ValueError(f"split and heldout_split share {', '.join(sorted(both))}: a problem is trained on or held out")
        return self


class LoraConfig(Section):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685): W + alpha / rank · B A, of which only A and B are trained."""

    rank: NonNegative = 0
    """Columns of B; 0: no adapters, all weights are trained."""
    alpha: Positive = 32.0
    """Scale of the adapters, times rank."""
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the modules that get adapters, such as [q_proj, v_proj]."""


class ModelConfig(Section):
    """The code model that is taught."""

    path: str | None = None
    """A Hugging Face model folder or hub name; unset: a tiny model and a tokenizer are made from the problem set's texts."""
    lora: LoraConfig = LoraConfig()
    """Train low-rank adapters instead of all weights."""
    architecture: dict[str, Any] | None = None
    """model_type and sizes of the model at `path`, as its config.json has them: `--dry-run` can then do without its files."""
    kind: Literal["causal", "encoder_decoder"] = "causal"
    """The kind of tiny model to make; a model from `path` says itself what it is."""
    vocab_size: Annotated[int, Field(ge=300)] = 512
    """Tiny model: pieces of the byte-level BPE."""
    width: Count = 96
    """Tiny model: hidden size; four attention heads share it."""
    layers: Count = 3
    """Tiny model: decoder layers, and as many encoder layers where there is an encoder."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % 8:
            raise ValueError(f"width {self.width} must be a multiple of 8: four heads of even size share it")
        return self


class PromptConfig(Section):
    """How a problem becomes a prompt."""

    template: str = "QUESTION:\n{question}\n{starter_code}\n{format}\nANSWER:\n"
    """`{question}`, `{starter_code}` and `{format}` are filled in, and `{starter_lines}`: a newline and the starter code, or
    nothing where there is none. The default has the published words, recipes/apps-codet5-770m.yaml their very characters."""
    stdin_format: str = "Use Standard Input format"
    """`{format}` for stdin/stdout problems."""
    call_format: str = "Use Call-Based format"
    """`{format}` for call-based problems."""
    max_tokens: Count = 800
    """Longer prompts lose the end of their statement; the characters cut are counted."""
    chat: bool = False
    """Put the prompt into the tokenizer's chat template, as what the user says."""
    system: str | None = None
    """The chat's system message; unset: the template's own."""
    answer: Literal["program", "completion", "fence"] = "program"
    """Where the program is in what the model writes: all of it, all of it as a continuation of the starter code, or the last
    code fence that defines the problem's function (no such fence: the last; no fence: all of it)."""

    @model_validator(mode="after")
    def _system_needs_chat(self) -> Self:
        if self.system is not None and not self.chat:
            raise ValueError("system is a message of a chat: set chat=true, or leave system unset")
        return self

    @model_validator(mode="after")
    def _template_can_be_filled(self) -> Self:
        try:
            self.template.format(question="", starter_code="", starter_lines="", format="")
        except (KeyError, IndexError, ValueError, AttributeError) as err:
            raise ValueError(
                f"template cannot be filled in ({err}): it knows {{question}}, {{starter_code}}, {{starter_lines}}, {{format}}"
            ) from err
        return self


class SamplingConfig(Section):
    """The behaviour policy. Every parameter is set explicitly: nothing is inherited from a checkpoint's own settings."""

    temperature: Positive = 1.0
    """Logits are divided by it."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus cut; 1: none."""
    top_k: NonNegative = 0
    """Top-k cut; 0: none."""
    max_new_tokens: Count = 512
    """Longest program; a longer one is cut off and flagged truncated."""
    samples_per_problem: Count = 20
    """n: programs sampled per problem (the greedy baseline, where wanted, comes on top)."""
    problems_per_batch: Count = 8
    """Problems sampled together in one call of a sampler."""
    truncated: Literal["label", "drop"] = "label"
    """Programs cut off at the token limit: label them as they are, or drop them (counted)."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """A program ends before the first of these: what a base model writes on after it."""


class ActorsConfig(Section):
    """The samplers: Ray actors that turn problems into programs."""

    count: Count = 1
    """Samplers."""
    threads: Count = 1
    """CPU threads of each."""
    num_gpus: Gpus = 0
    """GPUs of each: some, or a share of one."""
    resources: Resources = {}
    """Custom resources of Ray that each takes, such as {gpu_node: 0.001}: they say on which nodes samplers may be."""
    in_flight: Count | None = None
    """Sampled batches that may be under way (dispatched, not yet in the buffer), in all; unset: two per sampler."""


class ExecutorsConfig(Section):
    """The executors: Ray actors that turn programs into verdicts and labels."""

    count: Count = 1
    """Executors: Ray actors, spread over the cluster's nodes."""
    cores: Count = 1
    """Programs that one executor runs at a time, each forked from a warm process of its own."""
    resources: Resources = {}
    """Custom resources of Ray that each takes, such as {cpu_node: 0.001}: they say on which nodes executors may be."""
    cpu_seconds: Positive = 2.0
    """CPU time that a program may spend on one test; the wall-clock backstop is max(3 × this, this + 2 s)."""
    reference_factor: Positive = 5.0
    """Problems with a measured reference time: the limit is this many times it where that is more than `cpu_seconds`."""
    memory_mb: Count = 512
    """Resident memory of a program."""
    output_mb: Count = 8
    """What a program may write to stdout and stderr in all tests together, beyond the expected answers' own size."""
    compare: Literal["strict", "apps"] = "strict"
    """`strict` for training; `apps` accepts whatever the APPS harness accepts, for published numbers."""
    prelude: Literal["none", "apps"] = "none"
    """Names that programs may use without importing them. With `apps` the text of a whole number may
    have any number of digits, too, as on the Pythons of its harness."""
    max_tests: Count = 100
    """Tests run per program; a problem with more is judged by its first ones."""
    max_sandbox_error_rate: Ratio = 0.05
    """A larger share of SANDBOX_ERRORs stops the run."""
    analyse: bool = False
    """Look for certain faults without running the program, with pyflakes and some checks of our own: `objective.static`."""
    cached_verdicts: NonNegative = 10_000
    """Verdicts that an executor remembers, for programs that come again; never of time-outs. 0: none."""
    allow_weak_isolation: bool = False
    """Run programs although this machine cannot isolate them."""


class RayConfig(Section):
    """The Ray cluster that a run joins, and what it does where that is busy."""

    address: str | None = None
    """HOST:PORT of its head (`auto`: the cluster that this machine belongs to); unset: as RAY_ADDRESS says, else a local one."""
    wait_seconds: NonNegative = 600
    """How long to wait for a cluster that is large enough but busy."""
    autoscales: bool = False
    """The cluster adds nodes when asked: ask, and wait for them too."""


class BufferConfig(Section):
    """The online buffer, a FIFO of labelled groups over Redis."""

    url: str | None = None
    """redis://… of a running server; unset: as RLTF_REDIS_URL says, else one is started for the run and keeps its file in the
    run folder. Passwords belong into RLTF_REDIS_URL: this key is written to config.yaml."""
    capacity: Count = 6400
    """Samples that wait in the FIFO at most."""
    overflow: Literal["drop_oldest", "block"] = "drop_oldest"
    """At capacity: displace the oldest group, or let executors wait for room."""
    max_uses: NonNegative = 1
    """How often a group may be drawn before it leaves the FIFO; 0: until displaced, as in the published runs."""
    refresh_every: Count = 50
    """Optimizer steps after which the learner takes a new window."""
    on_exhausted: Literal["refresh", "reshuffle", "wait"] = "refresh"
    """A window used up early: take what is there, draw the same window again, or wait for the next refresh's groups."""
    max_lag: Count = 1000
    """Groups older than this many optimizer steps when drawn are evicted and counted."""

    @field_validator("url")
    @classmethod
    def _holds_no_password(cls, url: str | None) -> str | None:
        arguments = parse_qs(url.partition("?")[2]) if url else {}
        if url and ("@" in url or any("password" in name or "username" in name for name in arguments)):
            raise ValueError("it names a user or a password, which would stand in config.yaml: set RLTF_REDIS_URL in its place")
        return url

    @model_validator(mode="after")
    def _reshuffle_needs_uses(self) -> Self:
        if self.on_exhausted == "reshuffle" and self.max_uses == 1:
            raise ValueError("on_exhausted=reshuffle draws groups again: set max_uses to 0 or to more than 1")
        if self.overflow == "block" and self.max_uses == 0:
            raise ValueError("overflow=block with max_uses=0 would block for ever: groups leave only when displaced")
        return self


class RewardsConfig(Section):
    """The reward table (RLTF, section 3.3)."""

    passed: float = 1.0
    """R_coarse of PASS."""
    failure: float = -0.3
    """R_coarse of FAILURE, and R_adaptive where no test passes."""
    runtime_error: float = -0.6
    """R_coarse of RUNTIME_ERROR."""
    syntax_error: float = -1.0
    """R_coarse of SYNTAX_ERROR."""
    fine: float = -0.3
    """R_fine on the penalised range."""
    static: float = -0.3
    """R_static on the tokens of a fault that static analysis found."""
    categories: Literal["strict", "reference"] = "strict"
    """Which errors count as U_global, U_line and U_ignore: located as well as can be, or as the published runs did."""
    span: Literal["statement", "expression"] = "statement"
    """What of a located error R_fine penalises: the statement, or the expression in it that raised, where that is known."""


class EvalConfig(Section):
    """Held-out evaluation before and after training."""

    samples: Count = 8
    """n: programs sampled per problem and temperature."""
    temperatures: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0, 0.6)
    """Sampled at each; the first one's pass@1 is the run's main figure."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus cut of these samples; 1: none. The published runs cut at 0.95."""
    k: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 5)
    """pass@k to report, each k ≤ samples."""
    max_problems: Count = 1000
    """Problems to use at most: of more, so many are drawn by `seed`."""

    @model_validator(mode="after")
    def _k_within_samples(self) -> Self:
        if len(set(self.temperatures)) < len(self.temperatures):
            raise ValueError(f"temperatures {list(self.temperatures)} holds one twice")
        if max(self.k) > self.samples:
            raise ValueError(f"k={max(self.k)} needs at least as many samples per problem, there are {self.samples}")
        return self


class CheckpointConfig(Section):
    """Checkpoints of the online stage."""

    every: NonNegative = 50
    """Optimizer steps between checkpoints; 0: only at the end."""
    keep: Count = 2
    """Newest checkpoints kept."""


class HardwareConfig(Section):
    """The machines that a recipe is written for: what `rltf train --dry-run` checks it against."""

    gpu_memory_gb: Positive = 80.0
    """Memory of each GPU, in GB of 10^9 bytes."""
    memory_gb: Positive | None = None
    """Main memory of all machines together, in GB; unset: what is needed is said, and not checked."""


class MonitorConfig(Section):
    """What can be watched while it runs."""

    prometheus_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port of the Prometheus endpoint; unset: any free one, 0: no endpoint."""
    prometheus_host: Annotated[str, Field(min_length=1)] | None = None
    """Address that the endpoint listens on; unset: this machine alone, or the driver's node where a Ray cluster is joined."""
    targets: Path | None = None
    """The folder in which a run's file tells Prometheus where to scrape it; unset: OUTPUT/.prometheus."""
    tensorboard: bool = False
    """Also write scalars for TensorBoard, into the run folder."""
    examples: NonNegative = 12
    """Programs with verdicts and penalised tokens kept for the report."""

    def targets_beside(self, run: Path) -> Path:
        """`targets`, for a run with this folder."""
        return self.targets or run.parent / ".prometheus"
