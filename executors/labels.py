"""From verdicts to labels: the three granularities of feedback (RLTF, section 3.3).

The penalised range comes from the verdict's character span and the token offsets recorded when the program was sampled; the
text is never searched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

from contracts.config import Recipe
from contracts.records import Category, Group, LabelledGroup, Labels, Outcome, Problem, Program, Span, Verdict
from contracts.rewards import adaptive_reward, coarse_reward
from contracts.sections import RewardsConfig
from executors.pool import Job


class Judges(Protocol):
    """What labelling needs of a pool of executors."""

    def judge_all(self, jobs: Iterable[Job]) -> Iterator[Verdict]:
        """One verdict per program, in order."""
        ...


def label(program: Program, verdict: Verdict, rewards: RewardsConfig) -> Labels:
    """The labels of a program with this verdict. Raises ValueError for SANDBOX_ERROR, which is never scored."""
    penalised = _penalised(program, verdict, rewards)
    return Labels(
        coarse=coarse_reward(verdict, rewards),
        fine=rewards.fine if any(penalised) else 0.0,
        adaptive=adaptive_reward(verdict, rewards),
        penalised=penalised,
        static=_in_spans(program, [finding.span for finding in verdict.findings]) if verdict.findings else [],
    )


def label_group(group: Group, verdicts: Iterable[Verdict], rewards: RewardsConfig) -> LabelledGroup:
    """The group with its verdicts and labels, without the programs that ended in a SANDBOX_ERROR."""
    judged = [
        (program, verdict)
        for program, verdict in zip(group.programs, verdicts, strict=True)
        if verdict.outcome is not Outcome.SANDBOX_ERROR
    ]
    whole = len(judged) == len(group.programs)
    kept = group if whole else msgspec.structs.replace(group, programs=[program for program, _ in judged])
    labels = [label(program, verdict, rewards) for program, verdict in judged]
    return LabelledGroup(group=kept, verdicts=[verdict for _, verdict in judged], labels=labels)


class LabelledBatch(NamedTuple):
    """A sampled batch after its programs were run."""

    entries: list[LabelledGroup]
    """Groups to train on."""
    dropped: dict[str, int]
    """Reason (truncated, sandbox_error, unusable) → sampled programs that are in no entry."""


def label_batch(judges: Judges, groups: Sequence[Group], problems: Mapping[str, Problem], recipe: Recipe) -> LabelledBatch:
    """Label a sampled batch and leave out what cannot be trained on."""
    candidates = [group if recipe.sampling.truncated == "label" else _without_truncated(group) for group in groups]
    verdicts = judges.judge_all(
        Job(problems[group.problem_id], program.code) for group in candidates for program in group.programs
    )
    entries: list[LabelledGroup] = []
    dropped: Counter[str] = Counter()
    for group, kept in zip(groups, candidates, strict=True):
        entry = label_group(kept, islice(verdicts, len(kept.programs)), recipe.rewards)
        dropped["truncated"] += len(group.programs) - len(kept.programs)
        dropped["sandbox_error"] += _sampled(kept) - entry.samples
        if _usable(entry, recipe.needs_greedy):
            entries.append(entry)
        else:
            dropped["unusable"] += entry.samples
    return LabelledBatch(entries, {reason: count for reason, count in dropped.items() if count})


def _without_truncated(group: Group) -> Group:
    kept = [program for program in group.programs if program.greedy or not program.truncated]
    return msgspec.structs.replace(group, programs=kept)


def _sampled(group: Group) -> int:
    return sum(not program.greedy for program in group.programs)


def _usable(entry: LabelledGroup, needs_greedy: bool) -> bool:
    """Has it what the objective's baseline needs?"""
    if needs_greedy:
        return entry.samples > 0 and entry.samples < len(entry.group.programs)
    return entry.samples > 1


def _penalised(program: Program, verdict: Verdict, rewards: RewardsConfig) -> list[bool]:
    """GLOBAL: every token, the end token too. LINE: tokens that share a character with the span, or with the expression where
    that is asked for and known. Otherwise none."""
    if verdict.category is Category.GLOBAL:
        return [True] * len(program.token_ids)
    span = verdict.expression if rewards.span == "expression" and verdict.expression else verdict.span
    if verdict.category is not Category.LINE or span is None:
        return [False] * len(program.token_ids)
    return _in_spans(program, [span])


def _in_spans(program: Program, spans: Sequence[Span]) -> list[bool]:
    """Per token: does it share a character with one of the spans, which are places in the program's code?"""
    ranges = [(span.start_char + program.code_offset, span.end_char + program.code_offset) for span in spans]
    return [
        any(max(start, first) < min(end, last) for first, last in ranges)
        for start, end in zip(program.starts, program.ends, strict=True)
    ]
