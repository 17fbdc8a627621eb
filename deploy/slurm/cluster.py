"""What rltf.sbatch asks Python for: an address with a token; whether all nodes are there; whether there is a run to resume."""

from __future__ import annotations

import secrets
import socket
import sys
import time

from contracts.errors import UserError
from contracts.network import free_port

WAIT_SECONDS = 300.0


def choose(node: str) -> str:
    """Free ports for Ray's head and its client at the address by which this machine faces `node`, and a new token.

    Raises SystemExit with a line where that name leads nowhere.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        try:
            towards.connect((node, 1))  # sends nothing
        except OSError as err:
            raise SystemExit(
                f"error: no way leads to node {node}: {err.strerror}. Its name has to be known on all nodes"
            ) from err
        address = towards.getsockname()[0]
    ports: set[int] = set()
    while len(ports) < 2:
        ports.add(free_port(address))
    head, client = ports
    return f"{address}:{head} {client} {secrets.token_hex(32)}"


def gather(count: int) -> str:
    """Wait until the cluster that RAY_ADDRESS names has `count` nodes. Raises SystemExit with a line where it stays smaller."""
    import ray

    there, deadline = 0, time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            ray.init(logging_level="ERROR")
            there = sum(node["Alive"] for node in ray.nodes())
        except ConnectionError:
            pass
        ray.shutdown()
        if there == count:
            return f"nodes: {count} joined"
        time.sleep(2)
    raise SystemExit(f"error: {there} of {count} nodes joined in {WAIT_SECONDS:.0f} s. See what `ray start` said above")


def resume(*arguments: str) -> str:
    """`--resume` where the run of these arguments of `rltf train` has begun, unless they say so already or only try it.

    What is wrong with them is left for `rltf train` to say.
    """
    from contracts.recipe import load_recipe
    from rltf.cli import train

    given = train.make_context("train", list(arguments), resilient_parsing=True).params
    if given["resume"] or given["dry_run"] or not given["recipe"]:
        return ""
    try:
        folder = load_recipe(given["recipe"], given["overrides"]).folder
    except UserError:
        return ""
    return "--resume" if (folder / "state.json").exists() else ""


def main(command: str, *arguments: str) -> str:
    """The answer to one question."""
    if command == "choose":
        return choose(*arguments)
    if command == "gather":
        return gather(int(arguments[0]))
    return resume(*arguments)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
