"""Addresses and ports by which a run's processes find one another."""

from __future__ import annotations

import os
import socket

import pytest

from contracts.errors import UserError
from contracts.network import PORTS, free_port, lead_gloo


def test_a_free_port_is_neither_rays_nor_one_that_the_kernel_gives_away() -> None:
    ray_workers, kernel = range(10_002, 20_000), range(32_768, 61_000)
    assert not set(PORTS) & (set(ray_workers) | set(kernel) | {6379, 8265, 10_001})
    port = free_port("127.0.0.1")
    assert port in PORTS
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_port_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other = free_port("127.0.0.1")
        offered = iter([taken.getsockname()[1], other])
        monkeypatch.setattr("contracts.network.secrets.choice", lambda _: next(offered))
        assert free_port("127.0.0.1") == other


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(UserError) as caught:
        free_port("192.0.2.77")
    assert caught.value.message == "no port can be had at 192.0.2.77: Cannot assign requested address"


@pytest.mark.parametrize(
    ("host", "named", "led"), [("127.0.0.1", None, "lo"), ("192.0.2.77", None, None), ("127.0.0.1", "eth7", "eth7")]
)
def test_gloo_is_led_to_the_interface_of_an_address(
    monkeypatch: pytest.MonkeyPatch, host: str, named: str | None, led: str | None
) -> None:
    """Not where the machine has no such address, and not against somebody's will."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", named or "")
    if not named:
        monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    lead_gloo(host)
    assert os.environ.get("GLOO_SOCKET_IFNAME") == led
