"""Every metric that a run records, declared once: name, kind, unit, labels.

A metric is a row's key in metrics.jsonl and, prefixed with `rltf_`, a name in Prometheus, where every series has the labels
`run` and `life` too. Base units; counters end in `_total`; shares end in `_ratio`. No label names an actor, a problem or a
program: how many series a run has does not depend on its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

PREFIX = "rltf_"
RUN_LABEL = "run"
LIFE_LABEL = "life"
"""Of a driver: one that goes on with a run begins new series."""
Value = float | Mapping[str, float]
"""As in metrics.jsonl: a number; for a metric with labels an object with a number for each of their values, values of several
labels joined by `|`; for a histogram an object with the count of each bucket, by its upper bound, and the `sum`."""


class Metric(NamedTuple):
    """One metric's declaration."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    """Split a metric by their values."""
    buckets: tuple[float, ...] = ()
    """A histogram's upper bounds, the last one, infinity, left out."""


def labelled(*values: str) -> str:
    """The key of these labels' values in an object of metrics.jsonl."""
    return "|".join(value.replace("|", "/") for value in values)


def values_of(metric: Metric, key: str) -> dict[str, str]:
    """Label → value, of such a key."""
    return dict(zip(metric.labels, key.split("|"), strict=True))


# What a run is

STEP = Metric("step", "gauge", "optimizer steps", "Optimizer steps of the stage so far")
STEPS_WANTED = Metric("steps_wanted", "gauge", "optimizer steps", "Optimizer steps that the online stage will make")
# Posted alone: in a row, `stage` is the stage that it belongs to.
STAGE = Metric("stage", "gauge", "1", "1 for the stage that the run is in, 0 for those before", ("stage",))
WORKERS = Metric(
    "workers", "gauge", "actors", "Actors that can be busy at once; the learner's ranks, which step together, are one", ("phase",)
)
TIERS = Metric("executors_isolation", "gauge", "actors", "Executors by how they isolate programs", ("tier",))
DISK_FREE = Metric("disk_free_bytes", "gauge", "bytes", "Free space on the run folder's disk")
LAST_PROGRESS = Metric(
    "last_progress_timestamp_seconds",
    "gauge",
    "seconds",
    "When the run last got on, since 1970: a stage begun, a step made, a batch of an evaluation judged, a look at a full cluster",
)
COPIES_FAILED = Metric("copies_failed", "gauge", "copies", "Copies of the run folder to `upload` that failed since one did not")
CHECKPOINT_BYTES = Metric("checkpoint_bytes", "gauge", "bytes", "Size of the newest checkpoint")

# Programs and verdicts

PROGRAMS = Metric(
    "programs_total",
    "counter",
    "programs",
    "Sampled programs by split (train: entered the buffer; heldout: evaluated), difficulty and outcome",
    ("split", "difficulty", "outcome"),
)
TESTS_RUN = Metric("unit_tests_total", "counter", "tests", "Unit tests of those programs", ("split",))
TESTS_PASSED = Metric("unit_tests_passed_total", "counter", "tests", "Unit tests that they passed", ("split",))
ERRORS = Metric("errors_total", "counter", "programs", "Training programs that ended in an error, by its kind", ("error",))
LOCATED = Metric("errors_located_total", "counter", "programs", "Those programs by what their error is located to", ("category",))
PENALISED_TOKENS = Metric("penalised_tokens_total", "counter", "tokens", "Training programs' tokens that fine feedback penalised")
JUDGED = Metric(
    "programs_judged_total",
    "counter",
    "programs",
    "Programs that executors were given, once for each set of tests, greedy ones too",
)
SANDBOX_ERRORS = Metric("sandbox_errors_total", "counter", "programs", "Programs that executors failed on; never scored")
REMEMBERED = Metric("verdicts_remembered_total", "counter", "programs", "Programs whose verdict was known from an equal one")
KILLED = Metric("programs_killed_total", "counter", "programs", "Judged programs that ended at a limit, by limit", ("limit",))
EXECUTION = Metric(
    "execution_seconds",
    "histogram",
    "seconds",
    "CPU time of a judged program, all tests together",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
CANARIES = Metric(
    "canaries_total", "counter", "checks", "Known programs that executors judged between others, by right and wrong", ("result",)
)
REPLACED = Metric("zygotes_replaced_total", "counter", "processes", "Executors' zygotes that had to be replaced")

# Samplers, weights, buffer

SAMPLED_TOKENS = Metric("sampled_tokens_total", "counter", "tokens", "Tokens that samplers generated", ("split",))
POLICY_VERSION = Metric("policy_version", "gauge", "optimizer steps", "Optimizer steps made at the newest publication")
PUBLICATIONS = Metric("publications_total", "counter", "publications", "Online publications that all samplers have received")
SYNC_SECONDS = Metric("weight_sync_seconds_total", "counter", "seconds", "Time from publications' starts until all had them")
SYNC_BYTES = Metric("weight_sync_bytes_total", "counter", "bytes", "Weights sent, as each sampler receives them")
BUFFER_FILL = Metric("buffer_samples", "gauge", "programs", "Programs that wait in the buffer")
BUFFER_CAPACITY = Metric("buffer_capacity_samples", "gauge", "programs", "Programs that may wait in the buffer")
BUFFER_AGE = Metric("buffer_oldest_lag_steps", "gauge", "optimizer steps", "Policy lag of the group that has waited longest")
EVICTED = Metric("samples_evicted_total", "counter", "programs", "Programs dropped, by reason", ("reason",))
LAG = Metric(
    "lag_steps",
    "histogram",
    "optimizer steps",
    "Policy lag of the programs that optimizer steps used",
    buckets=(0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
LAG_LARGEST = Metric("lag_largest_steps", "gauge", "optimizer steps", "Largest policy lag of a program trained on so far")
LAG_BOUND = Metric("lag_bound_steps", "gauge", "optimizer steps", "Greatest lag that the recipe allows")

# The learner's newest step

TRAINED = Metric("samples_trained_total", "counter", "programs", "Programs that an optimizer step used")
LEARNER_TOKENS = Metric("learner_tokens_total", "counter", "tokens", "Tokens of sampled programs that optimizer steps used")
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
LOSS = Metric("loss", "gauge", "nats", "Loss by term, each as it enters the total", ("term",))
GRAD_NORM = Metric("gradient_norm", "gauge", "1", "Gradient norm before clipping")
UPDATES = Metric("updates_total", "counter", "updates", "Weight updates, made and skipped (gradients overflowed)", ("result",))
SKIPPED = Metric("skipped_updates_ratio", "gauge", "share", "Share of the step's updates that were skipped: gradients overflowed")
LR = Metric("learning_rate", "gauge", "1", "Learning rate")
ENTROPY = Metric("behaviour_entropy", "gauge", "nats", "Mean negative behaviour log-prob of the sampled tokens")
TRUNCATED = Metric("truncated_ratio", "gauge", "share", "Share of the step's samples cut off at the token limit")
STEP_SECONDS = Metric("step_seconds", "gauge", "seconds", "Wall time between two optimizer steps")
PHASE_SECONDS = Metric("phase_seconds_total", "counter", "seconds", "Busy wall time by part of the system", ("phase",))

# Held-out evaluations

EVAL_PASS = Metric(
    "eval_pass_at_k_ratio", "gauge", "share", "Held-out pass@k by evaluation and setting (greedy, T=…)", ("stage", "setting", "k")
)
EVAL_DIFFICULTY = Metric(
    "eval_pass_at_1_by_difficulty_ratio",
    "gauge",
    "share",
    "Held-out pass@1 at the first temperature by evaluation and difficulty",
    ("stage", "difficulty"),
)
EVAL_GAP = Metric(
    "eval_visible_hidden_gap_ratio",
    "gauge",
    "share",
    "Share of held-out programs that pass the visible tests and fail the hidden ones, by evaluation",
    ("stage",),
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
