"""Addresses and ports by which a run's processes find one another."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import struct
from contextlib import suppress

from contracts.errors import UserError

PORTS = range(20_000, 32_768)
"""Above those of Ray's head and workers, below those that the kernel gives to whoever asks for any."""
_SIOCGIFADDR = 0x8915


def free_port(host: str) -> int:
    """A port of this machine that nobody listens on at `host`, and that nobody gets by chance before it is bound.

    Raises UserError where `host` is no address of this machine.
    """
    while True:
        port = secrets.choice(PORTS)  # not by `random`, whose draws a run's seed decides
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError as err:
                if err.errno != errno.EADDRINUSE:
                    raise UserError(f"no port can be had at {host}: {err.strerror}", "Name an address of this machine") from err
            else:
                return port


def lead_gloo(host: str) -> None:
    """Let gloo talk through the interface that has the address `host`, unless GLOO_SOCKET_IFNAME names one.

    By itself it takes the address of the machine's name, which many machines know as 127.0.0.1: other nodes cannot reach that.
    """
    if name := _interface_of(host):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def _interface_of(host: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # it has no IPv4 address
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(answer[20:24]) == host:
                    return name
    return None
