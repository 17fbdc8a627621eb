"""The folder that programs run in: as new for each, whatever the last one did to it. Standard library only."""

from __future__ import annotations

import os
import stat


def renew(path: str) -> None:
    """Make the current folder as good as new, in its place; where it was touched, by a new one. Raises OSError."""
    if _is_untouched(path):
        return
    remove(path)
    os.mkdir(path, 0o700)
    os.chdir(path)


def _is_untouched(path: str) -> bool:
    """Empty, ours alone, and still the current one? Spares making a folder for every program."""
    try:
        there = os.stat(path, follow_symlinks=False)
        return os.path.samestat(there, os.stat(".")) and stat.S_IMODE(there.st_mode) == 0o700 and not os.listdir(path)
    except OSError:
        return False


def remove(path: str) -> None:
    """Remove a folder and all that is in it, or what was put in its place; it may be gone already. Raises OSError."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        os.unlink(path)
    except OSError:
        _empty(path)
        os.rmdir(path)


def _empty(top: str) -> None:
    """Remove all that is in a folder.

    A program may have nested folders deeper than a path can say, and taken its own rights away: each is made writable and
    moved to the top, under a name that nobody could foresee, before it is emptied.
    """
    os.chmod(top, 0o700)
    folders = [top]
    while folders:
        folder = folders.pop()
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                moved = os.path.join(top, os.urandom(8).hex())
                os.rename(entry.path, moved)
                folders.append(moved)
            else:
                os.unlink(entry.path)
        if folder != top:
            os.rmdir(folder)
