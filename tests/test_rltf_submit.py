"""`rltf submit`, as far as it goes without a cluster; with one: test_deploy_ray_jobs.py."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.job_submission import JobDetails, JobStatus, JobType

from contracts.errors import RunError, UserError
from contracts.recipe import parse_recipe
from rltf import submit as submitting
from rltf.job import check_lasting, in_a_job, in_own_copy, train_command
from rltf.submit import RUNTIME_ENV, Job, check_cluster, check_driver, submit
from tests.cli import ROOT, rltf
from tests.stub_head import HOST, dashboard

LISTEN = "Name http://HEAD:8265; `ray start --head --dashboard-host=ADDRESS` lets other machines reach it"
TOKEN = "Set RAY_AUTH_MODE=token and the cluster's token in RAY_AUTH_TOKEN or ~/.ray/auth_token"
OURS = {"ray_version": ray.__version__}


@pytest.fixture(autouse=True)
def _no_cluster_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)


def refused(address: str) -> tuple[str, str]:
    with pytest.raises(UserError) as caught:
        check_cluster(address)
    return caught.value.message, caught.value.remedy


# The address


def test_an_address_is_completed() -> None:
    with dashboard(200, OURS) as url:
        assert check_cluster(url) == url
        assert check_cluster(f"{url}/") == url
        assert check_cluster(url.removeprefix("http://")) == url


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_or_missing(status: int) -> None:
    with dashboard(status, "Unauthorized") as url:
        assert refused(url) == (f"the Ray cluster at {url} refuses the token, or misses one", TOKEN)


@pytest.mark.parametrize(("status", "body"), [(404, OURS), (200, {"version": "1"}), (200, "hello"), (500, OURS)])
def test_something_else_answers(status: int, body: object) -> None:
    with dashboard(status, body) as url:
        assert refused(url) == (f"what answers at {url} is no Ray dashboard", LISTEN)


def test_nothing_answers() -> None:
    with dashboard(200, OURS) as url:
        pass
    assert refused(url) == (f"no Ray dashboard answers at {url}", LISTEN)


def test_another_version_of_ray() -> None:
    with dashboard(200, {"ray_version": "2.1.0"}) as url:
        said = (f"the cluster at {url} has Ray 2.1.0, this tree is for {ray.__version__}", "Install that version on its nodes")
        assert refused(url) == said


def test_what_is_no_dashboards_address() -> None:
    assert refused("ray://head:10001") == ("ray://head:10001 is no dashboard of a Ray cluster", "Name http://HEAD:8265")


# The command line: one line, before anything is sent


def said(*arguments: str) -> str:
    done = rltf("submit", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_the_recipe_is_checked_first() -> None:
    nowhere = ("--address", f"http://{HOST}:1")
    assert said("recipes/local.yaml", "learner.rnks=2", *nowhere) == "error: unknown key learner.rnks=2. Did you mean ranks?\n"
    assert said("recipes/local.yaml", *nowhere) == (
        "error: output=runs would be in the job's copy of the tree, which goes when the job has ended. "
        "Set output=/A/FOLDER that its nodes share, or upload=URL\n"
    )
    assert (
        said("recipes/local.yaml", "output=/runs", *nowhere) == f"error: no Ray dashboard answers at http://{HOST}:1. {LISTEN}\n"
    )


def test_a_recipe_elsewhere_would_not_go_along(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("steps: 5")
    assert said(str(tmp_path / "mine.yaml"), "output=/runs", "--address", f"http://{HOST}:1") == (
        f"error: {tmp_path / 'mine.yaml'} is not below ., of which the job gets a copy. Copy it there, or name --tree\n"
    )


def test_an_address_is_asked_for() -> None:
    assert "Missing option '--address'" in said("recipes/local.yaml", "output=/runs")


@pytest.mark.parametrize("cpus", ["nan", "-1", "inf"])
def test_cpus_that_are_no_number_of_them(cpus: str) -> None:
    arguments = ("recipes/local.yaml", "output=/runs", f"--driver-cpus={cpus}", "--address", f"http://{HOST}:1")
    assert said(*arguments) == f"error: --driver-cpus={cpus} is no number of CPUs. Give it one, or leave it out\n"


def test_an_empty_resource_is_none() -> None:
    arguments = ("recipes/local.yaml", "output=/runs", "--driver-on=", "--address", f"http://{HOST}:1")
    assert said(*arguments) == "error: --driver-on names no resource. Name one, or leave it out\n"


# A node for the driver


def nodes(*resources: dict[str, float]) -> dict[str, object]:
    """What a dashboard says of them, whatever it is asked."""
    rows = [{"node_id": "1", "node_ip": HOST, "is_head_node": True, "state": "ALIVE", "state_message": None, "node_name": "n",
             "labels": {}, "resources_total": of} for of in resources]  # fmt: skip
    found = {"total": len(rows), "num_after_truncation": len(rows), "num_filtered": len(rows), "result": rows}
    return {**OURS, "result": True, "msg": "", "data": {"result": found}}


TWO = nodes({"CPU": 4}, {"CPU": 2, "second": 1})


@pytest.mark.parametrize("bundle", [{"CPU": 4}, {"second": 0.001}, {"CPU": 2, "second": 0.001}])
def test_a_driver_that_a_node_has_room_for(bundle: dict[str, float]) -> None:
    with dashboard(200, TWO) as url:
        check_driver(bundle, url)


@pytest.mark.parametrize(
    ("cpus", "resources", "wanted", "most"),
    [
        (5, None, "5 CPU", "4 CPU"),
        (0, {"secnd": 0.001}, "0.001 secnd", "0 secnd"),
        (3, {"second": 0.001}, "3 CPU, 0.001 second", "4 CPU, 1 second"),
    ],
)
def test_a_driver_that_no_node_has_room_for_is_not_sent(
    cpus: float, resources: dict[str, float] | None, wanted: str, most: str
) -> None:
    job = Job(parse_recipe({"name": "mine"}), ["true"], Path("/tree"), cpus, resources)
    with dashboard(200, TWO) as url, pytest.raises(UserError) as caught:
        submit(job, url, print)
    assert (caught.value.message, caught.value.remedy) == (
        f"no node of the cluster has {wanted} for the job's driver: the most that one has is {most}",
        "Mend --driver-cpus or --driver-on",
    )


# What the job runs


def test_the_job_runs_the_recipe_of_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes").mkdir()
    recipe = tmp_path / "recipes" / "mine.yaml"
    command = ["python", "-m", "rltf", "train", "recipes/mine.yaml"]
    assert train_command(tmp_path, recipe, ["steps=5", "eval.k=[1, 2]"], resume=True) == [
        *command, "steps=5", "eval.k=[1, 2]", "--resume",
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert train_command(Path("."), Path("recipes/mine.yaml"), [], resume=False) == command


def test_results_must_outlive_the_job() -> None:
    check_lasting(parse_recipe({"name": "r", "output": "/runs"}))
    check_lasting(parse_recipe({"name": "r", "upload": "s3://bucket/runs"}))
    with pytest.raises(UserError, match="output=runs would be in the job's copy of the tree"):
        check_lasting(parse_recipe({"name": "r"}))


def test_a_run_folder_in_the_jobs_copy_of_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, elsewhere = parse_recipe({"name": "r"}), parse_recipe({"name": "r", "output": "/runs"})
    assert not in_own_copy(there)
    (tmp_path / "working_dir_files").mkdir()
    monkeypatch.chdir(tmp_path / "working_dir_files")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert in_own_copy(there)
    assert not in_own_copy(elsewhere)


def test_a_job_knows_that_it_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "working_dir_files" / "_ray_pkg_1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert not in_a_job()
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert in_a_job()
    monkeypatch.chdir(tmp_path)
    assert not in_a_job()


def test_both_ways_of_submitting_say_the_same() -> None:
    assert yaml.safe_load((ROOT / "deploy" / "ray" / "runtime-env.yaml").read_text()) == RUNTIME_ENV


# What is heard of it


class Client:
    """A cluster's job server: tells the output piece by piece, and breaks off where it is told to."""

    def __init__(self, connections: list[list[str]], status: JobStatus, code: int | None, message: str = "") -> None:
        self._connections = connections
        self._info = JobDetails(type=JobType.SUBMISSION, entrypoint="", status=status, driver_exit_code=code, message=message)
        self.submitted: dict[str, Any] = {}

    def submit_job(self, **settings: Any) -> None:
        self.submitted = settings

    async def tail_job_logs(self, _: str) -> AsyncIterator[str]:
        for text in self._connections.pop(0):
            if text == "Ctrl-C":
                raise KeyboardInterrupt
            if text == "gone":
                raise RuntimeError("WebSocket connection closed unexpectedly")
            yield text

    def get_job_status(self, _: str) -> JobStatus:
        return JobStatus.RUNNING if self._connections else self._info.status

    def get_job_info(self, _: str) -> JobDetails:
        return self._info


def followed(client: Client, monkeypatch: pytest.MonkeyPatch, *, follow: bool = True) -> tuple[int, str]:
    """The exit code, and what was said after the line that names the job."""
    monkeypatch.setattr(submitting, "JobSubmissionClient", lambda _: client)
    monkeypatch.setattr(submitting, "SECONDS_BETWEEN", 0.0)
    heard: list[str] = []
    job = Job(parse_recipe({"name": "mine"}), ["python", "-m", "rltf", "train", "r.yaml", "eval.k=[1, 2]"], Path("/tree"))
    with dashboard(200, OURS) as url:
        code = submit(job, url, heard.append, follow=follow)
    name = client.submitted["submission_id"]
    assert re.fullmatch("mine-[0-9a-f]{8}", name)
    assert heard[0] == f"job {name} on {url}: `ray job logs --follow {name}` shows its output, `ray job stop {name}` ends it\n"
    return code, "".join(heard[1:]).replace(name, "NAME")


def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client([], JobStatus.RUNNING, None)
    assert followed(client, monkeypatch, follow=False) == (0, "")
    assert client.submitted["entrypoint"] == "python -m rltf train r.yaml 'eval.k=[1, 2]'"
    assert client.submitted["runtime_env"] == {**RUNTIME_ENV, "working_dir": "/tree"}
    assert (client.submitted["entrypoint_num_cpus"], client.submitted["entrypoint_resources"]) == (None, None)


@pytest.mark.parametrize(
    ("status", "job_code", "code"),
    [(JobStatus.SUCCEEDED, 0, 0), (JobStatus.FAILED, 1, 1), (JobStatus.FAILED, 2, 2), (JobStatus.STOPPED, None, 130)],
)
def test_it_exits_as_the_job_does(monkeypatch: pytest.MonkeyPatch, status: JobStatus, job_code: int | None, code: int) -> None:
    assert followed(Client([["one\n", "two\n"]], status, job_code), monkeypatch) == (code, "one\ntwo\n")


def test_output_is_heard_once_although_connections_end(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client([["one\ntw"], ["one\n"], ["one\ntwo\n", "three\n"]], JobStatus.SUCCEEDED, 0)
    assert followed(client, monkeypatch) == (0, "one\ntwo\nthree\n")


def test_leaving_is_not_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client([["one\n", "Ctrl-C"]], JobStatus.RUNNING, None)
    assert followed(client, monkeypatch) == (130, "one\n\njob NAME goes on: `ray job stop NAME` ends it\n")


def test_a_cluster_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"http://\S+ no longer answers, job mine-\w+ may go on\. See `ray job status mine-\w+`"):
        followed(Client([["one\n", "gone"]], JobStatus.RUNNING, None), monkeypatch)


def test_a_job_that_never_began(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client([[]], JobStatus.FAILED, None, "Failed to set up\nruntime environment")
    with pytest.raises(
        RunError, match=r"job mine-\w+ failed: Failed to set up runtime environment\. See `ray job logs mine-\w+`"
    ):
        followed(client, monkeypatch)


def test_make_asks_for_a_recipe() -> None:
    call = ["make", "--assume-old=.venv/.set-up", "submit", "ADDRESS=http://127.0.0.1:1", "OUTPUT=/tmp"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "make submit needs a recipe: make submit ADDRESS=http://HEAD:8265 RECIPE=" in done.stderr
    assert "rltf submit" not in done.stdout, "it ends there"
