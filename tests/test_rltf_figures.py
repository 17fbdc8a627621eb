"""Every declared metric comes from a real run, and its figures agree with one another."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.error import URLError

import pytest

from contracts import metrics as m
from contracts.summary import Summary, read_summary
from learner.checkpoint import size_of
from tests.scraping import Series, scrape, series, targets
from tests.small_run import ROOT, command, online_rows

pytestmark = pytest.mark.slow

SCRAPED_EACH = 2.0
"""Seconds. The run waits half as long again for the last scrape."""
WITH_EVERY_METRIC = ("objective.kl=0.1", "deepspeed.precision=bf16", "deepspeed.zero_stage=1", "actors.count=2")
"""A reference, half precision, in which updates can be skipped, and more than one sampler to send weights to."""


class Watched:
    """A run that was scraped to its end."""

    def __init__(self, output: Path, scrapes: list[Series]) -> None:
        self.summary: Summary = read_summary(output / "small" / "summary.json")
        self.rows = online_rows(output)
        self.checkpoint = output / "small" / "checkpoints" / "step-000004"
        self.scrapes = scrapes
        self.last = scrapes[-1]

    def sum(self, metric: m.Metric, **labels: str) -> float:
        """Over the series with these labels of a metric's last values."""
        wanted = {sorted(metric.labels).index(name): value for name, value in labels.items()}
        found = [(key[1:], value) for key, value in self.last.items() if key[0] == m.PREFIX + metric.name]
        return sum(value for values, value in found if all(values[place] == label for place, label in wanted.items()))

    def histogram(self, metric: m.Metric, part: str) -> float:
        """Its `count` or `sum`."""
        return self.last[f"{m.PREFIX}{metric.name}_{part}",]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    output = tmp_path_factory.mktemp("run")
    call = command(output, *WITH_EVERY_METRIC)
    process = subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    scrapes: list[Series] = []
    while process.poll() is None:
        try:
            process.wait(SCRAPED_EACH)
        except subprocess.TimeoutExpired:
            scrapes += _scraped(output)
    assert process.returncode == 0, process.communicate()[0]
    process.communicate()
    return Watched(output, scrapes)


def _scraped(output: Path) -> list[Series]:
    """One scrape; none where the run has no endpoint yet, or none any more."""
    try:
        return [series(scrape(address), run) for run, address in targets(output).items()]
    except (FileNotFoundError, URLError):
        return []


def test_every_metric_is_there(run: Watched) -> None:
    served = {name.removeprefix(m.PREFIX) for name, *_ in run.last}
    histograms = {metric.name for metric in m.ALL if metric.kind == "histogram"}
    missing = {metric.name for metric in m.ALL} - histograms - served
    ran = run.sum(m.PROGRAMS, split="train", outcome="pass") + run.sum(m.PROGRAMS, split="train", outcome="failure")
    assert missing == (set() if ran else {m.REWARD_ADAPTIVE.name}), "an adaptive reward is of programs that ran"
    assert {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")} <= served


def test_training_programs_are_used_or_dropped(run: Watched) -> None:
    programs, trained = run.sum(m.PROGRAMS, split="train"), run.sum(m.TRAINED)
    assert trained == 4 * 8
    dropped = run.sum(m.EVICTED)
    assert programs == trained + dropped, "nothing waits in the end"
    assert (run.summary.samples_labelled, run.summary.samples_trained) == (programs, trained)
    assert sum(run.summary.samples_evicted.values()) == dropped
    assert run.sum(m.ERRORS) == run.sum(m.LOCATED) == sum(run.summary.errors.values())
    errors = [run.sum(m.PROGRAMS, split="train", outcome=f"{kind}_error") for kind in ("runtime", "syntax")]
    assert run.sum(m.ERRORS) == sum(errors)


def test_heldout_programs_are_those_of_three_evaluations(run: Watched) -> None:
    assert run.sum(m.PROGRAMS, split="heldout") == 3 * 6 * (1 + 2 + 2)
    assert run.summary.final is not None
    for setting, found in run.summary.final.evaluations.items():
        for k, rate in found.pass_at_k.items():
            assert run.sum(m.EVAL_PASS, stage="final", setting=setting, k=k) == pytest.approx(rate)


def test_every_program_that_executors_were_given_was_remembered_or_executed(run: Watched) -> None:
    judged, executed = run.sum(m.JUDGED), run.histogram(m.EXECUTION, "count")
    assert run.sum(m.SANDBOX_ERRORS) == 0
    assert judged == executed + run.sum(m.REMEMBERED)
    assert judged == run.sum(m.PROGRAMS, split="train") + 2 * run.sum(m.PROGRAMS, split="heldout"), "by visible and hidden tests"
    assert 0 <= run.sum(m.KILLED) <= executed
    assert run.histogram(m.EXECUTION, "sum") > 0
    assert run.sum(m.TIERS) == 1


def test_tests_and_tokens_are_parts_of_wholes(run: Watched) -> None:
    for split in ("train", "heldout"):
        programs, tests = run.sum(m.PROGRAMS, split=split), run.sum(m.TESTS_RUN, split=split)
        assert programs <= tests
        assert 0 <= run.sum(m.TESTS_PASSED, split=split) <= tests
        assert run.sum(m.SAMPLED_TOKENS, split=split) >= programs
    assert 0 < run.sum(m.PENALISED_TOKENS) <= run.sum(m.SAMPLED_TOKENS, split="train")
    assert 0 < run.sum(m.LEARNER_TOKENS) <= run.sum(m.SAMPLED_TOKENS, split="train")


def test_the_lag_of_every_trained_program_is_in_its_histogram(run: Watched) -> None:
    assert run.histogram(m.LAG, "count") == run.sum(m.TRAINED)
    assert run.histogram(m.LAG, "sum") / run.sum(m.TRAINED) == pytest.approx(run.summary.lag.mean)
    within = next(bound for bound in m.LAG.buckets if bound >= run.sum(m.LAG_BOUND))
    assert run.last["rltf_lag_steps_bucket", str(float(within))] == run.sum(m.TRAINED)


def test_each_sampler_received_each_publication_whole(run: Watched) -> None:
    assert run.sum(m.PUBLICATIONS) == run.summary.versions_published == 4
    parameters = run.summary.model["parameters"]
    assert isinstance(parameters, int)
    assert run.sum(m.SYNC_BYTES) == 4 * 2 * 2 * parameters, "publications × samplers × bytes of bf16"
    assert 0 < run.sum(m.SYNC_SECONDS) < sum(run.summary.seconds.values())
    assert run.sum(m.POLICY_VERSION) == run.sum(m.STEPS_WANTED) == 4


def test_each_step_made_its_update_and_the_newest_checkpoint_has_a_size(run: Watched) -> None:
    assert run.sum(m.UPDATES, result="made") == 5 + 4 + 4, "warm start, control, online"
    assert run.sum(m.UPDATES, result="skipped") == 0
    assert run.sum(m.CHECKPOINT_BYTES) == size_of(run.checkpoint)


def test_nobody_is_busy_for_longer_than_the_run(run: Watched) -> None:
    whole = sum(run.summary.seconds.values())
    for phase in ("sampling", "executing", "learning"):
        assert 0 < run.sum(m.PHASE_SECONDS, phase=phase) <= whole * run.sum(m.WORKERS, phase=phase)
    assert [run.sum(m.WORKERS, phase=phase) for phase in ("sampling", "executing", "learning")] == [2, 1, 1]


def test_the_stages_follow_one_another(run: Watched) -> None:
    stages = [[key[1] for key, value in found.items() if key[0] == "rltf_stage" and value == 1] for found in run.scrapes]
    order = ["problems", "actors", "warm start", "evaluate start", "control", "evaluate control", "online", "evaluate final"]
    seen = [names[0] for names in stages if names]
    assert max(map(len, stages)) == 1
    assert [order.index(name) for name in seen] == sorted(order.index(name) for name in seen)
    assert seen[-1] == "evaluate final"
    assert {key[1] for key in run.last if key[0] == "rltf_stage"} == set(order)


def test_counters_never_fall_and_are_there_before_they_count(run: Watched) -> None:
    falling = {m.PREFIX + metric.name for metric in m.ALL if metric.kind == "counter"}
    for before, after in zip(run.scrapes, run.scrapes[1:], strict=False):
        assert all(after[key] >= value for key, value in before.items() if key[0] in falling)
    assert run.last["rltf_canaries_total", "wrong"] == run.last["rltf_samples_evicted_total", "rewound"] == 0
    assert len([key for key in run.last if key[0] == "rltf_programs_total"]) == 4 * 2, "four outcomes, two splits"


def test_rows_are_one_for_each_step_with_the_totals_of_their_time(run: Watched) -> None:
    assert [row[m.TRAINED.name] for row in run.rows] == [8, 16, 24, 32]
    assert [row[m.STEP.name] for row in run.rows] == [1, 2, 3, 4]
    ended = [row[m.LAST_PROGRESS.name] for row in run.rows]
    assert ended == sorted(ended)
    assert run.sum(m.LAST_PROGRESS) > ended[-1], "the evaluation came after the last step"
    assert [row[m.LAG_LARGEST.name] for row in run.rows][-1] == run.sum(m.LAG_LARGEST) == run.summary.lag.maximum
    assert all(0 <= row[m.BUFFER_AGE.name] <= run.sum(m.LAG_BOUND) for row in run.rows)
