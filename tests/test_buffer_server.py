"""The Redis of a run: where its URL comes from, and where its password does not go."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import redis

from buffer.redis_buffer import RedisBuffer
from buffer.server import EmbeddedRedis, url_of
from contracts.errors import UserError
from contracts.network import PORTS
from contracts.recipe import load_recipe, parse_recipe, write_recipe
from contracts.sections import BufferConfig

SECRET = "redis://:hunter2@10.0.0.1:6380/0"


def test_the_recipe_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLTF_REDIS_URL", raising=False)
    assert url_of(BufferConfig()) is None
    monkeypatch.setenv("RLTF_REDIS_URL", SECRET)
    assert url_of(BufferConfig()) == SECRET
    assert url_of(BufferConfig(url="redis://10.0.0.2:6380/0")) == "redis://10.0.0.2:6380/0"
    monkeypatch.setenv("RLTF_REDIS_URL", "")
    assert url_of(BufferConfig()) is None


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        "redis://10.0.0.1:6380/0?password=hunter2",
        "redis://10.0.0.1:6380/0?db=1&username=hunter2",
        "rediss://10.0.0.1:6380/0?ssl_password=hunter2",
        "unix:///redis.sock?%70assword=hunter2",
    ],
)
def test_a_password_in_a_recipe_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_recipe({"name": "r", "buffer": {"url": url}})
    assert caught.value.message == (
        "buffer.url: it names a user or a password, which would stand in config.yaml: set RLTF_REDIS_URL in its place"
    )
    assert "hunter2" not in str(caught.value)


def test_a_url_of_the_environment_is_in_no_written_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLTF_REDIS_URL", SECRET)
    recipe = parse_recipe({"name": "r"})
    write_recipe(recipe, tmp_path / "config.yaml")
    assert "hunter2" not in (tmp_path / "config.yaml").read_text()
    assert load_recipe(tmp_path / "config.yaml") == recipe


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://:hunter2@h:nowhere/0", "redis://h:nowhere/0"),
        ("redis://:hunter2/x@h:6380/0", "redis://h:6380/0"),
        ("redis://h:nowhere/0?password=hunter2@x", "redis://…"),
        ("h:6380?password=hunter2", "…"),
        (":hunter2@h:6380", "h:6380"),
    ],
)
def test_a_url_that_is_none_is_named_without_its_password(url: str, named: str) -> None:
    with pytest.raises(UserError) as caught:
        RedisBuffer(url, "r", BufferConfig())
    assert caught.value.message == f"{named} is not a Redis URL"
    assert caught.value.__suppress_context__, "the library's own words, which may quote the password, are in no traceback"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://127.0.0.1:1?password=hunter2", "redis://127.0.0.1:1/0"),
        ("redis://user:hunter2@127.0.0.1:1/3?username=hunter2", "redis://127.0.0.1:1/3"),
        ("redis://:hunter2 x@127.0.0.1:1/0", "redis://127.0.0.1:1/0"),
        ("unix://:hunter2@/nowhere/redis.sock?db=2", "unix:///nowhere/redis.sock"),
    ],
)
def test_a_server_that_does_not_answer_is_named_by_its_place_alone(url: str, named: str) -> None:
    with pytest.raises(UserError) as caught:
        RedisBuffer(url, "r", BufferConfig())
    assert caught.value.message.startswith(f"no Redis answers at {named}: ")
    assert "hunter2" not in str(caught.value)


def test_the_embedded_server_is_known_by_its_password_alone(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, "127.0.0.2") as server:
        scheme, _, rest = server.url.partition("://:")
        password, _, place = rest.partition("@")
        assert (scheme, place.partition(":")[0], len(password)) == ("redis", "127.0.0.2", 32)
        port = int(place.partition(":")[2].removesuffix("/0"))
        assert port in PORTS
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        with redis.Redis(host="127.0.0.2", port=port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        with redis.Redis(host="127.0.0.1", port=port) as client, pytest.raises(redis.ConnectionError):
            client.ping()
        running = [word for child in _children() for word in child.cmdline() + list(child.environ().values())]
        assert any("redis" in word for word in running)
        assert not any(password in word for word in running)
    assert password not in "".join(path.read_text(errors="replace") for path in tmp_path.iterdir() if path.is_file())


def _children() -> list[psutil.Process]:
    """Those that run: ended ones that other tests have not waited for have neither a command line nor an environment."""
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
