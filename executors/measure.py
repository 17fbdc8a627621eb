"""What a process has used, measured from outside: CPU time, resident memory, time spent waiting for a CPU."""

from __future__ import annotations

import os
import time
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2


def cpu_seconds(pid: int) -> float:
    """CPU seconds of all threads, past ones included; of a zombie too. Raises OSError for a process that is gone."""
    try:
        return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
    except OSError:
        # Kernels that refuse another process's clock: count in ticks.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory now; 0 for a zombie. Raises OSError for a process that is gone."""
    with open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE


def threads(pid: int) -> int:
    """How many threads the process has. Raises OSError for a process that is gone."""
    return os.stat(f"/proc/{pid}/task").st_nlink - 2


def peak_resident_bytes(pid: int) -> int:
    """The most resident memory so far (VmHWM); 0 for a zombie. Raises OSError for a process that is gone."""
    with open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def queue_seconds(pid: int) -> float | None:
    """Seconds that the thread that waited most, of the present ones, has waited for a CPU; None where the kernel doesn't say."""
    nanoseconds = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                nanoseconds = max(nanoseconds, int(file.read().split()[1]))
    except OSError:
        return None
    return nanoseconds / 1e9


def process_of(pidfd: int) -> int:
    """The id of a process in our own namespace. Raises ProcessLookupError for one that is gone."""
    with open(f"/proc/self/fdinfo/{pidfd}", "rb") as file:
        for line in file:
            if line.startswith(b"Pid:"):
                pid = int(line[4:])
                if pid > 0:
                    return pid
    raise ProcessLookupError
