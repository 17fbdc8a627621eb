"""What this machine can do, and what to do about what it can't."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from buffer.redis_buffer import RedisBuffer
from buffer.server import EmbeddedRedis
from contracts.errors import UserError
from contracts.records import Outcome, Problem, Test
from contracts.sections import BufferConfig, ExecutorsConfig, RewardsConfig
from executors import tiers
from executors.confine import Tier
from executors.judge import Executor
from rltf.record import LIBRARIES
from rltf.runs import check_space

Finding = tuple[str, bool, str]


def examine(console: Console) -> bool:
    """Print a table of findings; returns whether a run can be made here."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("machine", _machine),
        ("GPUs", _gpus),
        ("executors", _executors),
        ("embedded Redis", _redis),
        ("disk", _disk),
        ("versions", lambda: ", ".join(f"{name} {version(name)}" for name in LIBRARIES)),
    ]
    table = Table("what", "", "finding")
    findings = [_finding(name, check) for name, check in checks]
    for name, fine, text in findings:
        table.add_row(name, "[green]ok[/]" if fine else "[red]no[/]", text)
    console.print(table)
    return all(fine for _, fine, _ in findings)


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return name, True, check()
    except UserError as err:
        return name, False, str(err)


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"


def _gpus() -> str:
    if not torch.cuda.is_available():
        return "none: models are sampled and trained on CPUs, weights travel over gloo"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def _executors() -> str:
    """Judge a right and a wrong program for real."""
    problem = Problem(id="doctor", question="", tests=(Test("2 3\n", "5\n"),))
    with Executor(ExecutorsConfig(), RewardsConfig()) as executor:
        right = executor.judge(problem, "print(sum(map(int, input().split())))\n")
        wrong = executor.judge(problem, "print(4)\n")
    if (right.outcome, wrong.outcome) != (Outcome.PASS, Outcome.FAILURE):
        raise UserError(f"programs are misjudged: {right.outcome}, {wrong.outcome}", "Report this with `rltf doctor`'s output")
    faults = [f"{tier.name.lower()}: {'; '.join(tiers.faults(tier))}" for tier in Tier if tier > executor.tier]
    reasons = f" (not {', '.join(faults)})" if faults else ""
    return f"programs are judged right; isolation {tiers.DESCRIPTIONS[executor.tier]}{reasons}"


def _redis() -> str:
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        RedisBuffer(server.url, "doctor", BufferConfig()).close()
    return "starts and answers"


def _disk() -> str:
    check_space(Path.cwd())
    return f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB free here"
