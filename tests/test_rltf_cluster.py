"""The cluster of a run: joined, started, or refused in one line."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from contracts.errors import UserError
from contracts.recipe import parse_recipe
from rltf import joining
from rltf.host import address_of, driver_host, head_of
from rltf.joining import check_cluster, connected
from rltf.nodes import difference
from tests.stub_head import HOST, dashboard, head

TOKEN = "Set RAY_AUTH_MODE=token and the cluster's token in RAY_AUTH_TOKEN or ~/.ray/auth_token"


@pytest.fixture(autouse=True)
def _no_cluster_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that is bound, so that nobody else gets it, and on which nobody listens."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield f"{HOST}:{bound.getsockname()[1]}"


def refused(address: str) -> UserError:
    with pytest.raises(UserError) as caught:
        check_cluster(address)
    return caught.value


def test_a_folder_that_no_socket_fits_into_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 60)))
    with pytest.raises(UserError, match=r"too long a path.*RAY_TMPDIR=/tmp"), connected(parse_recipe({"name": "r"})):
        pytest.fail("Ray was started")


def test_nothing_listens(silent: str) -> None:
    assert refused(silent).message == f"no Ray cluster answers at {silent}"


def test_something_else_listens() -> None:
    with dashboard(200, {}) as url:
        address = url.removeprefix("http://")
        assert refused(address).message == f"no Ray cluster answers at {address}"


def test_what_listens_and_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "ANSWER_SECONDS", 0.2)
    with socket.create_server((HOST, 0)) as server:  # accepts, and never answers
        address = f"{HOST}:{server.getsockname()[1]}"
        assert refused(address).message == f"no Ray cluster answers at {address}"


def test_a_token_that_is_refused() -> None:
    with head(ray.__version__, refuses=True) as address:
        err = refused(address)
    assert (err.message, err.remedy) == (f"the Ray cluster at {address} refuses the token, or misses one", TOKEN)


def test_another_version_of_ray() -> None:
    with head("2.1.0") as address:
        err = refused(address)
    assert err.message == f"the cluster at {address} has Ray 2.1.0, this process {ray.__version__}"
    assert err.remedy == "Install the cluster's version here, or this one there"


def test_a_machine_that_is_no_node_of_the_cluster(tmp_path: Path) -> None:
    raylet = tmp_path / "raylet"

    def message(**others: Any) -> str:
        with head(ray.__version__, socket=str(raylet), **others) as address:
            return refused(address).message.replace(address, "IT")

    no_node = "this machine is no node of the Ray cluster at IT"
    assert message() == no_node
    raylet.touch()
    assert message(node="192.0.2.77") == no_node, "another machine's, on a file system that both share"
    assert message(alive=False) == no_node
    with head(ray.__version__, socket=str(raylet)) as address:
        assert check_cluster(address) == HOST


NAME = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"


@pytest.mark.parametrize(
    ("of_ray", "ours"),
    [
        (
            RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.12.1\n"),
            "Version mismatch: The cluster was started with: Ray: 2.60.0 Python: 3.12.1. "
            "Run it with the Python and the Ray that the cluster has",
        ),
        (
            ValueError("Failed to merge the Job's runtime env {} with a ray.init's runtime env {}"),
            f"Ray cannot add {NAME} to the job's runtime environment. Leave {NAME} out of it",
        ),
    ],
)
def test_what_ray_refuses_when_we_join(of_ray: Exception, ours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: object, **__: object) -> None:
        raise of_ray

    (tmp_path / "raylet").touch()
    monkeypatch.setattr(ray, "init", init)
    with (
        head(ray.__version__, socket=str(tmp_path / "raylet")) as address,
        pytest.raises(UserError) as caught,
        connected(parse_recipe({"name": "r", "ray": {"address": address}})),
    ):
        pytest.fail("joined")
    assert str(caught.value) == ours


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://head:8265", "http://head:8265 is not where a Ray cluster is joined"),
        ("ray://head:10001", "ray://head:10001 is not where a Ray cluster is joined"),
        ("head", "head leads to no Ray cluster"),
    ],
)
def test_what_is_no_address(address: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        head_of(address)
    assert caught.value.message == message


def test_the_recipes_address_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    here = parse_recipe({"name": "r", "ray": {"address": "10.0.0.1:6379"}})
    assert (address_of(here), address_of(parse_recipe({"name": "r"}))) == ("10.0.0.1:6379", None)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert (address_of(here), address_of(parse_recipe({"name": "r"}))) == ("10.0.0.1:6379", "10.0.0.2:6379")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert address_of(parse_recipe({"name": "r"})) is None


def test_the_driver_is_reached_where_it_faces_the_head() -> None:
    assert driver_host(parse_recipe({"name": "r"})) == "127.0.0.1"
    assert driver_host(parse_recipe({"name": "r", "ray": {"address": "127.0.0.2:6379"}})) == "127.0.0.1"


# What a node is asked

HERE = {"versions": {"Python": "3.11.7", "torch": "2.13.0"}, "code": "abc", "missing": []}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({}, ""),
        ({"versions": {"Python": "3.11.7", "torch": "2.13.0+cpu"}}, ""),
        ({"versions": {"Python": "3.11.7", "torch": "2.12.1+cu128"}}, "has torch 2.12.1+cu128, the driver has 2.13.0"),
        ({"versions": {"Python": "3.11.7", "torch": None}}, "lacks torch, the driver has 2.13.0"),
        ({"code": "def"}, "has other code of this project than the driver"),
        ({"code": ""}, "lacks this project"),
    ],
)
def test_what_keeps_actors_from_a_node(there: dict[str, object], said: str) -> None:
    assert difference(HERE, {**HERE, **there}) == said
