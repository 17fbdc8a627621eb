"""Every metric that a run records, declared once: name, kind, unit, labels.

A metric is a row's key in metrics.jsonl and, prefixed with `rltf_`, a name in Prometheus. Base units; counters end in
`_total`; shares end in `_ratio`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

PREFIX = "rltf_"


class Metric(NamedTuple):
    """One metric's declaration."""

    name: str
    kind: Literal["gauge", "counter"]
    unit: str
    help: str
    label: str | None = None
    """A label splits a metric by its values; in metrics.jsonl such a metric is an object with one number per value."""


STEP = Metric("step", "gauge", "optimizer steps", "Optimizer steps of the stage so far")
POLICY_VERSION = Metric("policy_version", "gauge", "optimizer steps", "Optimizer steps made at the newest publication")
SAMPLES = Metric("samples_labelled_total", "counter", "programs", "Sampled programs by outcome", "outcome")
TRAINED = Metric("samples_trained_total", "counter", "programs", "Programs that an optimizer step used")
EVICTED = Metric("samples_evicted_total", "counter", "programs", "Programs dropped, by reason", "reason")
ERRORS = Metric("errors_total", "counter", "programs", "Sampled programs that raised, by kind of error", "error")
DIFFICULTIES = Metric("samples_by_difficulty_total", "counter", "programs", "Sampled programs by difficulty", "difficulty")
PASSES = Metric("passes_by_difficulty_total", "counter", "programs", "Sampled programs that pass, by difficulty", "difficulty")
SANDBOX_ERRORS = Metric("sandbox_errors_total", "counter", "programs", "Programs that executors failed on; never scored")
REMEMBERED = Metric("verdicts_remembered_total", "counter", "programs", "Programs whose verdict was known from an equal one")
REPLACED = Metric("zygotes_replaced_total", "counter", "processes", "Executors' zygotes that had to be replaced")
BUFFER_FILL = Metric("buffer_samples", "gauge", "programs", "Programs that wait in the buffer")
LAG_MEAN = Metric("lag_mean_steps", "gauge", "optimizer steps", "Mean policy lag of the step's samples")
LAG_MAX = Metric("lag_max_steps", "gauge", "optimizer steps", "Largest policy lag of the step's samples")
PASS_RATE = Metric("batch_pass_ratio", "gauge", "share", "Share of the step's samples that passed all tests")
REWARD_COARSE = Metric("reward_coarse", "gauge", "reward", "Mean coarse reward of the step's samples")
REWARD_ADAPTIVE = Metric("reward_adaptive", "gauge", "reward", "Mean adaptive reward, where defined")
PENALISED = Metric("penalised_tokens_ratio", "gauge", "share", "Share of tokens that fine feedback penalised")
STATIC = Metric("static_tokens_ratio", "gauge", "share", "Share of tokens in which static analysis found a fault")
ZERO_VARIANCE = Metric(
    "zero_variance_groups_ratio", "gauge", "share", "Share of groups whose programs all earned the same reward"
)
ADVANTAGE_MEAN = Metric("advantage_mean", "gauge", "reward", "Mean advantage of the step's sampled tokens, spans included")
ADVANTAGE_SIZE = Metric("advantage_size", "gauge", "reward", "Mean absolute advantage of the step's sampled tokens")
POLICY_ENTROPY = Metric("policy_entropy", "gauge", "nats", "Mean entropy of the learner's policy where the sampled tokens stand")
KL_BEHAVIOUR = Metric("kl_behaviour", "gauge", "nats", "KL divergence of the policy that sampled from the learner's, per token")
KL_REFERENCE = Metric(
    "kl_reference", "gauge", "nats", "KL divergence of the learner's policy from its frozen reference, per token"
)
RATIO_MEAN = Metric("importance_ratio_mean", "gauge", "1", "Mean ratio of the learner's to the behaviour policy's probability")
RATIO_MAX = Metric("importance_ratio_max", "gauge", "1", "Largest ratio of the learner's to the behaviour policy's probability")
CLIPPED = Metric("clipped_tokens_ratio", "gauge", "share", "Share of sampled tokens whose ratio or importance weight was cut")
EFFECTIVE = Metric("effective_samples_ratio", "gauge", "share", "(Σ ratio)² / (n Σ ratio²) over the step's n sampled tokens")
LOSS = Metric("loss", "gauge", "nats", "Loss by term, each as it enters the total", "term")
GRAD_NORM = Metric("gradient_norm", "gauge", "1", "Gradient norm before clipping")
SKIPPED = Metric("skipped_updates_ratio", "gauge", "share", "Share of the step's updates that were skipped: gradients overflowed")
LR = Metric("learning_rate", "gauge", "1", "Learning rate")
ENTROPY = Metric("behaviour_entropy", "gauge", "nats", "Mean negative behaviour log-prob of the sampled tokens")
TRUNCATED = Metric("truncated_ratio", "gauge", "share", "Share of the step's samples cut off at the token limit")
STEP_SECONDS = Metric("step_seconds", "gauge", "seconds", "Wall time between two optimizer steps")
PHASE_SECONDS = Metric("phase_seconds_total", "counter", "seconds", "Busy wall time by part of the system", "phase")
EVAL_PASS = Metric("eval_pass_at_1_ratio", "gauge", "share", "Held-out pass@1 at the first temperature, by evaluation", "stage")
EVAL_DIFFICULTY = Metric(
    "eval_pass_at_1_by_difficulty_ratio", "gauge", "share", "Newest evaluation's held-out pass@1 by difficulty", "difficulty"
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
