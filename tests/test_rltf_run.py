"""Whole runs with every real part: Ray actors, executors, Redis, DeepSpeed, weight sync."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from contracts import metrics as m
from contracts.counts import summed
from contracts.evaluation import read_evaluation
from contracts.recipe import load_recipe
from contracts.records import Problem, Test
from contracts.summary import read_summary
from models.load import load_model, load_tokenizer
from problems.apps import read_folder, write_folder
from rltf.examples import read_examples
from rltf.monitor import read_metrics
from rltf.serial import serial_loop
from tests.scraping import scrape, series, targets
from tests.small_run import ROOT, SMALL, command, losses, online_rows, run

pytestmark = pytest.mark.slow


ADAPTERS = ("model.lora.rank=4", "learner.pack_tokens=400", "weights.checksum=true")


def test_a_run_ends_with_everything_a_user_looks_for(tmp_path: Path) -> None:
    summary = run(tmp_path)
    folder = tmp_path / "small"
    assert summary.status == "done"
    assert summary.steps == 4
    for result in (summary.start, summary.control, summary.final):
        assert result is not None
        assert list(result.evaluations) == ["greedy", "T=1.0", "T=0.6"]
        assert (result.problems, result.judged_by) == (6, "hidden tests")
        assert result.evaluations["T=1.0"].samples_per_problem == 2
        assert sum(result.evaluations["T=1.0"].outcomes.values()) == pytest.approx(1)
        assert result.evaluations["T=1.0"].gap is not None, "primer has hidden tests"
        assert set(result.evaluations["T=1.0"].intervals) == {"1", "2"}
    assert summary.samples_trained == 4 * 8
    assert summary.samples_labelled == sum(summary.outcomes.values()) >= summary.samples_trained
    for stage in ("start", "control", "final"):
        assert len(_samples(folder / "evaluations" / stage)) == 6 * (1 + 2 + 2)
        assert read_evaluation(folder / "evaluations" / stage / "summary.json").result == getattr(summary, stage)
    last = online_rows(tmp_path)[-1]
    assert summed(last, m.PROGRAMS, "difficulty", split="train").keys() == {"introductory"}
    heldout = summed(read_metrics(folder)[-1], m.PROGRAMS, "split")
    assert heldout == {"train": summary.samples_labelled, "heldout": 3 * 6 * (1 + 2 + 2)}
    assert summary.versions_published == 4
    assert summary.lag.bound is not None
    assert 0 <= summary.lag.mean <= summary.lag.maximum <= summary.lag.bound
    assert summary.model == {"architecture": "LlamaForCausalLM", "parameters": summary.model["parameters"]}
    assert {"problems", "actors", "warm start", "control", "online", "evaluate final"} <= set(summary.seconds)
    assert [row[m.STEP.name] for row in online_rows(tmp_path)] == [1, 2, 3, 4]
    log = _log(tmp_path)
    assert [line["message"] for line in log if line["message"].startswith("run ")] == ["run begun", "run done"]
    assert [line["version"] for line in log if line["message"] == "checkpoint"] == [2, 4]
    assert {line["actor"] for line in log if line["message"] == "actor started"} == {"executor 0", "sampler 0", "learner rank 0"}
    assert {line["level"] for line in log} == {"info"}
    assert list((tmp_path / ".prometheus").iterdir()) == [], "nothing is left to scrape"
    assert load_recipe(folder / "config.yaml").name == "small"
    assert "<svg" in (folder / "report.html").read_text()
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "base", "control", "final", "start", "step-000002", "step-000004",
    ]  # fmt: skip
    for model in ("start", "final", "step-000004/model"):
        load_model(str(folder / "checkpoints" / model))
        load_tokenizer(str(folder / "checkpoints" / model))
    assert _evaluated_again(folder / "checkpoints" / "final", tmp_path) == _samples(folder / "evaluations" / "final")


@pytest.mark.parametrize(
    "settings",
    [
        ("learner.ranks=2", "deepspeed.zero_stage=2", "weights.checksum=true"),
        ("learner.ranks=2", "deepspeed.zero_stage=3", "weights.checksum=true"),
        ("actors.count=2", "executors.count=2", "executors.cores=2", "deepspeed.zero_stage=1", "buffer.overflow=drop_oldest"),
        ("model.kind=encoder_decoder", "objective.baseline=greedy", "weights.sync_every=2"),
        (*ADAPTERS, "learner.ranks=2", "deepspeed.zero_stage=3", "learner.activation_checkpointing=true", "objective.kl=0.1"),
    ],
    ids=["zero2", "zero3", "two-of-each", "encoder-decoder", "adapters"],
)
def test_runs_of_every_shape_end_well(tmp_path: Path, settings: tuple[str, ...]) -> None:
    summary = run(tmp_path, "control=false", *settings)
    assert summary.status == "done"
    assert summary.samples_trained == 32
    assert summary.final is not None
    assert summary.lag.bound is not None
    assert summary.lag.maximum <= summary.lag.bound
    if "model.kind=encoder_decoder" in settings:
        assert summary.model["architecture"] == "T5ForConditionalGeneration"


def test_a_run_without_online_training_ends_with_what_came_before_it(tmp_path: Path) -> None:
    summary = run(tmp_path, "online=false", "problems.corpus=verified", "problems.primer.misunderstood=0.5")
    assert (summary.status, summary.steps, summary.samples_trained, summary.final) == ("done", 0, 0, None)
    assert summary.start is not None
    assert summary.control is not None
    assert summary.problems["corpus_programs"] == 80
    assert 0 < summary.problems["corpus_programs_kept"] < 40, "of 80, 70% or more are wrong"
    assert online_rows(tmp_path) == []
    assert not (tmp_path / "small" / "checkpoints" / "final").exists()
    assert "the recipe asks for no online training" in (tmp_path / "small" / "report.html").read_text()


def test_a_run_uses_a_redis_that_is_already_there_and_leaves_it_clean(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        client.set("someone-elses", "key")
        monkeypatch.setenv("RLTF_REDIS_URL", redis_url)
        summary = run(tmp_path, "control=false")
        assert summary.samples_trained == 32
        assert not (tmp_path / "small" / "redis").exists()
        assert client.get("someone-elses") == b"key"
        assert client.keys("rltf:*small*") == []


def test_the_loop_runs_on_real_problems(tmp_path: Path, benchmark_data: Path) -> None:
    settings = ("control=false", "steps=2", "prompt.max_tokens=300", "sampling.max_new_tokens=60", "monitor.examples=2")
    summary = run(tmp_path, f"problems.path={benchmark_data / 'apps' / 'train'}", *settings)
    assert summary.samples_trained == 16
    assert summary.problems["train"] + summary.problems["heldout"] == 103
    assert summary.problems["prompt_characters_cut"] > 0, "statements of 1,900 characters do not fit"
    assert set(summary.outcomes) <= {"pass", "failure", "runtime_error", "syntax_error"}
    for example in read_examples(tmp_path / "small"):
        covered = "".join(
            example.text[start:end]
            for start, end, penalised in zip(example.starts, example.ends, example.penalised, strict=True)
            if penalised
        )
        assert bool(covered) == (example.category in ("line", "global"))
        assert len(covered) < len(example.text) or example.category == "global" or "\n" not in example.text.strip()


def test_the_run_trains_on_problems_of_ones_own(tmp_path: Path) -> None:
    tests = tuple(Test(f"{n}\n", f"{n + 1}\n") for n in range(3))
    right = ("print(int(input()) + 1)\n",)
    problems = [Problem(id=f"own{i}", question="Print n + 1.", tests=tests, solutions=right, corpus=right) for i in range(12)]
    problems.append(Problem(id="none", question="No tests.", tests=()))
    write_folder(tmp_path / "problems", problems)
    summary = run(tmp_path, "control=false", f"problems.path={tmp_path / 'problems'}", "problems.heldout_fraction=0.2")
    assert summary.samples_trained == 32
    assert summary.problems["dropped_without_tests"] == 1
    assert (summary.problems["train"], summary.problems["heldout"]) == (10, 2)
    assert summary.final is not None
    assert summary.final.judged_by == "visible tests"


def test_warm_start_eval_and_report_work_by_themselves(tmp_path: Path) -> None:
    def rltf(*arguments: str) -> str:
        call = [sys.executable, "-m", "rltf.cli", *arguments]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    settings = ("recipes/local.yaml", *SMALL, f"output={tmp_path}", "control=false")
    folder = tmp_path / "small"
    rltf("warmup", *settings)
    assert not (folder / "checkpoints" / "final").exists()
    assert "greedy" in rltf("eval", *settings, "--model", str(folder / "checkpoints" / "start"))
    (folder / "report.html").unlink()
    assert rltf("report", str(folder)).strip() == str(folder / "report.html")
    assert (folder / "report.html").is_file()
    rltf("train", *settings, "--resume")
    assert "warm start" not in [row["stage"] for row in read_metrics(folder)][5:], "the warm start was not made again"
    assert read_summary(folder / "summary.json").samples_trained == 32


def test_doctor_finds_what_a_run_needs() -> None:
    done = subprocess.run([sys.executable, "-m", "rltf.cli", "doctor"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for finding in ("programs are judged right", "starts and answers", "GiB free here", "deepspeed"):
        assert finding in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("held_back", "adapted"),
    [(False, False), (True, False), (True, True)],
    ids=["newest weights", "two publications behind", "adapters, two publications behind"],
)
def test_the_real_loop_does_what_the_boring_one_does(tmp_path: Path, held_back: bool, adapted: bool) -> None:
    settings = ("sampling.problems_per_batch=4", "weights.sync_every=1", "weights.hold_back=2", "weights.checksum=true")
    adapters = (*ADAPTERS, "learner.optimizer.lr=0.01") if adapted else ()
    summary = run(tmp_path, *DETERMINISTIC, *(settings if held_back else ()), *adapters)
    folder = tmp_path / "small"
    recipe = load_recipe(folder / "config.yaml")
    problems, _ = read_folder(folder / "problems" / "train")
    boring = list(serial_loop(recipe, problems, str(folder / "checkpoints" / "start")))
    assert len(boring) == 6
    for real, expected in zip(online_rows(tmp_path), boring, strict=True):
        assert real[m.LOSS.name] == pytest.approx(expected[m.LOSS.name], rel=1e-3, abs=1e-5)
        assert real[m.LAG_MAX.name] == expected[m.LAG_MAX.name]
    if held_back:  # every step takes the one batch that was sampled for it
        assert [row[m.LAG_MAX.name] for row in online_rows(tmp_path)] == [0, 1, 2, 2, 2, 2]
        assert (summary.lag.maximum, summary.lag.mean) == (2, 9 / 6)


DETERMINISTIC = (
    "control=false",
    "deterministic=true",
    "actors.in_flight=1",
    "steps=6",
    "sampling.problems_per_batch=6",  # more than the 4 groups of a step: some wait across steps and checkpoints
    "buffer.capacity=24",
    "weights.sync_every=2",
)


def test_the_same_losses_twice_and_after_a_kill_and_resume(tmp_path: Path) -> None:
    whole, broken, copy = tmp_path / "whole", tmp_path / "broken", tmp_path / "copy"
    run(whole, *DETERMINISTIC)
    copied = (*DETERMINISTIC, f"upload=file://{copy}")
    left, _ = _stop_when(broken, lambda: len(online_rows(broken)) >= 3, signal.SIGKILL, *copied)
    ours = [process for process in left if "Agent" not in process.name()]  # Ray's agents take a minute to notice
    assert ours == [], "no actor, executed program or server outlives a killed driver"
    assert len(losses(broken)) < 6
    first_life = losses(broken)
    assert first_life == losses(whole)[: len(first_life)], "the same losses twice"
    summary = run(broken, *DETERMINISTIC, "--resume")
    assert losses(broken) == losses(whole), "and after a kill and a resume"
    assert summary.samples_trained == 48
    assert summary.final is not None
    whole_summary = read_summary(whole / "small" / "summary.json")
    assert summary.final == whole_summary.final
    assert summary.outcomes == whole_summary.outcomes
    assert summary.lag == whole_summary.lag
    assert summary.samples_evicted.keys() <= {"rewound", "left_over"}

    shutil.rmtree(broken)
    run(broken, *copied, "--resume")
    assert losses(broken) == losses(whole), "and where only the copy is left, of the last checkpoint before the kill"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "ray job stop"])
def test_interrupts_end_all_processes_and_leave_a_run_to_resume(tmp_path: Path, number: signal.Signals) -> None:
    left, code = _stop_when(tmp_path, lambda: len(online_rows(tmp_path)) >= 3, number, "steps=200", "control=false")
    assert code == 130
    assert left == [], "no process is left"
    summary = read_summary(tmp_path / "small" / "summary.json")
    assert summary.status == "interrupted"
    assert summary.steps >= 2
    assert [row[m.STEP.name] for row in online_rows(tmp_path)] == list(range(1, summary.steps + 1))
    assert "interrupted" in (tmp_path / "small" / "report.html").read_text()


def test_an_actor_that_dies_ends_the_run_with_one_line(tmp_path: Path) -> None:
    call = command(tmp_path, "steps=200", "control=false")
    process = subprocess.Popen(call, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _wait_until(process, lambda: len(online_rows(tmp_path)) >= 2)
    children = psutil.Process(process.pid).children(recursive=True)
    ((name, address),) = targets(tmp_path).items()
    served = series(scrape(address), name)
    assert served["rltf_step",] >= 2
    assert served["rltf_lag_steps_count",] == served["rltf_samples_trained_total",] >= 16
    next(child for child in children if child.name().startswith("ray::ExecutorActor")).kill()
    _, errors = process.communicate(timeout=60)
    last = _log(tmp_path)[-1]
    assert (last["level"], last["role"], last["message"]) == ("error", "driver", "run failed")
    assert "RayActorError" in last["traceback"] or "ActorDiedError" in last["traceback"]
    assert process.returncode == 1
    assert [line for line in errors.splitlines() if line.startswith("error: an actor died")] != []
    assert targets(tmp_path) == {name: address}, "it is seen to be down"
    assert "Traceback" not in errors
    assert read_summary(tmp_path / "small" / "summary.json").status == "failed"


def test_actors_that_find_no_place_are_an_error_not_a_wait(tmp_path: Path) -> None:
    call = command(tmp_path, "learner.num_gpus=64", "control=false")
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    lacking = "learner: 1 × (1 CPU, 64 GPU) wanted, 0 fit: node "
    assert f"error: the recipe's actors do not fit the cluster: {lacking}" in done.stderr


def _evaluated_again(model: Path, output: Path) -> list[bytes]:
    """The samples of `rltf eval`, which starts no learner."""
    words = ("eval", "recipes/local.yaml", *SMALL, "--model", str(model), "--output", str(output / "again"))
    done = subprocess.run([sys.executable, "-m", "rltf.cli", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return _samples(output / "again")


def _samples(evaluation: Path) -> list[bytes]:
    return (evaluation / "samples.jsonl").read_bytes().splitlines()


def _log(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "small" / "log.jsonl").read_text().splitlines()]


def _wait_until(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    while not ready():
        assert process.poll() is None, "the run ended too early"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)


def _stop_when(
    output: Path, ready: Callable[[], bool], number: signal.Signals, *arguments: str
) -> tuple[list[psutil.Process], int]:
    """Start a run, send it a signal when it is ready; returns the processes that outlive it, and its exit code."""
    arguments = arguments or DETERMINISTIC
    call = command(output, *arguments)
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(call, cwd=ROOT, stdout=quiet, stderr=quiet, start_new_session=True, text=True)
    _wait_until(process, ready)
    started = psutil.Process(process.pid).children(recursive=True)
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        os.kill(process.pid, number)
    code = process.wait(timeout=60)
    _, alive = psutil.wait_procs(started, timeout=30)
    return alive, code
