"""Prometheus and promtool, from PATH or from .tools/: `python -m deploy.tools` (`make tools`) puts them there.

Without root and without a service: the Debian or Ubuntu package is downloaded and unpacked.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".tools"
NAMES = ("prometheus", "promtool")
PACKAGE = "prometheus"
REMEDY = "Install Prometheus from prometheus.io or your distribution, so that prometheus and promtool are in PATH"


def find(name: str) -> Path | None:
    """A program in PATH, else in .tools/, else None."""
    found = shutil.which(name) or shutil.which(name, path=FOLDER / "usr" / "bin")
    return Path(found) if found else None


def install() -> None:
    """Unpack the package into .tools/. Raises CalledProcessError where apt does not have it, FileNotFoundError without apt."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        subprocess.run(["apt-get", "download", "--quiet", PACKAGE], cwd=folder, check=True)
        (package,) = Path(folder).glob("*.deb")
        subprocess.run(["dpkg", "-x", package, FOLDER], check=True)


def main() -> int:
    """The command line: install what is missing."""
    try:
        if not all(find(name) for name in NAMES):
            install()
    except (subprocess.CalledProcessError, FileNotFoundError) as err:
        print(f"error: no Prometheus: {err}. Run `apt-get update` as root and try again. {REMEDY}", file=sys.stderr)
        return 1
    print("\n".join(f"{name}: {find(name)}" for name in NAMES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
