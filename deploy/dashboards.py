"""`make dashboards`: Prometheus and Grafana over a folder of runs, until Ctrl-C.

Grafana where it is installed, both as containers where Docker is, else Prometheus alone: its own page draws any expression.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from contracts.errors import RunError, UserError
from deploy.prometheus.server import prometheus
from deploy.tools import find

ROOT = Path(__file__).resolve().parent.parent
GRAFANA = ROOT / "deploy" / "grafana"
COMPOSE = ROOT / "deploy" / "dashboards.compose.yml"
PACKAGED_HOME = Path("/usr/share/grafana")
RUNS = Path("runs")
LAST_PORT = 65535


def grafana_command() -> list[str] | None:
    """How to start an installed Grafana; None where there is none."""
    for name, verb in (("grafana", ["server"]), ("grafana-server", [])):
        if program := shutil.which(name):
            unpacked = Path(program).resolve().parent.parent
            home = unpacked if (unpacked / "conf" / "defaults.ini").exists() else PACKAGED_HOME
            return [program, *verb, f"--homepath={home}"]
    return None


def grafana_environment(data: Path, port: int, prometheus_url: str) -> Mapping[str, str]:
    """Grafana's settings: this machine alone, no login to look, boards and data source from this tree."""
    return {
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_PATHS_DATA": str(data / "grafana"),
        "GF_PATHS_LOGS": str(data / "grafana"),
        "GF_PATHS_PROVISIONING": str(GRAFANA / "provisioning"),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(GRAFANA / "dashboards" / "learning.json"),
        "PROMETHEUS_URL": prometheus_url,
        "RLTF_DASHBOARDS": str(GRAFANA / "dashboards"),
    }


def docker_lacks() -> str | None:
    """Why there can be no containers; None where Docker's daemon answers, and compose is there."""
    if not shutil.which("docker"):
        return "Docker is not here"
    for question, lack in ((["info"], "Docker's daemon does not answer"), (["compose", "version"], "Docker has no compose")):
        if subprocess.run(["docker", *question], capture_output=True, check=False).returncode:
            return f"{lack} (`docker {' '.join(question)}` says why)"
    return None


def native(program: Path, options: argparse.Namespace) -> None:
    """Prometheus, and Grafana where it is installed, as processes, until Ctrl-C. Raises RunError where one ends by itself."""
    data = options.runs / ".dashboards"
    with ExitStack() as stack:
        client = stack.enter_context(prometheus(program, options.runs, data, f"127.0.0.1:{options.prometheus_port}"))
        print(f"Prometheus: {client.url} over {options.runs}", flush=True)
        if command := grafana_command():
            environment = {**os.environ, **grafana_environment(data, options.grafana_port, client.url)}
            log = stack.enter_context((data / "grafana.log").open("wb"))
            grafana = stack.enter_context(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            stack.callback(grafana.terminate)
            print(f"Grafana: http://127.0.0.1:{options.grafana_port}/dashboards", flush=True)
        else:
            print(f"Grafana: grafana-server is not here, and {docker_lacks()}; docs/boards.md says how to get it", flush=True)
        print("Ctrl-C ends it", flush=True)
        os.wait()
        raise RunError("one of them ended by itself", f"See the logs in {data}")


def containers(options: argparse.Namespace) -> int:
    """Both as containers, until Ctrl-C; returns compose's exit code."""
    options.runs.mkdir(parents=True, exist_ok=True)  # Docker would make it root's
    ports = {"PROMETHEUS_PORT": str(options.prometheus_port), "GRAFANA_PORT": str(options.grafana_port)}
    environment = {**os.environ, **ports, "RUNS": str(options.runs.resolve())}
    return subprocess.run(["docker", "compose", "--file", COMPOSE, "up"], env=environment, check=False).returncode


def check(options: argparse.Namespace) -> None:
    """Raises UserError where a port is none, and where the folder is none; only the default one may not be there yet."""
    if not options.runs.is_dir() and (options.runs.exists() or options.runs != RUNS):
        what = "is no folder" if options.runs.exists() else "is not there"
        raise UserError(f"--runs={options.runs} {what}", "Name the folder that holds run folders")
    for name, port in (("prometheus", options.prometheus_port), ("grafana", options.grafana_port)):
        if not 1 <= port <= LAST_PORT:
            raise UserError(f"--{name}-port={port} is no port", f"Choose one from 1 to {LAST_PORT}")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.dashboards", description=__doc__)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of run folders")
    parser.add_argument("--prometheus-port", type=int, default=9090)
    parser.add_argument("--grafana-port", type=int, default=3000)
    options = parser.parse_args()
    program = find("prometheus")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        check(options)
        if not grafana_command() and docker_lacks() is None:
            return containers(options)
        if program is None:
            raise UserError("there is no Prometheus here", "`make tools` gets it, without root")
        native(program, options)
    except KeyboardInterrupt:
        pass
    except (UserError, RunError) as err:
        print(f"error: {err}", file=sys.stderr)
        return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
