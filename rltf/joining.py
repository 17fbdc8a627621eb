"""The Ray cluster of a run: one that is there is joined, else a local one is started, and what goes wrong is said at once."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import ray
import ray.exceptions
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
from ray.core.generated.gcs_pb2 import GcsNodeInfo

from contracts.config import Recipe
from contracts.errors import UserError
from rltf.host import address_of, head_of
from rltf.lost import lost
from rltf.roles import wanted

OBJECT_STORE_BYTES = 256 * 2**20
ANSWER_SECONDS = 5.0

# Without it, Ray leaves a node's GPUs visible to actors that asked for none, and libraries take them.
HIDE_GPUS = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}
TOKEN_REMEDY = "Set RAY_AUTH_MODE=token and the cluster's token in RAY_AUTH_TOKEN or ~/.ray/auth_token"


@contextmanager
def connected(recipe: Recipe) -> Iterator[None]:
    """Join the cluster that the recipe or RAY_ADDRESS names, else start a local one that ends with this block.

    Raises UserError where there is no cluster, where it refuses us, where its versions are others than ours, where the
    job's runtime environment sets what we set, and where Ray's sockets do not fit their folder; RunError where an actor, a node
    or its data is lost.
    """
    address = address_of(recipe)
    on_terminate = signal.getsignal(signal.SIGTERM)
    if address:
        _join(address)
    else:
        _start_local(recipe)
    signal.signal(signal.SIGTERM, on_terminate)  # Ray sets a handler of its own, which would end the run as failed
    try:
        yield
    except ray.exceptions.RayError as err:
        if said := lost(err):
            raise said from err
        raise
    finally:
        ray.shutdown()


def check_cluster(address: str) -> str:
    """Ask the cluster's head for a sign of life: Ray itself would ask for minutes for what is not there.

    Returns the address by which this machine is a node. Raises UserError where nothing of Ray answers, where it refuses us or has
    another version, and where this machine is no node.
    """
    head = head_of(address)
    try:
        with init_grpc_channel(head) as channel:
            stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            answer = stub.CheckAlive(gcs_service_pb2.CheckAliveRequest(), timeout=ANSWER_SECONDS)
            nodes = stub.GetAllNodeInfo(gcs_service_pb2.GetAllNodeInfoRequest(), timeout=ANSWER_SECONDS).node_info_list
    except ray.exceptions.AuthenticationError as err:
        raise UserError("RAY_AUTH_MODE=token asks for a token, and there is none", TOKEN_REMEDY) from err
    except grpc.RpcError as err:
        if err.code() is grpc.StatusCode.UNAUTHENTICATED:
            raise UserError(f"the Ray cluster at {head} refuses the token, or misses one", TOKEN_REMEDY) from err
        remedy = "Name HOST:PORT of a running cluster's head: `ray start --head` prints it"
        raise UserError(f"no Ray cluster answers at {head}", remedy) from err
    if answer.ray_version != ray.__version__:
        raise UserError(
            f"the cluster at {head} has Ray {answer.ray_version}, this process {ray.__version__}",
            "Install the cluster's version here, or this one there",
        )
    for node in nodes:
        if node.state == GcsNodeInfo.ALIVE and Path(node.raylet_socket_name).exists() and _is_ours(node.node_manager_address):
            return str(node.node_manager_address)
    raise UserError(f"this machine is no node of the Ray cluster at {head}", "Start it on one, or use `rltf submit`")


def _is_ours(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here, suppress(OSError):
        here.bind((address, 0))
        return True
    return False


def _join(address: str) -> None:
    ours = check_cluster(address)  # Ray would guess it by the way to the internet, and abort where that is wrong
    try:
        ray.init(
            address,
            _node_ip_address=ours,
            runtime_env={"env_vars": HIDE_GPUS},
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except ValueError as err:
        if "merge" not in str(err):
            raise
        name = next(iter(HIDE_GPUS))
        raise UserError(f"Ray cannot add {name} to the job's runtime environment", f"Leave {name} out of it") from err
    except RuntimeError as err:
        if "ersion mismatch" not in str(err):
            raise
        raise UserError(" ".join(str(err).split()), "Run it with the Python and the Ray that the cluster has") from err


def _start_local(recipe: Recipe) -> None:
    os.environ.update(HIDE_GPUS)
    try:
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, wanted(recipe)["CPU"]),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
        )
    except OSError as err:
        if "AF_UNIX" not in str(err):
            raise
        raise UserError(
            "Ray's folder for temporary files has too long a path: its sockets would not fit", "Set RAY_TMPDIR=/tmp"
        ) from err
