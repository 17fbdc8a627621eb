"""A Ray cluster of two nodes on this machine, each in a network namespace of its own where one can be made.

Where none can (that takes root and `ip`), both are on the loopback network, at two of its addresses.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from contracts.network import free_port

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
MARK = "RLTF_TEST_CLUSTER"
DAEMONS = ("raylet", "gcs_server", "ray::IDLE", "/ray/dashboard/", "/ray/_private/", "RuntimeEnvAgent", "DashboardAgent")
"""What belongs to Ray itself and not to a job."""


class Node(NamedTuple):
    """One of the two."""

    address: str
    enter: Sequence[str]
    """What comes before a command to run it there."""


class TwoNodes:
    """A running cluster."""

    def __init__(self, nodes: Sequence[Node], folder: Path) -> None:
        """Start the head and the other node: that has two GPUs, in name only, a custom resource, `second`, and does not see the
        folder `hidden`."""
        self.head, self.second = nodes
        self.folder = folder
        self.token = secrets.token_hex(32)
        self._mark = secrets.token_hex(8)
        dashboard, port = free_port("127.0.0.1"), free_port("127.0.0.1")
        self.url = f"http://{self.head.address}:{dashboard}"
        self.gcs = f"{self.head.address}:{port}"
        self.hidden = folder / "hidden"
        for name in ("hidden", "a", "b"):
            (folder / name).mkdir()
        common = ("--object-store-memory=100000000", "--disable-usage-stats", "--min-worker-port=0", "--max-worker-port=0")
        at = (
            "--head",
            f"--port={port}",
            f"--ray-client-server-port={free_port('127.0.0.1')}",
            f"--dashboard-host={self.head.address}",
            f"--dashboard-port={dashboard}",
        )
        self._start(self.head, "a", "--num-cpus=6", *common, *at)
        more = (f"--address={self.gcs}", "--num-cpus=4", "--num-gpus=2", '--resources={"second": 1}')
        self._start(self.second, "b", *common, *more)

    @property
    def hides(self) -> bool:
        """Can the second node be kept from seeing a folder? It can where it has a namespace."""
        return bool(self.second.enter)

    def faces(self, node: Node) -> str:
        """The address of a node that faces the head: on the loopback network it is always the same."""
        return node.address if self.hides else "127.0.0.1"

    def _start(self, node: Node, name: str, *arguments: str) -> None:
        agent = free_port("127.0.0.1")  # Ray's default is one that both nodes, and others' clusters, would have on one network
        where = (
            f"--node-ip-address={node.address}",
            f"--temp-dir={self.folder / name}",
            f"--dashboard-agent-listen-port={agent}",
        )
        command = [str(BIN / "ray"), "start", *where, *arguments]
        if node is self.head or not self.hides:
            done = self.run(command, on=node)
            assert done.returncode == 0, done.stdout + done.stderr
            return
        # As on a machine of its own: it sees neither the head's processes, by which Ray looks for nodes, nor its Ray's folder.
        mounts = " && ".join(f"mount -t tmpfs none {self.folder / name}" for name in ("hidden", "a", "b"))
        alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
        reaping = "while sleep 0.2; do :; done"  # processes whose parents have ended are the first one's to wait for
        alone += [f'{mounts} && "$@" >&2 && echo up && {reaping}', "sh"]
        whole = [*node.enter, *alone, *command]
        machine = subprocess.Popen(whole, cwd=ROOT, env=self.environment(), stdout=subprocess.PIPE, text=True)
        assert machine.stdout is not None
        assert machine.stdout.readline() == "up\n"
        self._machine = machine

    def environment(self, **more: str) -> dict[str, str]:
        """That of a user of the cluster."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        path = f"{BIN}{os.pathsep}{ours['PATH']}"  # a job's `python` is the one that its node finds
        own = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_TMPDIR": str(self.folder / "driver"),
            MARK: self._mark,
        }
        return {**ours, "PATH": path, "HOME": str(self.folder), **own, **more}

    def popen(self, command: Sequence[str], *, on: Node | None = None, log: Path) -> subprocess.Popen[str]:
        """Start a command on a node, by default the head."""
        whole = [*(on or self.head).enter, *command]
        with log.open("w") as out:
            return subprocess.Popen(whole, cwd=ROOT, env=self.environment(), stdout=out, stderr=subprocess.STDOUT, text=True)

    def run(
        self, command: Sequence[str], *, on: Node | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a node, by default the head, to its end."""
        whole = [*(on or self.head).enter, *command]
        given = {"env": self.environment(**(env or {})), "cwd": ROOT, "timeout": 280}
        return subprocess.run(whole, capture_output=True, text=True, check=False, **given)  # type: ignore[call-overload]

    def processes(self) -> list[psutil.Process]:
        """All on both nodes: by namespace, or by a mark in their environment."""
        if self.head.enter:
            listed = (subprocess.run(["ip", "netns", "pids", node.enter[-1]], capture_output=True, text=True, check=True)
                      for node in (self.head, self.second))  # fmt: skip
            return list(_alive(int(line) for done in listed for line in done.stdout.split()))
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark:
                    found.append(process)
        return found

    def of_jobs(self) -> list[psutil.Process]:
        """Those that are not Ray's own."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                command = " ".join(process.cmdline())
                if command and not any(part in command for part in DAEMONS):
                    found.append(process)
        return found

    def stop(self) -> None:
        """End all of it at once."""
        processes = self.processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=20)
        if self.hides:
            self._machine.communicate()


def _alive(pids: Iterator[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            yield psutil.Process(pid)


@contextmanager
def two_nodes(folder: Path) -> Iterator[TwoNodes]:
    """The cluster, for as long as the block lasts. `folder`: a short path, sockets lie below it."""
    with ExitStack() as stack:
        cluster = TwoNodes(stack.enter_context(_network()), folder)
        stack.callback(cluster.stop)
        yield cluster


@contextmanager
def _network() -> Iterator[Sequence[Node]]:
    word = secrets.token_hex(3)
    names, ends = (f"rltf-{word}-a", f"rltf-{word}-b"), (f"rl{word}a", f"rl{word}b")
    if not shutil.which("ip") or subprocess.run(["ip", "netns", "add", names[0]], capture_output=True, check=False).returncode:
        yield [Node("127.0.1.1", ()), Node("127.0.1.2", ())]
        return
    try:
        _ip("netns", "add", names[1])
        _ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
        for number, (name, end) in enumerate(zip(names, ends, strict=True), start=1):
            _ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
            for device in ("lo", end):
                _ip("-n", name, "link", "set", device, "up")
            # It leads nowhere; Ray takes for a node's address what faces the internet.
            _ip("-n", name, "route", "add", "default", "dev", end)
        yield [Node(f"10.77.0.{n}", ("ip", "netns", "exec", name)) for n, name in enumerate(names, start=1)]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
