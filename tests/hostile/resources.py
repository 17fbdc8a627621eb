"""Programs that use up what others need: memory, output, processes, files, descriptors, threads, stack."""

from __future__ import annotations

from tests.hostile.case import (
    ADD,
    ASSERTS,
    CALLS,
    DISALLOWED,
    EXIT,
    FAILURE,
    FLOOD,
    MEMORY,
    PASS,
    SUMS,
    TIMEOUT,
    Case,
    case,
    raised,
)

_MEMORY = (
    case("a list that grows", MEMORY, "x = []\nwhile True: x.append(' ' * 10_000)"),
    case("a text that doubles", MEMORY, "x = 'x'\nwhile True: x += x"),
    case("one big block", MEMORY, "x = b'x' * 10**9"),
    case("more than there is", MEMORY._replace(error_type="MemoryError"), "x = [0] * 10**12"),
    case(
        "MemoryError swallowed",
        MEMORY,
        "x = []\nwhile True:\n    try: x.append(' ' * 10**6)\n    except MemoryError: pass",
    ),
    case(
        "a map without a file",
        MEMORY,
        "import mmap\nx = mmap.mmap(-1, 1 << 29)\nfor i in range(0, 1 << 29, 4096): x[i] = 1",
        instead=DISALLOWED,
    ),
    case(
        "shared pages that are not resident",
        MEMORY,
        """
        import mmap
        held = []
        for _ in range(12):
            held.append(mmap.mmap(-1, 1 << 24))
            for i in range(0, 1 << 24, 4096): held[-1][i] = 1
            held[-1].madvise(mmap.MADV_DONTNEED)
        print(sum(map(int, input().split())))
        """,
        instead=DISALLOWED,
    ),
    case(
        "in a thread",
        MEMORY,
        "import threading\ndef f():\n    x = []\n    while True: x.append(' ' * 10_000)\n"
        "t = threading.Thread(target=f)\nt.start()\nt.join()",
    ),
    case("in the function", MEMORY, "def add(a, b):\n    x = [0]\n    while True: x += x", CALLS),
    case("in an asserted function", MEMORY, "def add(a, b):\n    x = [0]\n    while True: x += x", ASSERTS),
    case("a value too large", FAILURE, "def add(a, b): return [0] * 3 * 10**6", CALLS),
    case("a number too large", FAILURE, "def add(a, b): return 1 << 10**7", CALLS),
    case("frames", MEMORY, "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()"),
)
_OUTPUT = (
    case("stdout", FLOOD, "while True: print('x' * 999)"),
    case("stderr", FLOOD, "import sys\nwhile True: print('x' * 999, file=sys.stderr)"),
    case("one line", FLOOD, "import sys\nwhile True: sys.stdout.write('x' * 10**5)"),
    case("one line of a gigabyte", MEMORY, "print('x' * 2**30)"),
    case("descriptor 1", FLOOD, "import os\nwhile True: os.write(1, b'x' * 10**5)"),
    case(
        "SIGXFSZ ignored",
        FLOOD,
        "import os, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nwhile True:\n"
        "    try: os.write(1, b'x' * 10**5)\n    except OSError: pass",
    ),
    case("a hole", FLOOD, "import os\nos.ftruncate(1, 1 << 40)"),
    case("a hole in the input", FLOOD, "import os\nos.ftruncate(0, 1 << 40)"),
    case("in a call", FLOOD, "def add(a, b):\n    while True: print('x' * 999)", CALLS),
    case("in an assert", FLOOD, "def add(a, b):\n    while True: print('x' * 999)", ASSERTS),
    case(
        "limits raised",
        FLOOD,
        """
        import resource
        for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE):
            try: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            except (ValueError, OSError): pass
        while True: print('x' * 999)
        """,
    ),
    case("limits lowered", FLOOD, "import resource\n" + ADD + "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))", SUMS),
)
_PROCESSES = (
    case("fork", DISALLOWED, "import os\nos.fork()\n" + ADD),
    case("fork in the function", DISALLOWED, "import os\ndef add(a, b):\n    os.fork()\n    return a + b", CALLS),
    case("fork in an asserted function", DISALLOWED, "import os\ndef add(a, b):\n    os.fork()\n    return a + b", ASSERTS),
    case("fork bomb", DISALLOWED, "import os\nwhile True: os.fork()"),
    case("stubborn fork bomb", TIMEOUT, "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"),
    case("fork refused, then right", PASS, "import os\ntry: os.fork()\nexcept OSError:\n    " + ADD.replace("\n", "\n    ")),
    case("subprocess", DISALLOWED, "import subprocess\nsubprocess.run(['true'])"),
    case("shell", PASS, "import os\nassert os.system('true') != 0\n" + ADD),
    case("popen", DISALLOWED, "import os\nos.popen('true').read()"),
    case("posix_spawn", DISALLOWED, "import os\nos.posix_spawn('/bin/true', ['true'], {})"),
    case("multiprocessing", DISALLOWED, "import multiprocessing as m\nm.Process(target=print).start()"),
    case("process pool", DISALLOWED, "import multiprocessing as m\nm.Pool(9).map(abs, range(9))"),
    case("forkpty", DISALLOWED, "import os\nos.forkpty()"),
    case(
        "threads",
        MEMORY,
        """
        import threading
        stay = threading.Event()
        while True:
            threading.Thread(target=stay.wait, daemon=True).start()
        """,
        instead=raised("RuntimeError", 4),
    ),
)
_FILES = (
    case("a file", DISALLOWED, "open('rltf-hostile-left', 'w').write('x' * 999)"),
    case("files", DISALLOWED, "for i in range(10**6): open(f'rltf-hostile-left-{i}', 'x').close()"),
    case("a file in /tmp", DISALLOWED, "open('/tmp/rltf-hostile-left', 'w')"),
    case("a file in /var/tmp", DISALLOWED, "open('/var/tmp/rltf-hostile-left', 'w')"),
    case("shared memory", DISALLOWED, "open('/dev/shm/rltf-hostile-left', 'w')"),
    case(
        "shared memory by name",
        DISALLOWED,
        "from multiprocessing.shared_memory import SharedMemory\nSharedMemory('rltf-hostile-left', True, 10**6)",
    ),
    case("nameless file", DISALLOWED, "import os\nos.open('/tmp', os.O_TMPFILE | os.O_RDWR)"),
    case("file in memory", DISALLOWED, "import os\nos.memfd_create('x')"),
    case("folders", DISALLOWED, "import os\nfor i in range(10**6): os.mkdir(f'rltf-hostile-left-{i}')"),
    case(
        "deep folders",
        DISALLOWED,
        "import os\nwhile True:\n    os.mkdir('/tmp/rltf-hostile-left')\n    os.chdir('/tmp/rltf-hostile-left')",
    ),
    case("links", DISALLOWED, "import os\nos.symlink('/etc', '/tmp/rltf-hostile-left')"),
    case("hard links", DISALLOWED, "import os\nos.link('/etc/passwd', '/tmp/rltf-hostile-left')"),
    case("named pipe", DISALLOWED, "import os\nos.mkfifo('/tmp/rltf-hostile-left')"),
    case("allocated output", DISALLOWED, "import os\nos.posix_fallocate(1, 0, 1 << 40)"),
    case("nowhere for a temporary file", raised("FileNotFoundError", 2), "import tempfile\ntempfile.TemporaryFile()"),
    case("endless device", MEMORY, "open('/dev/zero', 'rb').read()", instead=DISALLOWED),
)
_REST = (
    case("descriptors", raised("OSError", 2), "import os\nwhile True: os.dup(1)"),
    case("all descriptors kept", PASS, "import os\n" + ADD + "try:\n    while True: os.pipe()\nexcept OSError: pass", SUMS),
    case("deep recursion", raised("RecursionError"), "def f(): f()\nf()"),
    case(
        "deep recursion in C",
        EXIT,
        "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    __repr__ = lambda self: repr(self)\nrepr(A())",
    ),
    case("deep value", FAILURE, "def add(a, b):\n    x = 3\n    for _ in range(10**5): x = [x]\n    return x", CALLS),
    case("locked memory", PASS, "import ctypes\nassert ctypes.CDLL(None).mlockall(7) == -1\n" + ADD),
    case("nicer than others", DISALLOWED, "import os\nos.nice(-20)"),
    case("another core", DISALLOWED, "import os\nos.sched_setaffinity(0, {0})"),
)
CASES: tuple[Case, ...] = (*_MEMORY, *_OUTPUT, *_PROCESSES, *_FILES, *_REST)
