"""Files that a reader never sees half written."""

from __future__ import annotations

import os
from pathlib import Path


def write_in_one_move(path: Path, content: bytes) -> None:
    """Replace a file: whoever reads it sees the old content or the new, also after a kill."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)
