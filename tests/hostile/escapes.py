"""Programs that reach beyond their process: network, other processes, the kernel, files of others."""

from __future__ import annotations

import errno
import platform
from pathlib import Path

from tests.hostile.case import (
    ADD,
    ASSERTS,
    CALLS,
    DISALLOWED,
    EXIT,
    FAILURE,
    PASS,
    Case,
    case,
    raised,
)

SECRET_VARIABLE = "RLTF_HOSTILE_SECRET"
"""Set in the judge's environment."""
_ARCHITECTURE = {"x86_64": 0, "aarch64": 1}.get(platform.machine(), 0)
# Linux's numbers of system calls for x86-64 and for 64-bit ARM; None where it has no such call.
_Numbers = tuple[int | None, int | None]


def _same(number: int) -> _Numbers:
    return number, number


def _refused(name: str, *calls: _Numbers, code: int = errno.EPERM, first: int = 0) -> Case:
    """Passes where each of the calls, with `first` and zeros as arguments, fails with this error."""
    numbers = [number for number in (call[_ARCHITECTURE] for call in calls) if number is not None]
    text = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"for number in {numbers}:\n    got = libc.syscall(number, {first}, 0, 0, 0, 0, 0)\n"
        f"    assert (got, ctypes.get_errno()) == (-1, {code}), (number, got, ctypes.get_errno())\n"
    )
    return case(name, PASS, text + ADD)


_SOCKETS = (
    *(
        case(f"socket {family} {kind}", DISALLOWED, f"import socket\nsocket.socket({family}, {kind})")
        for family, kind in ((1, 1), (2, 1), (2, 2), (2, 3), (10, 1), (16, 3), (17, 3), (38, 5), (40, 1))
    ),
    case(
        "socketpair",
        DISALLOWED,
        "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "a.send(b'x')\nassert b.recv(9) == b'x'\na.sendto(b'x', '/dev/log')",
    ),
    case("socketpair of another family", DISALLOWED, "import socket\nsocket.socketpair(socket.AF_INET)"),
    case("connects a socketpair", DISALLOWED, "import socket\na, b = socket.socketpair()\na.connect('/dev/log')"),
    case("connection", DISALLOWED, "import socket\nsocket.create_connection(('127.0.0.1', 22))"),
    case("socket in the function", DISALLOWED, "import socket\ndef add(a, b): socket.socket()", CALLS),
    case("socket in an asserted function", DISALLOWED, "import socket\ndef add(a, b): socket.socket()", ASSERTS),
    case("name service", raised("gaierror", 2), "import socket\nsocket.getaddrinfo('example.org', 80)"),
    case("web page", raised("URLError", 2), "import urllib.request\nurllib.request.urlopen('http://127.0.0.1/')"),
    case("event loop", PASS, "import asyncio\nasyncio.run(asyncio.sleep(0))\n" + ADD),
)
_SIGNALS = (
    case("kills its parent", DISALLOWED, "import os\nos.kill(os.getppid(), 9)"),
    case("asks for its parent", DISALLOWED, "import os\nos.kill(os.getppid(), 0)"),
    case("stops its parent", DISALLOWED, "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)"),
    case("kills the first process", DISALLOWED, "import os\nos.kill(1, 9)"),
    case("kills its group", DISALLOWED, "import os\nos.kill(0, 9)"),
    case("kills another group", DISALLOWED, "import os\nos.killpg(os.getpgid(os.getppid()), 9)"),
    case("kills everyone", DISALLOWED, "import os\nos.kill(-1, 9)"),
    case("kills in an asserted function", DISALLOWED, "import os\ndef add(a, b): os.kill(-1, 9)", ASSERTS),
    case("kills by descriptor", DISALLOWED, "import os\nos.pidfd_open(os.getppid())"),
    case("signals by descriptor", DISALLOWED, "import fcntl, os\nfcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())"),
    case("outlives its parent", PASS, "import ctypes\nassert ctypes.CDLL(None).prctl(1, 0) == -1\n" + ADD),
    case("a session of its own", DISALLOWED, "import os\nos.setsid()"),
    case("kills itself", EXIT, "import os\nos.kill(os.getpid(), 9)"),
    case("aborts", EXIT, "import os\nos.abort()"),
    case("breaks its memory", EXIT, "import ctypes\nctypes.string_at(8)"),
    case("closes all descriptors", EXIT, "import os\nos.closerange(0, 64)"),
    _refused("queued signals", (129, 138), (297, 240), (200, 130), _same(424), first=1),
)
_KERNEL = (
    _refused("tracing", (101, 117), (312, 272), _same(438), first=16),
    _refused("memory of others", (310, 270), (311, 271), _same(440), first=1),
    _refused("namespaces", (272, 97), (308, 268)),
    _refused("mounts", (165, 40), (166, 39), (155, 41), _same(428), _same(429), _same(430)),
    _refused("another root", (161, 51)),
    _refused("io_uring", *map(_same, (425, 426, 427))),
    _refused("bpf", (321, 280)),
    _refused("perf", (298, 241)),
    _refused("keys", (248, 217), (249, 218), (250, 219)),
    _refused("page faults", (323, 282)),
    _refused("modules and kernels", (175, 105), (313, 273), (246, 104)),
    _refused("the kernel's log", (103, 116), first=10),
    _refused("files by handle", (304, 265), (300, 262)),
    _refused("shared memory and queues", (29, 194), (64, 190), (68, 186), (240, 180)),
    _refused("filters of its own", (317, 277), _same(444)),
    _refused("a child by clone", (56, 220), (57, None), (58, None), first=17),
    _refused("a namespace by clone", (56, 220), first=0x10000000),
    _refused("a child by clone3", _same(435), code=errno.ENOSYS),
    _refused("terminal input", (16, 29)),
    case("setuid", DISALLOWED, "import os\nos.setuid(0)"),
    case("chroot", DISALLOWED, "import os\nos.chroot('/')"),
    case("exec", DISALLOWED, "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo 3'])"),
    case("exec in an asserted function", DISALLOWED, "import os\ndef add(a, b): os.execv('/bin/true', ['true'])", ASSERTS),
    case("a setuid program", DISALLOWED, "import os\nos.execv('/usr/bin/su', ['su'])"),
    case("exec by the loader", DISALLOWED, "import os\nos.execv('/lib64/ld-linux-x86-64.so.2', ['ld', '/bin/true'])"),
)
_FILES = (
    *(
        case(f"reads {path}", DISALLOWED, f"print(open({path!r}).read())")
        for path in ("/etc/passwd", "/etc/hostname", "/proc/version", "/proc/1/cmdline", "/sys/kernel/notes", str(Path(__file__)))
    ),
    *(
        case(f"lists {path}", DISALLOWED, f"import os\nprint(os.listdir({path!r}))")
        for path in ("/", "/tmp", "/home", "/etc", "/proc", "/dev", str(Path(__file__).parents[2]))
    ),
    case("finds nothing", FAILURE, "import glob\nprint(len(glob.glob('/tmp/*') + glob.glob('/etc/*')))"),
    case("reads the environment", PASS, f"import os\nassert {SECRET_VARIABLE!r} not in os.environ\n" + ADD),
    case("reads in an asserted function", DISALLOWED, "def add(a, b): return open('/etc/passwd').read()", ASSERTS),
    case("removes a file", DISALLOWED, f"import os\nos.remove({str(Path(__file__))!r})"),
    case("removes a folder", DISALLOWED, "import os\nos.rmdir(os.getcwd())"),
    case("renames", DISALLOWED, "import os\nos.rename('/etc/hostname', '/tmp/rltf-hostile-left')"),
    case("appends", DISALLOWED, f"open({str(Path(__file__))!r}, 'a')"),
    case("changes modes", DISALLOWED, "import os\nos.chmod('/tmp', 0)"),
    case("changes owners", DISALLOWED, "import os\nos.chown('/tmp', 1, 1)"),
    case("changes times", DISALLOWED, "import os\nos.utime('/tmp')"),
    case("truncates", DISALLOWED, f"import os\nos.truncate({str(Path(__file__))!r}, 10**6)"),
)
_X86 = (
    case("calls of 32 bits", DISALLOWED, """
        import ctypes, mmap
        code = mmap.mmap(-1, 4096, prot=7)
        code.write(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")  # mov eax, 20; int 0x80; ret
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
        """, instead=EXIT),
    case("calls of x32", DISALLOWED, "import ctypes\nctypes.CDLL(None).syscall(0x40000000 + 39)"),
)  # fmt: skip
CASES: tuple[Case, ...] = (*_SOCKETS, *_SIGNALS, *_KERNEL, *_FILES, *(_X86 if platform.machine() == "x86_64" else ()))
