"""What programs came to, counted problem by problem, and the figures of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from contracts.errors import RunError
from contracts.evaluation import Sample
from contracts.records import Outcome, error_kind
from contracts.summary import Figures, Gap
from rltf.passk import interval_over_problems, mean_and_error, pass_at_k

FEW_PROGRAMS = 200
_EASIEST_FIRST = ("introductory", "easy", "interview", "medium", "competition", "hard")


@dataclass
class Count:
    """A problem's programs at one way of decoding. SANDBOX_ERRORs are our own: they count as programs, but score nothing."""

    difficulty: str
    split: str
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    by_both: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    """(passes the visible tests, passes the hidden ones) → programs; only those that were judged by both."""
    digest: str = ""
    """The problem's."""

    @property
    def scored(self) -> int:
        """n: programs that have a verdict."""
        return self.outcomes.total() - self.outcomes[Outcome.SANDBOX_ERROR.value]

    @property
    def passed(self) -> int:
        """c: those that pass."""
        return self.outcomes[Outcome.PASS.value]


class Tally:
    """Counts by setting and problem, in the order in which they came."""

    def __init__(self) -> None:
        self.settings: dict[str, dict[str, Count]] = {}
        self.programs = 0
        self._failed = 0

    def add(self, sample: Sample) -> None:
        """Count a program in."""
        problems = self.settings.setdefault(sample.setting, {})
        problem = problems.setdefault(sample.problem_id, Count(sample.difficulty, sample.split, digest=sample.problem_digest))
        problem.outcomes[sample.outcome.value] += 1
        kind = error_kind(sample.outcome, sample.detail, sample.error_type)
        if kind:
            problem.errors[kind] += 1
        if sample.visible is not None and sample.outcome is not Outcome.SANDBOX_ERROR:
            problem.by_both[sample.visible, sample.outcome is Outcome.PASS] += 1
        self.programs += 1
        self._failed += sample.outcome is Outcome.SANDBOX_ERROR

    def stop_where_hopeless(self, most: float) -> None:
        """Raises RunError where more than the share `most` of many programs ended in a SANDBOX_ERROR."""
        if self.programs >= FEW_PROGRAMS and self._failed > most * self.programs:
            raise RunError(
                f"{self._failed} of {self.programs} programs ended in a SANDBOX_ERROR: the executors are at fault",
                "See `rltf doctor`",
            )


class Usable(NamedTuple):
    """For which k there are programs enough."""

    ks: list[int]
    incomplete: list[str]
    """A sentence for each of `ks` that is not about all problems."""
    left_out: list[str]
    """A sentence for each k that is not among `ks`."""


def usable(counts: Iterable[Count], ks: Iterable[int], most: float) -> Usable:
    """1 and those k for which every problem that has programs has enough.

    Where SANDBOX_ERRORs alone leave a problem with fewer, our fault does not cost all others their figure: that k is about the
    rest, as long as no more than the share `most` of the problems are missing.
    """
    scored = [count for count in counts if count.scored]
    found = Usable([], [], [])
    for k in sorted({1, *ks}):
        fewer = [count for count in scored if count.scored < k]
        if len(fewer) > most * len(scored) or any(count.outcomes.total() < k for count in fewer):
            found.left_out.append(f"pass@{k} is left out: {len(fewer)} of {len(scored)} problems have fewer than {k} programs")
            continue
        found.ks.append(k)
        if fewer:
            lack = f"SANDBOX_ERRORs left them fewer than {k} programs"
            found.incomplete.append(f"pass@{k} is without {len(fewer)} of {len(scored)} problems: {lack}")
    return found


def figures(counts: Iterable[Count], ks: Sequence[int]) -> Figures:
    """The figures of these problems' programs; pass@k is about those problems that have k of them or more."""
    counts = list(counts)
    scored = [count for count in counts if count.scored]
    estimates = {k: values for k in ks if (values := estimates_of((count for count in scored if count.scored >= k), k))}
    outcomes: Counter[str] = sum((count.outcomes for count in counts), Counter())
    errors: Counter[str] = sum((count.errors for count in counts), Counter())
    return Figures(
        problems=len(scored),
        programs=outcomes.total(),
        pass_at_k={str(k): mean_and_error(values)[0] for k, values in estimates.items()},
        intervals={str(k): interval_over_problems(values) for k, values in estimates.items()},
        outcomes={outcome.value: outcomes[outcome.value] for outcome in Outcome},
        errors=dict(sorted(errors.items(), key=lambda item: (-item[1], item[0]))),
        gap=_gap(counts),
    )


def standard_error(counts: Iterable[Count]) -> float:
    """Of pass@1, over problems; 0 where there are none."""
    values = estimates_of((count for count in counts if count.scored), 1)
    return mean_and_error(values)[1] if values else 0.0


def estimates_of(counts: Iterable[Count], k: int) -> list[float]:
    """pass@k of each problem."""
    return [pass_at_k(count.scored, count.passed, k) for count in counts]


def grouped(counts: Iterable[Count], key: Callable[[Count], str]) -> dict[str, list[Count]]:
    """The problems by difficulty or split, the easiest first where the names are known ones."""
    found: dict[str, list[Count]] = {}
    for one in counts:
        found.setdefault(key(one), []).append(one)
    return {name: found[name] for name in easiest_first(found)}


def easiest_first(difficulties: Iterable[str]) -> list[str]:
    """APPS's difficulties and other common ones in their order, then any others in the names' order."""
    place = {name: at for at, name in enumerate(_EASIEST_FIRST)}
    return sorted(difficulties, key=lambda name: (place.get(name, len(place)), name))


def _gap(counts: Iterable[Count]) -> Gap | None:
    both: Counter[tuple[bool, bool]] = sum((count.by_both for count in counts), Counter())
    programs = both.total()
    if not programs:
        return None
    visible = both[True, True] + both[True, False]
    return Gap(programs=programs, visible=visible / programs, both=both[True, True] / programs, overfit=both[True, False])
