"""Which files a child may see: the interpreter's own library, and nothing else, by the kernel's Landlock.

Runs on the sandboxed side; standard library only. The zygote restricts itself once, and its children with it. Nothing can be
written, made or removed anywhere (before version 3 that takes the filter of system calls as well, since a file that can be read
can be emptied); TCP, abstract sockets and signals to outside are denied where the kernel knows how. That a file exists, its size
and where a link leads can still be asked.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ABI_VERSION = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR, _WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Rights over files that each version of the interface knows, from the first bit on."""
_NET_RIGHTS, _SCOPES = 0b11, 0b11
_SEPARATE = ("site-packages", "dist-packages", "test", "idlelib")
"""In the library's folder, but not the interpreter's own, or of no use: what is installed there is not for programs to read."""
_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The kernel's version of Landlock's interface; 0 where it has none."""
    return max(0, _libc.syscall(_CREATE_RULESET, None, 0, _ABI_VERSION))


def restrict(extra: list[str]) -> None:
    """Deny this process and its children all files but the library's and those beneath `extra`, to be read only.

    no_new_privs must be set. Raises OSError where the kernel refuses or has no Landlock.
    """
    version = abi()
    handled = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("=QQQ", handled, _NET_RIGHTS, _SCOPES)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    for path, rights in [
        *_library(),
        *((path, _READ_FILE | _READ_DIR) for path in extra),
        ("/dev/null", _READ_FILE | _WRITE_FILE),
    ]:
        _allow(ruleset, path, rights)
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _library() -> Iterator[tuple[str, int]]:
    """The interpreter's modules, the system's shared libraries, and where it looks up time zones and random bytes."""
    for folder in filter(os.path.isdir, sys.path):
        yield folder, _READ_DIR
        for entry in os.scandir(folder):
            if entry.name not in _SEPARATE:
                yield entry.path, _READ_FILE | _READ_DIR
    for path in ("/lib", "/lib64", "/usr/lib", "/usr/lib64"):
        for entry in os.scandir(path) if os.path.isdir(path) else ():
            if entry.is_file() or entry.name.endswith("-linux-gnu"):
                yield entry.path, _READ_FILE
    for path in ("/usr/share/zoneinfo", "/dev/urandom"):
        yield path, _READ_FILE | _READ_DIR


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Allow rights beneath a path; one that is not there is no matter."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= ~_READ_DIR
    attributes = struct.pack("=Qi", rights, descriptor)
    _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, attributes, 0))
    os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock")
    return result
