"""`rltf submit`: a run as a job of a Ray cluster. The tree goes there with the recipe, its output comes back.

What is wrong with address, token, versions or recipe is found before anything is sent.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp
import ray
import ray.exceptions
import requests
from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled
from ray.job_submission import JobStatus, JobSubmissionClient
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException

from contracts.config import Recipe
from contracts.errors import RunError, UserError
from rltf.joining import TOKEN_REMEDY
from rltf.rooms import wording

ANSWER_SECONDS = 5.0
RUNTIME_ENV = {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}
"""`ray job stop` kills after three seconds unless told otherwise: too soon for a report. Also in deploy/ray/runtime-env.yaml."""
INTERRUPTED = 130
SECONDS_BETWEEN = 1.0
MOST_NODES = 10_000
"""More than Ray tells of are not asked for."""


class Job(NamedTuple):
    """What is to be run, and how."""

    recipe: Recipe
    entrypoint: Sequence[str]
    """Its command, run in a copy of `tree`."""
    tree: Path
    cpus: float = 0
    """What its driver takes; 0: nothing, on the head node."""
    resources: dict[str, float] | None = None
    """Custom resources that its driver takes: they say on which node it may be."""

    @property
    def bundle(self) -> dict[str, float]:
        """All that its driver takes."""
        return ({"CPU": self.cpus} if self.cpus else {}) | (self.resources or {})


def submit(job: Job, address: str, say: Callable[[str], None], *, follow: bool = True) -> int:
    """Submit it, and let its output be heard until it ends. Returns its exit code, 0 where it is not followed.

    Raises UserError where the cluster cannot be asked, has other versions, has no node for the driver or does not take the job;
    RunError where sight of it is lost.
    """
    address = check_cluster(address)
    if job.bundle and not job.recipe.ray.autoscales:
        check_driver(job.bundle, address)
    client = JobSubmissionClient(address)
    for handler in logging.getLogger("ray").handlers:
        handler.setLevel(logging.ERROR)
    name = f"{job.recipe.name}-{secrets.token_hex(4)}"
    try:
        client.submit_job(
            entrypoint=shlex.join(job.entrypoint),
            submission_id=name,
            runtime_env={**RUNTIME_ENV, "working_dir": str(job.tree)},
            entrypoint_num_cpus=job.cpus or None,
            entrypoint_resources=job.resources,
        )
    except (RuntimeError, ValueError) as err:
        remedy = "See what .gitignore or .rayignore could leave out" if "size" in str(err) else "See `ray job list`"
        raise UserError(f"the cluster does not take the job: {' '.join(str(err).split())}", remedy) from err
    say(f"job {name} on {address}: `ray job logs --follow {name}` shows its output, `ray job stop {name}` ends it\n")
    return _follow(client, name, address, say) if follow else 0


def check_cluster(address: str) -> str:
    """The dashboard's whole address. Raises UserError where it is none, refuses us, or has another version of Ray."""
    if not address.startswith(("http://", "https://")):
        if "://" in address:
            raise UserError(f"{address} is no dashboard of a Ray cluster", "Name http://HEAD:8265")
        address = f"http://{address}"
    address = address.rstrip("/")
    remedy = "Name http://HEAD:8265; `ray start --head --dashboard-host=ADDRESS` lets other machines reach it"
    try:
        answer = requests.get(f"{address}/api/version", headers=get_auth_headers_if_auth_enabled({}), timeout=ANSWER_SECONDS)
        if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            raise UserError(f"the Ray cluster at {address} refuses the token, or misses one", TOKEN_REMEDY)
        answer.raise_for_status()
        version = answer.json()["ray_version"]
    except ray.exceptions.AuthenticationError as err:
        raise UserError("RAY_AUTH_MODE=token asks for a token, and there is none", TOKEN_REMEDY) from err
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.InvalidURL) as err:
        raise UserError(f"no Ray dashboard answers at {address}", remedy) from err
    except (requests.RequestException, KeyError, TypeError) as err:
        raise UserError(f"what answers at {address} is no Ray dashboard", remedy) from err
    if version != ray.__version__:
        raise UserError(
            f"the cluster at {address} has Ray {version}, this tree is for {ray.__version__}", "Install that version on its nodes"
        )
    return address


def check_driver(bundle: Mapping[str, float], address: str) -> None:
    """Raises UserError where no node of the cluster, if it was empty, had room for such a driver: it would wait for ever."""
    try:
        nodes = list_nodes(address, filters=[("state", "=", "ALIVE")], limit=MOST_NODES, raise_on_missing_output=False)
    except RayStateApiException as err:
        raise UserError(f"{address} does not tell its nodes: {' '.join(str(err).split())}", "See its dashboard's log") from err
    totals: list[Mapping[str, float]] = [node.resources_total for node in nodes]
    if any(all(total.get(kind, 0) >= amount for kind, amount in bundle.items()) for total in totals):
        return
    most = ", ".join(f"{max((total.get(kind, 0) for total in totals), default=0):g} {kind}" for kind in bundle)
    raise UserError(
        f"no node of the cluster has {wording(bundle)} for the job's driver: the most that one has is {most}",
        "Mend --driver-cpus or --driver-on",
    )


def _follow(client: JobSubmissionClient, name: str, address: str, say: Callable[[str], None]) -> int:
    try:
        asyncio.run(_show(client, name, say))
        info = client.get_job_info(name)
    except KeyboardInterrupt:
        say(f"\njob {name} goes on: `ray job stop {name}` ends it\n")
        return INTERRUPTED
    except (RuntimeError, requests.RequestException, aiohttp.ClientError) as err:
        raise RunError(f"{address} no longer answers, job {name} may go on", f"See `ray job status {name}`") from err
    if info.status is JobStatus.SUCCEEDED:
        return 0
    if info.status is JobStatus.STOPPED:
        return INTERRUPTED
    if info.driver_exit_code is None:  # it has never begun, and has printed nothing
        raise RunError(f"job {name} failed: {' '.join((info.message or '').split())}", f"See `ray job logs {name}`")
    return int(info.driver_exit_code)


async def _show(client: JobSubmissionClient, name: str, say: Callable[[str], None]) -> None:
    """All of its output, until it has ended. A connection that ends before is made again, and tells everything from the start."""
    said = 0
    while True:
        heard = 0
        async for text in client.tail_job_logs(name):
            if new := text[max(0, said - heard) :]:
                say(new)
            heard += len(text)
            said = max(said, heard)
        if client.get_job_status(name).is_terminal():
            return
        await asyncio.sleep(SECONDS_BETWEEN)
