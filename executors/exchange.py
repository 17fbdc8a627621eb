"""How a child talks to the judge: requests in the feed, reports in a file, a byte each way to say that there is one.

Runs on the sandboxed side; standard library only. A request is a head and bytes, marshalled, since the child trusts the judge and
nothing is faster; a report is a length (4 bytes), a line of JSON and bytes behind it, since the judge does not trust the child.
"""

from __future__ import annotations

# By name, since programs may change the modules.
from json import dumps
from marshal import dumps as marshalled
from marshal import loads
from os import fstat, pread, read, write
from typing import Any, NamedTuple

from executors.own import BUILTINS

__builtins__ = BUILTINS


class Exchange(NamedTuple):
    """Descriptors of the channel, the feed and the file of reports."""

    channel: int
    feed: int
    reports: int

    def request(self) -> tuple[dict[str, Any], bytes]:
        """What the feed holds."""
        head, body = loads(pread(self.feed, fstat(self.feed).st_size, 0))
        return head, body

    def report(self, header: dict[str, Any], value: bytes = b"") -> None:
        """Add a report."""
        self.report_line(dumps(header).encode("ascii"), value)

    def report_line(self, line: bytes, value: bytes = b"") -> None:
        """Add a report whose JSON is at hand."""
        body = line + b"\n" + value
        write(self.reports, len(body).to_bytes(4, "little") + body)

    def wait(self) -> bool:
        """Tell the judge that it is its turn, and wait for ours; False where the judge is gone."""
        write(self.channel, b".")
        return read(self.channel, 1) != b""


def framed(head: dict[str, Any], body: bytes = b"") -> bytes:
    """The bytes of a request."""
    return marshalled((head, body))
