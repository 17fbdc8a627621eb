"""The trusted side of static analysis: has a program's text looked at in a child of its own, and reads what that found.

Analysis has zygotes of its own as well, so that programs run where nothing is different for it, and whatever goes wrong here
(a crash, a limit, a report that makes no sense) means no findings and leaves the verdict alone. Where zygotes are lost one after
the other, analysis itself doesn't work here: then it says so.
"""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from typing import Annotated, Literal

import msgspec

from contracts.errors import UserError
from contracts.records import Finding
from contracts.sections import ExecutorsConfig
from executors.confine import Limits, Tier
from executors.exchange import framed
from executors.running import read
from executors.spans import Place, statement_span
from executors.watch import Bounds, Child, Ended
from executors.worker import Worker, ZygoteDied

MOST_FINDINGS = 100
"""Of one program: its first."""
MESSAGE = 200
"""Characters of a finding's message."""
_MOST_LOST = 3
"""Zygotes of one prelude in a row, dead or never started, each of which may have kept its program waiting for half a minute."""
_OUTPUT = 1 << 20
_NUMPY = {"apps": "\nimport numpy as np"}
"""What a prelude provides besides, in zygotes that have numpy; these have not."""
Code = Literal[
    "undefined-name",
    "undefined-local",
    "bad-format",
    "always-true",
    "not-an-exception",
    "print-shift",
    "unreachable",
    "wrong-arity",
]


class _Found(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    code: Code
    message: Annotated[str, msgspec.Meta(max_length=MESSAGE)]
    place: Place


class _Report(msgspec.Struct, frozen=True):
    findings: Annotated[list[_Found], msgspec.Meta(max_length=MOST_FINDINGS)]


class Analyser:
    """Programs → findings, by a zygote for each prelude; started when it is first needed.

    Raises UserError where pyflakes is not installed, and from `findings` where no zygote lives.
    """

    def __init__(self, config: ExecutorsConfig, tier: Tier, limits: Limits) -> None:
        if importlib.util.find_spec("pyflakes") is None:
            raise UserError(
                "executors.analyse needs pyflakes, which is not installed", "pip install pyflakes, or set analyse=false"
            )
        self._tier = tier
        self._limits = limits
        self._bounds = Bounds(
            cpu_seconds=config.cpu_seconds,
            memory=config.memory_mb << 20,
            output=_OUTPUT,
            all_cpu_seconds=math.ceil(config.cpu_seconds) + 1,
        )
        self.workers: dict[str, Worker] = {}
        self._lost: Counter[str] = Counter()
        """Prelude → zygotes that were lost in a row."""
        self.seconds = 0.0
        """CPU time of the children so far."""

    def findings(self, text: str, prelude: str, setup: str = "") -> tuple[Finding, ...]:
        """The faults of a program that compiles, in its text's order; `setup` runs before its tests and may provide names."""
        try:
            report = self._report(framed({"text": text, "setup": setup + _NUMPY.get(prelude, "")}), prelude)
        except (ZygoteDied, OSError) as err:
            self._lost[prelude] += 1
            if self._lost[prelude] >= _MOST_LOST:
                message = f"static analysis lost {_MOST_LOST} zygotes in a row: {err!r}"
                raise UserError(message, "See above, or set executors.analyse=false to do without") from err
            return ()
        self._lost[prelude] = 0
        found = [_finding(one, text) for one in report.findings] if report else []
        return tuple(one for one in found if one is not None)

    def close(self) -> None:
        """End the zygotes."""
        for worker in self.workers.values():
            worker.close()

    def _report(self, job: bytes, prelude: str) -> _Report | None:
        child = Child(self._worker(prelude), self._bounds, job)
        try:
            ran = child.wait()
        finally:
            child.close()
        self.seconds += ran.seconds
        if ran.ended is not Ended.REPORTED or len(ran.reports) != 1:
            return None
        return read(ran.reports[0], _Report)[0]

    def _worker(self, prelude: str) -> Worker:
        """Its zygote, a new one where that was lost. Raises ZygoteDied or OSError where none starts."""
        if prelude not in self.workers:
            self.workers[prelude] = Worker(self._tier, self._limits, prelude, analyses=True)
        elif self._lost[prelude]:
            self.workers[prelude].restart()
        return self.workers[prelude]


def _finding(found: _Found, text: str) -> Finding | None:
    """None for a place that is empty or not in the text."""
    start, end = found.place
    span = statement_span(found.place, text) if start < end else None
    return Finding(found.code, found.message, span) if span is not None else None
