"""How a child talks to the judge: requests in the feed, reports in a file, a byte each way to say that there is one.

Runs on the sandboxed side; standard library only. A request or a report is a length (4 bytes), a line of JSON, and bytes
behind it.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple


class Exchange(NamedTuple):
    """Descriptors of the channel, the feed and the file of reports."""

    channel: int
    feed: int
    reports: int

    def request(self) -> tuple[dict[str, Any], bytes]:
        """What the feed holds."""
        feed = os.pread(self.feed, os.fstat(self.feed).st_size, 0)
        end = 4 + int.from_bytes(feed[:4], "little")
        head, _, rest = feed[4:end].partition(b"\n")
        return json.loads(head), rest

    def report(self, header: dict[str, Any], value: bytes = b"") -> None:
        """Add a report."""
        body = json.dumps(header).encode("ascii") + b"\n" + value
        os.write(self.reports, len(body).to_bytes(4, "little") + body)

    def wait(self) -> bool:
        """Tell the judge that it is its turn, and wait for ours; False where the judge is gone."""
        os.write(self.channel, b".")
        return os.read(self.channel, 1) != b""
