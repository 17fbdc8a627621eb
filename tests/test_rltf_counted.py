"""What an evaluation counts survives a kill, batch by batch, neither lost nor twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts import metrics as m
from contracts.counts import Counts
from rltf.counted import FILE, Counted, counts_in, counts_of
from tests.fake_evaluation import sample


def _batch(n: int) -> Counts:
    return {m.JUDGED.name: 10**n, m.SAMPLED_TOKENS.name: {"heldout": 2 * 10**n}, m.PHASE_SECONDS.name: {"sampling": 0.25}}


def test_programs_and_tests_of_all_settings_count() -> None:
    rows = [
        sample("a", 0, "pass", passed=3, total=3),
        sample("b", 0, "failure", difficulty="hard", passed=1, total=4),
        sample("a", 0, "syntax_error", setting="greedy", total=3),
        sample("a", 1, "pass", setting="greedy", passed=3, total=3),
    ]
    assert counts_of(rows) == {
        m.PROGRAMS.name: {"heldout|easy|pass": 2, "heldout|hard|failure": 1, "heldout|easy|syntax_error": 1},
        m.TESTS_RUN.name: {"heldout": 3 + 4 + 3 + 3},
        m.TESTS_PASSED.name: {"heldout": 3 + 1 + 3},
    }


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
@pytest.mark.parametrize("torn", [b"", b'{"programs_judged_to'])
def test_what_is_kept_is_counted_and_what_is_done_again_is_not_counted_twice(tmp_path: Path, kept: int, torn: bytes) -> None:
    """Three batches were counted, the samples of `kept` of them are there."""
    with Counted(tmp_path, 0) as counted:
        for n in range(3):
            counted.add([sample("a", n)], _batch(n))
            assert counts_in(tmp_path) == counted.counts, "a batch is on disk when add() returns"
    with (tmp_path / FILE).open("ab") as file:
        file.write(torn)
    with Counted(tmp_path, kept) as again:
        assert again.counts.get(m.JUDGED.name, 0) == [0, 1, 11, 111][kept]
        for n in range(kept, 3):
            again.add([sample("a", n)], _batch(n))
    whole = counts_of(sample("a", n) for n in range(3)) | {
        m.JUDGED.name: 111,
        m.SAMPLED_TOKENS.name: {"heldout": 222},
        m.PHASE_SECONDS.name: {"sampling": 0.75},
    }
    assert again.counts == counts_in(tmp_path) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE]


def test_where_nothing_was_counted_nothing_is_there(tmp_path: Path) -> None:
    assert counts_in(tmp_path) == {}
    assert counts_in(tmp_path / "none") == {}
