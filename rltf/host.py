"""Where a run is: the Ray cluster that it joins, and the address at which others reach its driver."""

from __future__ import annotations

import os
import socket

from contracts.config import Recipe
from contracts.errors import UserError

LOOPBACK = "127.0.0.1"


def address_of(recipe: Recipe) -> str | None:
    """The cluster to join, None where a local one is started."""
    address = recipe.ray.address or os.environ.get("RAY_ADDRESS")
    return None if address == "local" else address or None


def head_of(address: str) -> str:
    """HOST:PORT of the cluster's head. Raises UserError where `auto` finds no cluster, and for what is no address of one."""
    if "://" in address:
        raise UserError(
            f"{address} is not where a Ray cluster is joined",
            "Set ray.address or RAY_ADDRESS to HOST:PORT of its head, or to local for a run on this machine alone; "
            "`rltf submit` wants http://HEAD:8265",
        )
    from ray._private import services  # takes most of a second: not where a command is only checked

    try:
        head = services.canonicalize_bootstrap_address(address)
    except (ConnectionError, ValueError) as err:
        remedy = "Start one with `ray start --head`, or set ray.address or RAY_ADDRESS to HOST:PORT of its head, or to local"
        raise UserError(f"{address} leads to no Ray cluster", remedy) from err
    return str(head)


def driver_host(recipe: Recipe) -> str:
    """The address for what the driver serves: this machine alone, unless a cluster's other nodes must reach it.

    Then it is the one that faces the cluster's head. Raises UserError as `head_of` does.
    """
    address = address_of(recipe)
    if not address:
        return LOOPBACK
    host, _, port = head_of(address).rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        try:
            towards.connect((host, int(port)))  # sends nothing
        except OSError as err:
            raise UserError(f"no way leads to the Ray cluster at {host}:{port}: {err.strerror}", "Mend ray.address") from err
        return str(towards.getsockname()[0])
