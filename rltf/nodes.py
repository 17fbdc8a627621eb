"""The nodes of the cluster that a run has joined: what is free on them, and whether they can run its actors.

A node can where a small task there finds the driver's versions of the libraries that matter and the driver's code, and, for
actors that read and write the run's files, these files.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from ray._private.state import available_resources_per_node  # Ray has no public way to ask node by node
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rltf.rooms import Node

LIBRARIES = ("torch", "transformers", "deepspeed", "msgspec", "pydantic", "redis")
ROOMS = ("actors", "buffer", "contracts", "executors", "learner", "models", "problems", "weights")
PROBE_SECONDS = 120.0
"""A node's first task waits until the job's files are there."""


class Nodes:
    """Knows what was found out about each node, so that one that has answered is not asked again."""

    def __init__(self, files: Sequence[Path]) -> None:
        """`files`: those that learner and samplers must find at the same place as the driver does."""
        self._files = [str(path) for path in files]
        self._own: str = ray.get_runtime_context().get_node_id()
        self._answers: dict[str, tuple[str, str]] = {self._own: ("", "")}
        self._asked: dict[str, Any] = {}
        self._failed: dict[str, str] = {}

    def look(self) -> list[Node]:
        """All nodes that are alive, as they are now; the driver's own comes first.

        Waits for a node's first answer; one that has not come in time, or failed, may come until a later look.
        """
        rows = sorted(ray.nodes(), key=lambda row: (row["NodeID"] != self._own, row["NodeManagerAddress"]))
        alive = {row["NodeID"]: row for row in rows if row["Alive"]}
        self._ask(alive.keys() - self._answers.keys())
        free: dict[str, dict[str, float]] = available_resources_per_node()
        return [
            Node(key, row["NodeManagerAddress"], free.get(key, {}), row["Resources"], *self._known(key))
            for key, row in alive.items()
        ]

    def _known(self, key: str) -> tuple[str, str, bool]:
        """Why no actor can be there, why none that reads files can, and is that unsure?"""
        if key in self._answers:
            return *self._answers[key], False
        return self._failed.get(key, f"has not answered within {PROBE_SECONDS:.0f} s"), "", True

    def _ask(self, keys: Set[str]) -> None:
        """Task by task, one on each node, which takes nothing from it: a busy one answers too."""
        probe = ray.remote(num_cpus=0, max_retries=0)(_probe())
        new = keys - self._asked.keys()
        self._asked = {key: task for key, task in self._asked.items() if key in keys}
        for key in sorted(new):
            there = NodeAffinitySchedulingStrategy(key, soft=False)
            self._asked[key] = probe.options(scheduling_strategy=there).remote(LIBRARIES, ROOMS, self._files)
        if not self._asked:
            return
        seconds = PROBE_SECONDS if new - self._failed.keys() else 0
        ready, _ = ray.wait(list(self._asked.values()), num_returns=len(self._asked), timeout=seconds)
        here = _probe()(LIBRARIES, ROOMS, [])
        for key in [key for key, task in self._asked.items() if task in ready]:
            self._take(key, self._asked.pop(key), here)

    def _take(self, key: str, task: Any, here: dict[str, Any]) -> None:
        try:
            there = ray.get(task)
        except ray.exceptions.RayError as err:
            self._failed[key] = f"cannot run tasks: {str(err).strip().splitlines()[-1]}"
            return
        self._answers[key] = difference(here, there), f"does not see {there['missing'][0]}" if there["missing"] else ""


def difference(here: dict[str, Any], there: dict[str, Any]) -> str:
    """The first difference between the driver's answer and a node's that keeps actors from it; empty where there is none."""
    for name, version in here["versions"].items():
        other = there["versions"][name]
        if _public(other) != _public(version):
            has = f"has {name} {other}" if other else f"lacks {name}"
            return f"{has}, the driver has {version}"
    if there["code"] != here["code"]:
        return "has other code of this project than the driver" if there["code"] else "lacks this project"
    return ""


def _public(version: str | None) -> str | None:
    """Without the local part: 2.13.0+cpu and 2.13.0 are one version."""
    return version and version.partition("+")[0]


def _probe() -> Callable[[Sequence[str], Sequence[str], Sequence[str]], dict[str, Any]]:
    """What a node is asked. It is sent as it stands, and not by its name: the node may lack the module."""

    def probe(libraries: Sequence[str], rooms: Sequence[str], files: Sequence[str]) -> dict[str, Any]:
        versions: dict[str, str | None] = {"Python": platform.python_version()}
        for name in libraries:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = None
        found = [importlib.util.find_spec(room) for room in rooms]
        folders = [Path(spec.origin).parent for spec in found if spec and spec.origin]
        code = hashlib.sha256()
        for file in sorted(file for folder in folders for file in folder.rglob("*.py")):
            code.update(file.name.encode() + file.read_bytes())
        missing = [path for path in files if not Path(path).exists()]
        return {"versions": versions, "code": code.hexdigest() if len(folders) == len(rooms) else "", "missing": missing}

    return probe
