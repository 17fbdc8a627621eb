"""Jobs on a real Ray cluster of two nodes: the tree as it is, run, watched, stopped, refused."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from contracts.summary import read_summary
from tests.small_run import SMALL
from tests.two_nodes import BIN, TwoNodes, two_nodes

pytestmark = pytest.mark.slow
TRAIN = ("recipes/local.yaml", *SMALL, "control=false", "eval.max_problems=2")
SPREAD = ("executors.count=2", "actors.resources={second: 0.1}")
"""Samplers on the second node, the learner and the driver on the first, executors on both."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    with tempfile.TemporaryDirectory(prefix="rltf", dir="/tmp") as folder, two_nodes(Path(folder)) as cluster:
        yield cluster


def rltf(cluster: TwoNodes, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return cluster.run([str(BIN / "rltf"), *arguments], env=env)


def ray(cluster: TwoNodes, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cluster.run([str(BIN / "ray"), *arguments], env={"RAY_API_SERVER_ADDRESS": cluster.url})


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_the_tree_as_it_is_runs_on_both_nodes(cluster: TwoNodes, tmp_path: Path) -> None:
    """By Ray's own command, and nothing else than the tree: its copy wins over what is installed on the nodes."""
    quiet = cluster.of_jobs()
    done = ray(
        cluster, "job", "submit", "--submission-id=whole", "--runtime-env=deploy/ray/runtime-env.yaml", "--working-dir=.",
        "--", "python", "-m", "rltf", "train", *TRAIN, *SPREAD, f"output={tmp_path}", f"upload=file://{tmp_path}/copy",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    summary = read_summary(tmp_path / "small" / "summary.json")
    assert (summary.status, summary.samples_trained) == ("done", 32)

    first, second = cluster.head.address, cluster.second.address
    log = log_of(tmp_path / "small")
    started = {(line["actor"], line["node"]) for line in log if line["message"] == "actor started"}
    executors = {("executor 0", first), ("executor 1", second)}
    assert started - executors == {("learner rank 0", first), ("sampler 0", second)}
    assert started & executors == executors or started >= {("executor 0", second), ("executor 1", first)}

    printed = ray(cluster, "job", "logs", "whole").stdout
    assert f"learner on {first} (1); samplers on {second} (1); executors on" in printed
    assert "online RLTF: done after" in printed
    assert f"results: {tmp_path / 'small'} on node {cluster.faces(cluster.head)}" in printed
    assert "runtime_resources/working_dir_files" not in printed, "no traceback, no warning of the copy's files"
    files = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert files >= {"small/summary.json", "small/report.html", "small/state.json", "small/checkpoints/final/config.json"}
    assert _gone(cluster, quiet) == []


def test_a_stopped_job_leaves_nothing_behind(cluster: TwoNodes, tmp_path: Path) -> None:
    """One whose driver is not on the head's node, where it can be."""
    quiet = cluster.of_jobs()
    settings = (*TRAIN, *SPREAD, f"output={tmp_path / 'runs'}", "steps=500", "checkpoint.every=1")
    there = ("--driver-on", "second") if cluster.hides else ()
    command = [str(BIN / "rltf"), "submit", *settings, *there, "--address", cluster.url]
    following = cluster.popen(command, log=tmp_path / "followed")
    metrics = tmp_path / "runs" / "small" / "metrics.jsonl"
    _wait_until(
        following, lambda: metrics.is_file() and metrics.read_text().count('"stage":"online"') >= 3, tmp_path / "followed"
    )
    assert len(cluster.of_jobs()) > len(quiet) + 5, "driver, Redis, four actors and what they started are seen"

    name = re.search(r"`ray job stop (small-\w+)`", (tmp_path / "followed").read_text())
    assert name
    stopped = ray(cluster, "job", "stop", name[1])
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert following.wait(timeout=60) == 130
    assert _gone(cluster, quiet) == []
    followed = (tmp_path / "followed").read_text()
    assert followed.endswith("interrupted: go on with --resume\n")
    assert "redis://" not in followed
    summary = read_summary(tmp_path / "runs" / "small" / "summary.json")
    assert summary.status == "interrupted"
    assert summary.steps >= 2
    assert (tmp_path / "runs" / "small" / "report.html").is_file()
    driver = cluster.second if cluster.hides else cluster.head
    assert f"results: {tmp_path / 'runs' / 'small'} on node {cluster.faces(driver)}\n" in followed


# Refused, in one line


@pytest.mark.parametrize("token", ["x" * 64, ""], ids=["another token", "none"])
def test_a_token_that_is_not_the_clusters(cluster: TwoNodes, tmp_path: Path, token: str) -> None:
    mode = "token" if token else "disabled"
    env = {"RAY_AUTH_TOKEN": token, "RAY_AUTH_MODE": mode}
    output = f"output={tmp_path}"
    said = rltf(cluster, "submit", *TRAIN, output, "--address", cluster.url, **env)
    remedy = "Set RAY_AUTH_MODE=token and the cluster's token in RAY_AUTH_TOKEN or ~/.ray/auth_token\n"
    assert said.stderr == f"error: the Ray cluster at {cluster.url} refuses the token, or misses one. {remedy}"
    joined = rltf(cluster, "train", *TRAIN, output, f"ray.address={cluster.gcs}", **env)
    assert joined.stderr == f"error: the Ray cluster at {cluster.gcs} refuses the token, or misses one. {remedy}"
    assert (said.returncode, joined.returncode) == (2, 2)
    assert list(tmp_path.iterdir()) == []


def test_what_the_cluster_lacks_is_said_by_role_and_node(cluster: TwoNodes, tmp_path: Path) -> None:
    said = rltf(
        cluster, "train", *TRAIN, f"output={tmp_path}", f"ray.address={cluster.gcs}", "actors.num_gpus=0.6", "actors.count=3",
        "actors.in_flight=3", "executors.count=12",
    )  # fmt: skip
    first, second = cluster.head.address, cluster.second.address
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1] == (
        "error: the recipe's actors do not fit the cluster: "
        f"samplers: 3 × (1 CPU, 0.6 GPU) wanted, 2 fit: node {first} has 0 of 0 GPUs left, "
        f"node {second} has 0.8 of 2 GPUs left, no more than 0.4 of one; "
        f"executors: 12 × (1 CPU) wanted, 7 fit: node {first} has 0 of 6 CPUs left, node {second} has 0 of 4 CPUs left. "
        "Lower learner.ranks, actors.count, executors.count, their threads, cores or num_gpus, or join a larger cluster"
    )


def test_shares_of_gpus_are_given_as_planned(cluster: TwoNodes) -> None:
    """The GPUs are names, given by Ray to real actors: a sampler is on the learner's, then on the other one."""
    said = cluster.run([str(BIN / "python"), "-m", "tests.placed", cluster.gcs])
    assert said.returncode == 0, said.stderr
    first, second = cluster.head.address, cluster.second.address
    assert json.loads(said.stdout.splitlines()[-1]) == {
        "learner": [[second, "0"]],
        "samplers": [[second, "0"], [second, "1"]],
        "executors": [[first, ""], [second, ""]],
    }


def test_nodes_that_do_not_see_the_run_folder_are_named(cluster: TwoNodes) -> None:
    if not cluster.hides:
        pytest.skip("a folder that one node does not see takes a mount namespace: run it as root")
    said = rltf(cluster, "train", *TRAIN, *SPREAD, f"output={cluster.hidden}", f"ray.address={cluster.gcs}")
    first, second, run = cluster.head.address, cluster.second.address, cluster.hidden / "small"
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1] == (
        "error: the recipe's actors do not fit the cluster: samplers: 1 × (1 CPU, 0.1 second) wanted, 0 fit: "
        f"node {first} has 0 of 0 second left, node {second} does not see {run}. "
        "Set output and model.path to places that the nodes share, or keep learner and samplers on the driver's node"
    )


def test_a_busy_cluster_is_waited_for_and_then_given_up(cluster: TwoNodes, tmp_path: Path) -> None:
    hold = (
        f"import ray, time; ray.init('{cluster.gcs}'); group = ray.util.placement_group([{{'CPU': 6}}, {{'CPU': 4}}])\n"
        "ray.get(group.ready())\n"
        "while ray.available_resources().get('CPU'): time.sleep(0.1)  # the cluster's view follows a moment later\n"
        "print('held', flush=True); input()"
    )
    command = [*cluster.head.enter, str(BIN / "python"), "-c", hold]
    holder = subprocess.Popen(command, env=cluster.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = rltf(cluster, "train", *TRAIN, f"output={tmp_path}", f"ray.address={cluster.gcs}", "ray.wait_seconds=3")
    finally:
        holder.communicate("\n")
    first, second = cluster.head.address, cluster.second.address
    nodes = f"node {first} has 0 of 6 CPUs left, node {second} has 0 of 4 CPUs left"
    lacking = "; ".join(f"{role}: 1 × (1 CPU) wanted, 0 fit: {nodes}" for role in ("learner", "samplers", "executors"))
    waiting = [line for line in said.stdout.splitlines() if line.startswith("waiting")]
    assert waiting == [f"waiting for room: {lacking}"]
    assert said.stderr.splitlines()[-1] == f"error: the cluster has been too busy for 3 s: {lacking}. Raise ray.wait_seconds"
    assert said.returncode == 1


def _wait_until(process: subprocess.Popen[str], ready: Callable[[], bool], log: Path) -> None:
    while not ready():
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
            pytest.fail(f"the job ended too early: {log.read_text()[-3000:]}")


def _gone(cluster: TwoNodes, quiet: list[psutil.Process]) -> list[psutil.Process]:
    """What is left of jobs when all have had time to end."""
    _, alive = psutil.wait_procs([process for process in cluster.of_jobs() if process not in quiet], timeout=30)
    return alive
