"""`make dashboards`: what it starts, with what, and what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from contracts.network import free_port
from deploy import tools
from deploy.dashboards import docker_lacks, grafana_command, grafana_environment
from tests.small_run import ROOT
from tests.test_deploy_prometheus import program


def test_dashboards_print_addresses_and_end_with_all_that_was_started(tmp_path: Path) -> None:
    program("prometheus")
    port = free_port("127.0.0.1")
    call = [sys.executable, "-m", "deploy.dashboards", "--runs", str(tmp_path), "--prometheus-port", str(port)]
    environment = {**os.environ, "PATH": str(tools.FOLDER / "usr" / "bin")}  # no Grafana, no Docker
    if tools.find("prometheus") != tools.FOLDER / "usr" / "bin" / "prometheus":
        environment["PATH"] = str(program("prometheus").parent)
    with subprocess.Popen(call, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[0] == f"Prometheus: http://127.0.0.1:{port} over {tmp_path}\n"
        assert lines[1].startswith("Grafana: ")
        assert lines[2] == "Ctrl-C ends it\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert [child.name() for child in children] == ["prometheus"]
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    assert not any(child.is_running() for child in children)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (["bin/grafana", "conf/defaults.ini"], ["bin/grafana", "server", "--homepath={0}"]),
        (["bin/grafana"], ["bin/grafana", "server", "--homepath=/usr/share/grafana"]),
        (["bin/grafana-server"], ["bin/grafana-server", "--homepath=/usr/share/grafana"]),
        ([], None),
    ],
)
def test_an_installed_grafana_is_found_with_its_home(
    layout: list[str], expected: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in layout:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    if expected:
        expected = [str(tmp_path / expected[0]), *(part.format(tmp_path) for part in expected[1:])]
    assert grafana_command() == expected


def test_grafana_is_given_what_its_provisioning_asks_for(tmp_path: Path) -> None:
    environment = grafana_environment(tmp_path, 3001, "http://127.0.0.1:9091")
    folder = ROOT / "deploy" / "grafana"
    texts = "".join(path.read_text() for path in sorted((folder / "provisioning").rglob("*.yml")))
    asked = set(re.findall(r"\$([A-Z_]+)", texts))
    assert asked == {"PROMETHEUS_URL", "RLTF_DASHBOARDS"}
    assert environment["PROMETHEUS_URL"] == "http://127.0.0.1:9091"
    assert sorted(path.stem for path in Path(environment["RLTF_DASHBOARDS"]).glob("*.json")) == [
        "executors",
        "learning",
        "pipeline",
    ]
    assert Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).is_file()
    assert environment["GF_PATHS_PROVISIONING"] == str(folder / "provisioning")


def test_containers_are_given_the_same() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "dashboards.compose.yml").read_text())["services"]
    for service in services.values():
        assert service["network_mode"] == "host"
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith("./") or (ROOT / "deploy" / source).is_dir(), source
    assert services["grafana"]["environment"]["RLTF_DASHBOARDS"] == "/var/lib/grafana/dashboards"
    asked = set(re.findall(r"\$\{([A-Z_]+):-", (ROOT / "deploy" / "dashboards.compose.yml").read_text()))
    assert asked == {"RUNS", "PROMETHEUS_PORT", "GRAFANA_PORT"}
    listens, port = "--web.listen-address=127.0.0.1:", "${PROMETHEUS_PORT:-9090}"
    assert f"{listens}{port}" in services["prometheus"]["command"]
    assert services["grafana"]["environment"]["PROMETHEUS_URL"] == f"http://127.0.0.1:{port}"
    assert services["grafana"]["environment"]["GF_SERVER_HTTP_PORT"] == "${GRAFANA_PORT:-3000}"


def test_containers_are_told_the_folder_which_is_there_by_then_and_the_ports(tmp_path: Path) -> None:
    """A stand-in for Docker, which has a daemon and writes down what `compose up` is called with."""
    docker, told = tmp_path / "bin" / "docker", tmp_path / "told"
    docker.parent.mkdir()
    writes = f'test -O "$RUNS" && echo "$*" "$RUNS" "$PROMETHEUS_PORT" "$GRAFANA_PORT" >{told}; exit 3'
    docker.write_text(f'#!/bin/sh\ncase "$*" in *up) {writes} ;; esac\n')
    docker.chmod(0o755)
    call = ["-m", "deploy.dashboards", "--prometheus-port", "9091", "--grafana-port", "3001"]
    environment = {**os.environ, "PATH": str(docker.parent), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *call], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (3, b"")
    compose = f"compose --file {ROOT / 'deploy' / 'dashboards.compose.yml'} up"
    assert told.read_text() == f"{compose} {tmp_path / 'runs'} 9091 3001\n"


@pytest.mark.parametrize(("name", "port"), [("prometheus", 99999), ("grafana", 0)])
def test_what_is_no_port_is_said(name: str, port: int) -> None:
    call = [sys.executable, "-m", "deploy.dashboards", f"--{name}-port", str(port)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    said = f"error: --{name}-port={port} is no port. Choose one from 1 to 65535\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize(("runs", "said"), [("README.md", "is no folder"), ("nowhere", "is not there")])
def test_a_folder_of_runs_that_is_none_is_said(runs: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.dashboards", "--runs", runs], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"error: --runs={runs} {said}. Name the folder that holds run folders\n")
    assert not (ROOT / "nowhere").exists()


def test_what_docker_lacks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert docker_lacks() == "Docker is not here"
    docker = tmp_path / "docker"
    for works, lacks in (
        ("version", "Docker's daemon does not answer (`docker info` says why)"),
        ("info", "Docker has no compose (`docker compose version` says why)"),
        ("*", None),
    ):
        docker.write_text(f'#!/bin/sh\ncase "$*" in {works}) exit 0 ;; esac\nexit 1\n')
        docker.chmod(0o755)
        assert docker_lacks() == lacks


def test_programs_are_found_in_path_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "FOLDER", tmp_path / "tools")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert tools.find("promtool") is None
    for place in (tmp_path / "tools" / "usr" / "bin", tmp_path / "bin"):
        place.mkdir(parents=True)
        (place / "promtool").touch(mode=0o755)
        assert tools.find("promtool") == place / "promtool"
