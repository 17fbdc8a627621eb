"""Verdicts against published ones, and docs/verdict-parity.md against both: where RLTF_DATA names the benchmark data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import parity
from benchmarks.parity import Case, Compared
from contracts.errors import UserError
from contracts.records import Outcome, Problem, Trust, Verdict

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "verdict-parity.md"


def documented(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    section = DOCUMENT.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")][2:]


def names_in(cell: str) -> list[str]:
    """The programs of a cell like "MBPP/1, MBPP/2 (gpt-3.5, reference); MBPP/3 (codellama)"."""
    groups = [group.removesuffix(")").split(" (") for group in cell.split("; ")]
    found = [f"{name} {writer}" for names, writers in groups for name in names.split(", ") for writer in writers.split(", ")]
    return [name.replace("reference", "solution 0") for name in found]


@pytest.fixture(scope="module")
def cases(benchmark_data: Path) -> list[Case]:
    return parity.cases(benchmark_data)


@pytest.fixture(scope="module")
def verdicts(cases: list[Case]) -> list[Verdict]:
    return parity.judge(cases, "apps")


@pytest.fixture(scope="module")
def rows(cases: list[Case], verdicts: list[Verdict]) -> list[Compared]:
    return parity.compared(cases, verdicts, verdicts, [None] * len(cases))


@pytest.mark.slow
def test_agreement_is_as_asked_and_as_documented(rows: list[Compared]) -> None:
    found = {name: figures for (name, _), figures in parity.agreements(rows).items()}
    assert all(agree >= asked * total for agree, total, asked in found.values())
    assert {name: total for name, (_, total, _) in found.items()} == {
        "MBPP programs": 1000,
        "HumanEval programs": 328,
        "APPS outcomes": 59,
        "APPS references": 1678,
        "MBPP references": 974,
        "HumanEval references": 164,
    }
    written = {name: agree for name, other, agree, *_ in documented("Agreement") if other == "published"}
    assert {name: f"{agree}/{total}" for name, (agree, total, _) in found.items()} == written


def test_every_disagreement_is_documented(rows: list[Compared]) -> None:
    """With plain runs none is added: whoever disagrees with one here disagrees with the publisher, too."""
    found = {row.name: (row.published, str(row.ours)) for row in parity.disagreements(rows) if "references" not in row.set}
    assert found == {name: (published, ours) for name, published, _, ours, _ in documented("Disagreements")}


def test_every_reference_that_fails_is_documented(rows: list[Compared]) -> None:
    failing = {row.name for row in rows if "references" in row.set and row.ours is not Outcome.PASS}
    table = documented("Reference solutions that fail")
    assert failing == {f"{problem} solution {at}" for problem, places, _ in table for at in places.split(", ")}


def test_low_trust_is_documented(rows: list[Compared]) -> None:
    written = [name for cell, _ in documented("Low trust") for name in names_in(cell)]
    assert {row.name for row in rows if row.trust is Trust.LOW} == set(written)
    assert len(written) == len(set(written)) == 37


def test_what_strict_mode_changes_is_documented(cases: list[Case], verdicts: list[Verdict]) -> None:
    """MBPP's programs left out: some of them take their whole time again."""
    chosen = [at for at, case in enumerate(cases) if case.set in ("HumanEval programs", "APPS outcomes", "APPS references")]
    strict = parity.judge([cases[at] for at in chosen], "strict")
    found = Counter(
        (cases[at].set, str(verdicts[at].outcome), str(verdict.outcome))
        for at, verdict in zip(chosen, strict, strict=True)
        if verdict.outcome is not verdicts[at].outcome
    )
    written = {(name, before, after): int(count) for name, before, after, count, _ in documented("What `strict` mode changes")}
    assert found == {key: count for key, count in written.items() if key[0] != "MBPP programs"}


def test_error_types_of_apps_programs(cases: list[Case], verdicts: list[Verdict], benchmark_data: Path) -> None:
    lines = (benchmark_data / "verdicts" / "apps_outcomes.jsonl").read_text(encoding="utf-8").splitlines()
    published = [json.loads(line)["error_type"] for line in lines]
    ours = [verdict.error_type for case, verdict in zip(cases, verdicts, strict=True) if case.set == "APPS outcomes"]
    raised = [(name or "", theirs) for name, theirs in zip(ours, published, strict=True) if theirs.endswith("error")]
    assert len(raised) == 12
    # The publisher ran programs inside a function: there an undefined global can be an unbound local.
    assert [name.lower() for name, _ in raised] == [theirs.replace("unboundlocal", "name") for _, theirs in raised]


def test_a_plain_run_ends_as_the_script_does() -> None:
    scripts = {"assert math.prod([2, 3]) == 6": "pass", "assert False": "fail", "def f(:": "fail", "raise SystemExit(0)": "pass"}
    problem = Problem(id="none", question="", tests=())
    ended = parity.run_plain([Case("", "", problem, "", "pass", parity.PLAIN_PRELUDE + script) for script in scripts])
    assert ended == list(scripts.values())


def test_without_data_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RLTF_DATA", str(tmp_path))
    with pytest.raises(UserError, match="RLTF_DATA"):
        parity.data_folder()
    assert parity.main([]) == 2
