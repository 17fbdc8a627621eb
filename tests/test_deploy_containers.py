"""The image, the compose file and the scripts: linted, complete, pinned; and programs judged under what confines pods."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from contracts.recipe import load_recipe

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
COMPOSE = ROOT / "deploy" / "compose" / "docker-compose.yml"
RUN = ROOT / "deploy" / "kubernetes" / "base" / "run.sh"
BIN = Path(sys.executable).parent
SCRIPTS = ("slurm/rltf.sbatch", "slurm/node.sh", "kubernetes/base/run.sh", "kubernetes/monitoring/rules.sh")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_dockerfile_is_clean() -> None:
    done = subprocess.run([BIN / "hadolint", DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_clean(script: str) -> None:
    done = subprocess.run([BIN / "shellcheck", ROOT / "deploy" / script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_has_a_pinned_base_a_user_and_the_pinned_packages() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    assert re.findall(r"^ARG PYTHON=(.+)$", text, re.MULTILINE) == ["3.11.14"]
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"python:${PYTHON}-slim-bookworm"}
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE)[-1] == "1000:1000"
    installs = re.findall(r"pip install (.*)", text)
    assert len(installs) == 3
    assert all("--constraint /src/constraints.txt" in line or "--no-deps /wheel/" in line for line in installs)


def test_what_is_copied_is_there_and_nothing_else_is_sent() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    packages = {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert allowed == packages | {"constraints.txt", "pyproject.toml", "README.md", "LICENSE", "recipes"}
    assert all((ROOT / name).exists() for name in allowed)
    assert set(re.findall(r"^COPY (\S+)", text, re.MULTILINE)) == {".", "recipes"}
    assert set(re.findall(r"type=bind,source=(\S+?),", text)) <= allowed


def test_every_package_of_the_image_is_pinned() -> None:
    """Of what is installed here; a torch for GPUs needs more, whose names begin with cuda-, nvidia- or are triton."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line}
    todo, seen = [("rltf", frozenset[str]())], set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in _requires(name):
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                todo.append((canonicalize_name(needed.name), frozenset(needed.extras)))
    names = {name for name, _ in seen} - {"rltf"}
    assert len(names) > 80
    assert names - pinned == set()
    assert {"triton", "nvidia-nccl-cu13", "cuda-bindings"} <= pinned


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []  # the pin is checked all the same


def test_services_of_the_compose_file_are_confined_and_pinned() -> None:
    services = _compose()["services"]
    assert {name: service["image"] for name, service in services.items()} == {
        "node": f"rltf:{PROJECT['project']['version']}-cpu",
        "redis": "redis:7.2.14-alpine",
        "prometheus": "prom/prometheus:v3.13.3",
        "grafana": "grafana/grafana:12.4.0",
    }
    for service in services.values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert int(service["user"].split(":")[0]) > 0
        assert {"mem_limit", "pids_limit"} <= set(service)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_what_the_compose_file_mounts_is_there() -> None:
    compose = _compose()
    for service in compose["services"].values():
        for mount in service["volumes"]:
            source, target, *mode = mount.split(":")
            if source.startswith("."):
                assert (COMPOSE.parent / source).exists(), source
                assert mode == ["ro"], target
            else:
                assert source in compose["volumes"]
    build = compose["services"]["node"]["build"]
    assert (COMPOSE.parent / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE


def test_passwords_come_from_the_environment_alone() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert set(re.findall(r"(?<!\$)\$\{?(\w+)", text)) == asked
    example = (COMPOSE.parent / ".env.example").read_text(encoding="utf-8")
    assert {line.rstrip("=") for line in example.splitlines() if not line.startswith("#")} == asked
    assert "deploy/compose/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_composed_run_is_one_that_prometheus_finds(tmp_path: Path) -> None:
    node = _compose()["services"]["node"]
    shell, script, *overrides = node["command"]
    mounts = dict(reversed(mount.split(":")[:2]) for mount in node["volumes"])
    assert (shell, (COMPOSE.parent / mounts[script]).resolve()) == ("sh", RUN)
    given = _train_arguments(tmp_path, node["environment"]["RLTF_RUN"], *overrides)
    checked = load_recipe(COMPOSE.parent / mounts[given[0]], tuple(given[1:]))
    assert (checked.monitor.prometheus_host, checked.monitor.prometheus_port) == (node["hostname"], 9400)
    assert (checked.name, str(checked.output)) == ("local", "/runs")
    scrape = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    (files,) = scrape[0]["file_sd_configs"][0]["files"]
    assert (Path("/etc/prometheus") / files).resolve() == Path("/runs/.prometheus/*.json")


def test_a_run_that_is_there_is_gone_on_with(tmp_path: Path) -> None:
    begins = _train_arguments(tmp_path, "mine", "steps=50")
    assert begins[1:3] == ["name=mine", "output=/runs"]
    assert begins[-1] == "steps=50"
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    assert _train_arguments(tmp_path, "mine", "steps=50") == begins
    (tmp_path / "runs" / "mine" / "state.json").touch()
    assert _train_arguments(tmp_path, "mine", "steps=50") == [*begins, "--resume"]
    assert _train_arguments(tmp_path, "other", "steps=50") == [begins[0], "name=other", *begins[2:]]


def test_a_job_beside_another_may_leave_the_port_to_it(tmp_path: Path) -> None:
    """What docs/kubernetes.md has people add on a standing cluster."""
    given = _train_arguments(tmp_path, "second", "monitor.prometheus_port=0")
    assert load_recipe(RUN.parent / "recipe.yaml", tuple(given[1:])).monitor.prometheus_port == 0


def test_there_is_one_init() -> None:
    """The one that compose puts first; KubeRay would put its own command in the place of the image's."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert re.findall(r"^(?:ENTRYPOINT|CMD) .*", text, re.MULTILINE) == ['CMD ["rltf", "--help"]']
    assert {name for name, service in _compose()["services"].items() if service.get("init")} == {"node"}


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_documented_jobs_have_time_to_write_their_report(page: Path) -> None:
    """Wherever a page shows how a job is submitted, `ray job stop` is told to wait."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    shown = re.findall(r"^ {4,}(?:\$ )?(ray job submit .*)$", text, re.MULTILINE)
    assert [line for line in shown if not re.search(r"RAY_JOB_STOP_WAIT_TIME_S|deploy/ray/runtime-env\.yaml", line)] == []
    assert len(shown) == {"cluster": 1, "kubernetes": 1}.get(page.stem, 0)


@pytest.mark.skipif(not shutil.which("setpriv"), reason="no setpriv (util-linux)")
def test_programs_are_judged_in_the_baseline_where_pods_are_confined() -> None:
    """No capability, no new privileges, an interpreter where nobody can write: none of it may cost programs' isolation a tier."""
    libraries = Path(subprocess.__file__).parent
    ask = "from executors import tiers; print(*(tier.name for tier in tiers.available()))"
    confine = f"mount --bind {libraries} {libraries} && mount -o remount,bind,ro {libraries} && exec setpriv"
    confine += f" --no-new-privs --bounding-set=-all --inh-caps=-all {sys.executable} -c '{ask}'"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", confine],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode != 0 and done.stderr.startswith("unshare:"):
        pytest.skip(f"this machine lets nobody make a name space: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    here = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert ("BASELINE" in done.stdout.split()) is ("BASELINE" in here.stdout.split())


def _train_arguments(folder: Path, run: str, *arguments: str) -> list[str]:
    """What run.sh makes of its arguments for `rltf train`, where what would be in /runs is in `folder`/runs."""
    script, rltf = folder / "run.sh", folder / "rltf"
    script.write_text(RUN.read_text(encoding="utf-8").replace("/runs/", f"{folder}/runs/"), encoding="utf-8")
    rltf.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    rltf.chmod(0o755)
    done = subprocess.run(
        ["sh", script, *arguments],
        env={"PATH": f"{folder}:/usr/bin:/bin", "RLTF_RUN": run}, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    command, *given = done.stdout.splitlines()
    assert command == "train"
    return given


def _compose() -> dict[str, Any]:
    compose = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    assert isinstance(compose, dict)
    return compose
