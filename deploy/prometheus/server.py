"""Starts a Prometheus that watches a runs folder, with the rules and alerts of this folder."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from contracts.errors import UserError
from deploy.prometheus.client import Client

HERE = Path(__file__).resolve().parent


def configuration(runs: Path, interval: str | None = None) -> dict[str, Any]:
    """prometheus.yml with absolute paths; `interval`: between scrapes and between rules' evaluations, if not as it says."""
    config: dict[str, Any] = yaml.safe_load((HERE / "prometheus.yml").read_text())
    config["rule_files"] = [str(HERE / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["file_sd_configs"][0]["files"] = [str(runs.resolve() / ".prometheus" / "*.json")]
    if interval:
        config["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
    return config


@contextmanager
def prometheus(program: Path, runs: Path, data: Path, listen: str, *, interval: str | None = None) -> Iterator[Client]:
    """Run it while the block lasts; data and log are kept in the folder `data`.

    Raises UserError where it cannot listen, RunError where it ends at once.
    """
    _check_free(listen)
    data.mkdir(parents=True, exist_ok=True)
    config = data / "prometheus.yml"
    config.write_text(yaml.safe_dump(configuration(runs, interval)))
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={data / 'series'}", f"--web.listen-address={listen}"]
    with (data / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=subprocess.STDOUT)
        try:
            client = Client(f"http://{listen}")
            client.wait_until_ready(process, data / "prometheus.log")
            yield client
        finally:
            process.terminate()
            process.wait()


def _check_free(listen: str) -> None:
    """Another Prometheus that listens there would be taken for the one that is started."""
    host, port = listen.rsplit(":", 1)
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except OSError as err:
        remedy = "Choose a free port: --prometheus-port"
        raise UserError(f"Prometheus cannot listen on {listen} ({err.strerror})", remedy) from err
