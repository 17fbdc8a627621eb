"""Mutations are many, repeatable and never raise; a small run of the fuzzer; it says what is off."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks import fuzz
from benchmarks.mutations import MUTATIONS, mutate
from contracts.records import Outcome
from contracts.sections import RewardsConfig
from executors.pool import Pool

PROGRAM = "def f(a, b):\n    c = a + b\n    return c * 2\n\nx = f(1, 2)\nprint(x)\n"
OTHER = "for i in range(3):\n    print(i)\n"


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_mutation_changes_a_program_and_repeats_itself(name: str) -> None:
    changed = [MUTATIONS[name](PROGRAM, OTHER, Random(seed)) for seed in range(50)]
    assert changed == [MUTATIONS[name](PROGRAM, OTHER, Random(seed)) for seed in range(50)]
    assert len(set(changed) - {PROGRAM}) >= 5


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 2**32))
def test_every_text_can_be_mutated(program: str, other: str, seed: int) -> None:
    for mutation in MUTATIONS.values():
        assert isinstance(mutation(program, other, Random(seed)), str)


def test_what_single_mutations_do() -> None:
    rng = Random(0)
    assert PROGRAM.startswith(MUTATIONS["cut"](PROGRAM, OTHER, rng))
    assert len(MUTATIONS["drop_line"](PROGRAM, OTHER, rng).splitlines()) == 5
    assert len(MUTATIONS["duplicate_line"](PROGRAM, OTHER, rng).splitlines()) == 7
    assert sorted(MUTATIONS["swap_lines"](PROGRAM, OTHER, rng)) == sorted(PROGRAM)
    assert sorted(MUTATIONS["swap_tokens"](PROGRAM, OTHER, rng)) == sorted(PROGRAM)
    swapped = {MUTATIONS["swap_statements"]("a = 1\nb = 2\n", "", Random(seed)) for seed in range(20)}
    assert swapped == {"a = 1\nb = 2\n", "b = 2\na = 1\n"}
    assert MUTATIONS["swap_statements"]("a = (", "", rng) == "a = ("
    assert {MUTATIONS["swap_operator"]("a+b", "", Random(seed)) for seed in range(99)} >= {"a-b", "a==b", "a**b"}


def test_mutations_reach_what_breaks_readers() -> None:
    texts = [mutate(PROGRAM, OTHER, Random(seed)) for seed in range(3000)]
    for odd in ("\0", "\ufeff", "\r", "\\x"):
        assert any(odd in text for text in texts), repr(odd)
    assert any(any("\ud800" <= char <= "\udfff" for char in text) for text in texts)
    assert any(len(text) > 10_000 for text in texts)
    assert any(not text for text in texts)


def test_the_same_seed_gives_the_same_jobs() -> None:
    sets = fuzz.sources(0)
    first, again, other = (list(islice(fuzz.broken(sets, seed), 50)) for seed in (1, 1, 2))
    assert first == again != other


def test_jobs_survive_the_way_from_their_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLTF_DATA", raising=False)
    sets = fuzz.sources(5)
    expected = [(sets[key][index].id, text) for key, index, text in islice(fuzz.broken(sets, 5), 300)]
    assert [(job.problem.id, job.text) for job in islice(fuzz.mutated(5), 300)] == expected


def test_a_small_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("RLTF_DATA", raising=False)
    monkeypatch.setattr(fuzz, "EVERY", 100)
    assert fuzz.main(["--programs", "200", "--memory-programs", "70", "--seed", "3"]) == 0
    told = capsys.readouterr().out
    assert "200 programs in" in told
    assert "70 programs in" in told
    assert "syntax_error" in told
    assert "off:" not in told


def test_quick_programs_end_in_every_way_that_is_quick() -> None:
    with Pool(fuzz.CONFIG, RewardsConfig()) as pool:
        result = fuzz.run(pool, fuzz.quick(), 70, Console(quiet=True))
    assert result.verdicts == {"pass": 10, "failure": 30, "runtime_error": 10, "syntax_error": 10, "runtime_error: exit": 10}
    assert result.faults() == []


def look(programs: int, judges: float = 100.0, zygotes: float = 40.0, descriptors: int = 20, *pids: int) -> fuzz.Look:
    return fuzz.Look(programs, judges, zygotes, descriptors, frozenset(pids or (1, 2)))


STEADY = (look(0, 50), look(2000), look(3000, 104.9))


@pytest.mark.parametrize(
    ("looks", "sandbox_errors", "words"),
    [
        (STEADY, 0, ()),
        ((look(0), look(1000, 400.0)), 0, ()),
        (STEADY, 2, ("2 SANDBOX_ERRORs",)),
        ((*STEADY, look(4000, 106)), 0, ("memory of the judges grew by 6.0%",)),
        ((*STEADY, look(4000, 100, 44)), 0, ("memory of the zygotes grew by 10.0%",)),
        ((*STEADY, look(4000, 300, 90), look(5000)), 0, ()),
        ((*STEADY, look(4000, 100, 40, 21)), 0, ("open descriptors: [20, 20, 20, 21]",)),
        ((*STEADY, look(4000, 100, 80, 22, 1, 2, 3)), 0, ()),
        ((*STEADY, look(4000, 100, 40, 20, 1, 3)), 0, ("zygotes lost: 1",)),
    ],
)
def test_what_is_off_is_said(looks: tuple[fuzz.Look, ...], sandbox_errors: int, words: tuple[str, ...]) -> None:
    verdicts = Counter({str(Outcome.PASS): 10, str(Outcome.SANDBOX_ERROR): sandbox_errors})
    assert tuple(fuzz.Result(verdicts, 1.0, 0.1, list(looks)).faults()) == words


def test_the_exit_code_says_that_something_is_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(fuzz.Result, "faults", lambda _: ["a lost zygote"])
    assert fuzz.main(["--programs", "0", "--memory-programs", "7"]) == 1
    assert "off: quick: a lost zygote" in capsys.readouterr().out
