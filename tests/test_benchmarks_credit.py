"""The benchmark of token credit: its shares on a smaller set, and one worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.credit import blamed_share, measure
from contracts.records import Category, Outcome, Program, Span
from tests.injected import Case
from tests.tiny_models import problem

pytestmark = pytest.mark.filterwarnings("ignore::SyntaxWarning")  # of the hosts


def test_moved_credit_falls_on_the_faulty_statement() -> None:
    shares, located, made = measure(hosts=20)
    assert located == made > 100
    for kind in ("rltf", "rloo", "grpo"):
        assert shares[kind, "none"] < shares[kind, "add"] < 0.6
        assert shares[kind, "move"] > 0.99
        assert shares[kind, "move, α ≤ 8"] > 0.9


def test_a_share_by_hand() -> None:
    program = Program(text="abcdef", token_ids=[1, 2, 3, 9], logprobs=[], starts=[0, 2, 3, 6], ends=[2, 3, 6, 6])
    span = Span(start_line=1, end_line=1, start_char=1, end_char=3)
    case = Case("c", problem(), program.text, Outcome.RUNTIME_ERROR, "NameError", Category.LINE, span)
    assert blamed_share([-3.0, -1.0, -4.0, -2.0], program, case) == pytest.approx(0.4)
    assert blamed_share([-3.0, 1.0, -1.0, 0.0], program, case) == pytest.approx(0.75)
