"""Where blame falls: of all negative credit that a program with one injected error gets, how much is on the faulty statement.

    python -m benchmarks.credit

Programs are solutions of primer problems into which an error was put at a known place; three passing programs make up the rest
of each one's group. Verdicts, labels and advantages are made by the same code as in a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from contracts.config import Recipe
from contracts.objective import ObjectiveConfig
from contracts.records import Category, Group, Outcome, Program, Verdict
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.judge import Executor
from executors.labels import label_group
from learner.advantages import training_rows
from learner.objectives.credit import token_advantages
from learner.tensors import feedback_of
from models.offsets import decode_with_offsets
from models.scoring import collate
from models.tiny import train_tokenizer
from tests.injected import Case, cases, primer_hosts

HOSTS, SEED = 120, 3
KINDS: dict[str, dict[str, Any]] = {
    "rltf": {"kind": "rltf", "baseline": "group"},
    "rloo": {"kind": "rloo"},
    "grpo": {"kind": "grpo"},
}
SPANS: dict[str, dict[str, Any]] = {
    "none": {"spans": "none"},
    "add": {"spans": "add"},
    "add, α ≤ 8": {"spans": "add", "alpha_cap": 8.0},
    "move": {"spans": "move"},
    "move, α ≤ 8": {"spans": "move", "alpha_cap": 8.0},
}


def measure(hosts: int = HOSTS, seed: int = SEED) -> tuple[dict[tuple[str, str], float], int, int]:
    """(objective, spans) → mean share over located programs; how many those are, and how many there are in all."""
    made = [case for case in cases(primer_hosts(hosts, seed), seed) if case.span is not None]
    tokenizer = train_tokenizer((case.text for case in made), 600, 4096)
    passing = Verdict(outcome=Outcome.PASS, passed=1, total=1)
    shares: dict[tuple[str, str], list[float]] = {(kind, spans): [] for kind in KINDS for spans in SPANS}
    with Executor(ExecutorsConfig(cpu_seconds=5, prelude="apps"), RewardsConfig()) as executor:
        verdicts = [executor.judge(case.problem, case.text) for case in made]
    located = [(case, verdict) for case, verdict in zip(made, verdicts, strict=True) if verdict.category is Category.LINE]
    for case, verdict in located:
        program, right = _program(case.text, tokenizer), _program(case.problem.solutions[0], tokenizer)
        group = Group(
            id=case.name, problem_id="p", batch=0, policy_version=0, temperature=1.0, prompt_ids=[1],
            programs=[program, right, right, right],
        )  # fmt: skip
        entry = label_group(group, [verdict, passing, passing, passing], RewardsConfig())
        for (kind, spans), found in shares.items():
            objective = ObjectiveConfig(**KINDS[kind], **SPANS[spans])
            row = training_rows(entry, Recipe(name="credit", objective=objective))[0]
            batch = collate([row.prompt_ids], [row.token_ids], 0)
            credit = torch.stack(list(token_advantages(feedback_of([row], batch), objective).values())).sum(0)[0]
            found.append(blamed_share(credit.tolist(), program, case))
    return {key: sum(found) / len(found) for key, found in shares.items()}, len(located), len(made)


def blamed_share(credit: Sequence[float], program: Program, case: Case) -> float:
    """The share of negative credit on tokens that share a character with the faulty statement."""
    assert case.span is not None
    first, last = case.span.start_char, case.span.end_char
    blame = [max(0.0, -value) for value in credit]
    places = zip(blame, program.starts, program.ends, strict=True)
    return sum(value for value, start, end in places if max(start, first) < min(end, last)) / sum(blame)


def _program(text: str, tokenizer: Any) -> Program:
    ids = [*tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids, tokenizer.eos_token_id]
    decoded = decode_with_offsets(ids, tokenizer)
    return Program(text=text, token_ids=ids, logprobs=[-1.0] * len(ids), starts=decoded.starts, ends=decoded.ends)


def main() -> None:
    """Print the table."""
    shares, located, made = measure()
    table = Table(title=f"share of negative credit on the faulty statement; {located} of {made} errors are located")
    for title in ("objective", *SPANS):
        table.add_column(title)
    for kind in KINDS:
        table.add_row(kind, *(f"{shares[kind, spans]:.3f}" for spans in SPANS))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
