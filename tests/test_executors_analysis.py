"""Static findings: what is found, to the character; that nothing is found in right programs; that verdicts stay what they are."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.parity import cases
from contracts.errors import UserError
from contracts.records import Finding, Outcome, Problem, Program, Span, Verdict
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, PrimerConfig, RewardsConfig
from executors import analyser, tiers
from executors.analyser import Analyser
from executors.analysis import analyse
from executors.confine import Limits, Tier
from executors.judge import Executor
from executors.labels import label
from executors.pool import Pool
from executors.spans import statement_span
from executors.watch import Ended, Mark, Ran
from executors.worker import ZygoteDied
from problems import primer
from tests.hostile import ROWS
from tests.hostile.case import Case

CONFIG = ExecutorsConfig(analyse=True, cpu_seconds=0.5, memory_mb=128, output_mb=1)
ANYTHING = Problem(id="any", question="", tests=(UnitTest("", ""),))
CASES = [
    pytest.param(case, id=f"{row}-{case.name}")
    for row, rows in ROWS.items()
    for case in rows[::5]
    if row != "waits" and case.instead == case.wanted
]


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(CONFIG, RewardsConfig()) as one:
        yield one


@pytest.fixture(scope="module")
def plain() -> Iterator[Executor]:
    with Executor(CONFIG.model_copy(update={"analyse": False}), RewardsConfig()) as one:
        yield one


def found(text: str, setup: str = "") -> list[tuple[str, str]]:
    """Codes, and what of the text they are about."""
    spans = [(code, statement_span(place, text)) for code, _, place in analyse(text, setup)]
    return [(code, text[span.start_char : span.end_char]) for code, span in spans if span is not None]


FAULTS = {
    "undefined": ("def f():\n    return missing + 1", "undefined-name", "missing"),
    "undefined in an annotation": ("def f(x: List[int]): pass", "undefined-name", "List"),
    "another function's local": ("def f():\n    n = 1\ndef g():\n    return n", "undefined-name", "n"),
    "a comprehension's variable": ("x = [i for i in 'ab']\nprint(i)", "undefined-name", "i"),
    "a class's name in its method": ("class A:\n    size = 1\n    def f(self): return size", "undefined-name", "size"),
    "not what the handler is for": ("try:\n    print(mising)\nexcept EOFError: pass", "undefined-name", "mising"),
    "outside ASCII": ("# naïve 🐍\nx = 'é🐍', größe, 1", "undefined-name", "größe"),
    "behind a byte order mark": ("\ufeffprint(missing)", "undefined-name", "missing"),
    "other line breaks": ("x = 1\r\ny = 2\rprint(z)", "undefined-name", "z"),
    "unconditionally of Python 2": ("if __name__ == '__main__':\n    if raw_input(): pass", "undefined-name", "raw_input"),
    "a handler elsewhere": ("try:\n    len([])\nexcept Exception: pass\nprint(missing)", "undefined-name", "missing"),
    "a handler for others": ("def f(): return missing\ntry: f()\nexcept ValueError: pass", "undefined-name", "missing"),
    "in a finally": ("for i in 'ab':\n    try: pass\n    finally: missing; break", "undefined-name", "missing"),
    "assigned later": ("n = 0\ndef f():\n    m = n\n    n = 1", "undefined-local", "n"),
    "counted": ("n = 0\ndef f():\n    for i in 'ab':\n        n += 1", "undefined-local", "n"),
    "added in a loop": ("n = 0\ndef f(a):\n    for i in a:\n        n = n + i", "undefined-local", "n"),
    "shadowed": ("def f(a):\n    sum = sum(a)", "undefined-local", "sum"),
    "too few to format": ("x = 1\nprint('%d é %d' % (x,))", "bad-format", "'%d é %d' % (x,)"),
    "no mapping": ("'%(a)s' % (1, 2)", "bad-format", "'%(a)s' % (1, 2)"),
    "unknown letter": ("'%y' % 1", "bad-format", "'%y' % 1"),
    "incomplete": ("'100%' % 1", "bad-format", "'100%' % 1"),
    "nothing for a field": ("'{} {}'.format(1)", "bad-format", "'{} {}'.format(1)"),
    "automatic and numbered": ("'{} {1}'.format(1, 2)", "bad-format", "'{} {1}'.format(1, 2)"),
    "unclosed field": ("'{'.format(1)", "bad-format", "'{'.format(1)"),
    "a tuple as a condition": ("if (0, 'x'): pass", "always-true", "(0, 'x')"),
    "a tuple as an assertion": ("assert (0, 'x')", "always-true", "(0, 'x')"),
    "no exception": ("raise NotImplemented('x')", "not-an-exception", "NotImplemented('x')"),
    "old print": ("import sys\nprint >>sys.stderr, 'x'", "print-shift", "print"),
    "behind return": ("def f():\n    return 1\n    x = [\n  2]", "unreachable", "x = [\n  2]"),
    "behind an endless loop": ("while True:\n    for i in 'ab': break\nif 1:\n    pass", "unreachable", "if 1:\n    pass"),
    "behind both branches": ("def f(x):\n    if x: return 1\n    else: raise ValueError\n    x = 2", "unreachable", "x = 2"),
    "behind continue": ("for i in 'é':\n    continue; print('é')", "unreachable", "print('é')"),
    "too few": ("def f(a, b, c=1): pass\nf(1)", "wrong-arity", "f(1)"),
    "too many": ("def f(a, b, c=1): pass\nf(1, 2, 3, 4)", "wrong-arity", "f(1, 2, 3, 4)"),
    "unknown keyword": ("def f(a, /, *, b): pass\nf(1, b=2, c=3)", "wrong-arity", "f(1, b=2, c=3)"),
    "positional by name": ("def f(a, /): pass\nf(a=1)", "wrong-arity", "f(a=1)"),
    "twice": ("def f(a): pass\nf(1, a=2)", "wrong-arity", "f(1, a=2)"),
    "from a function": ("def f(): pass\ndef g(a):\n    return f(a)", "wrong-arity", "f(a)"),
    "built in": ("n = len('é', 1)", "wrong-arity", "len('é', 1)"),
    "built in, by name": ("sorted([2, 1], cmp=None)", "wrong-arity", "sorted([2, 1], cmp=None)"),
}


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize(("text", "code", "place"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_is_found_where_it_is(text: str, code: str, place: str) -> None:
    assert found(text) == [(code, place)]
    compile(text.removeprefix("\ufeff"), "text", "exec")


FINE = {
    "bound for the next round": "first = True\nfor i in 'ab':\n    if not first: print(last)\n    last, first = i, False",
    "bound for the next round, over a global": "n = 0\ndef f():\n    for i in 'ab':\n        if i > 'a': print(n)\n        n = i",
    "conditionally its own value": "n = 0\ndef f(a):\n    for i in a:\n        n = n if i else 1",
    "caught": "try:\n    input = raw_input\nexcept NameError:\n    pass",
    "caught by all": "try:\n    print(missing)\nexcept:\n    pass",
    "caught by a superclass": "try:\n    '{}'.format()\n    len()\nexcept (EOFError, Exception):\n    pass",
    "caught around the call": "def f(): return raw_input()\ntry: s = f()\nexcept NameError: s = input()",
    "caught around the call, not a name": "def f(a): return len(a, a)\ntry: f(1)\nexcept TypeError: pass",
    "caught around a generator": "g = (missing for _ in 'a')\ntry: list(g)\nexcept Exception: pass",
    "dropped by a return": "def f():\n    try: return missing\n    finally: return 1\nf()",
    "dropped by a break": "for i in 'ab':\n    try: len()\n    finally: break",
    "dropped after its handler": "def f():\n    try: f\n    except EOFError: missing\n    else: missing\n    finally: return 1",
    "suppressed": "import contextlib\nwith contextlib.suppress(NameError):\n    print(missing)",
    "suppressed on the way in": "import contextlib\nwith contextlib.suppress(NameError), missing: pass",
    "of another version": "import sys\nif sys.version_info < (3,):\n    range = xrange",
    "of another version, not a name": (
        "import sys\na = [1]\nif sys.version_info[0] < 3:\n    a = sorted(a, cmp); print >>sys.stderr, a\nelse:\n    a.sort()"
    ),
    "of another version, by a flag": "import sys\nPY3 = sys.version_info[0] == 3; text = str if PY3 else unicode",
    "of another version, by a return": (
        "from sys import hexversion\ndef f():\n    if hexversion >= 3 << 24: return input()\n    return raw_input()"
    ),
    "of Python 2": "old = round(0.5)\nif old:\n    range = xrange; input = raw_input",
    "of Python 2, as an expression": "text = unicode if str is bytes else str\nnumber = str is bytes and long or int",
    "of Python 2, a statement": "import sys\nif str is bytes: print >>sys.stderr, 'old'",
    "bound by an inner function": (
        "x = 0\ndef f():\n    def g():\n        nonlocal x\n        x = 1\n    g()\n    print(x)\n    x = 2\nf()"
    ),
    "bound by an evaluated text": "eval('(y := 10)')\nprint(y)",
    "never evaluated": "def f():\n    x: List[int] = []\ndef g(a: 'Tree'): pass",
    "put off": "from __future__ import annotations\ndef f(a: List[int]) -> Tree: pass",
    "bound elsewhere": "def f():\n    global n\n    n = 1\ndef g(): return n",
    "bound by a star": "from math import *\nprint(sqrt(4))",
    "bound by force": "globals()['n'] = 1\nprint(n)",
    "deleted for another round": "x = 1\nfor i in []:\n    del x\nprint(x)",
    "a tuple that may be empty": "if (*[],): pass",
    "one list": "'%s' % [1, 2]",
    "no value": "'100%%' % ()",
    "the whole mapping": "'%(a)s %s' % {'a': 1}",
    "a key with brackets": "'%(a(b))s' % {'a(b)': 1}",
    "a generator of nothing": "def f():\n    return\n    yield",
    "filler": "def f():\n    return 1\n    pass\n    'and so on'",
    "an endless loop that ends": "while True:\n    if input(): break\nprint(1)",
    "a loop's else that breaks": "while 1:\n    for i in 'a': pass\n    else: break\nprint(1)",
    "defined twice": "def f(a): pass\ndef f(): pass\nf()",
    "rebound": "def f(a): pass\nf = print\nf()",
    "rebound by a function": "def f(a): pass\ndef g():\n    global f\n    f = print\ng(); f()",
    "decorated": "from functools import partial\n@lambda f: partial(f, 1)\ndef f(a): pass\nf()",
    "of the class": "def f(a): pass\nclass A:\n    f = lambda a=1: lambda g: g\n    @f()\n    def g(self, x=f()): pass",
    "bound for the next definition": "n = 0\ndef f():\n    for i in 'ab':\n        if i > 'a': g = lambda x=n: x\n        n = 1",
    "another's argument": "def f(a): pass\ndef g(f): return f()\ng(list)",
    "stars": "def f(a, b): pass\nf(*[1, 2])\nf(**{'a': 1, 'b': 2})\nf(1, *[2])",
    "any arguments": "def f(*a, **b): pass\nf(1, 2, c=3)",
    "a built-in name rebound": "def f(len): return len()\nf(list)",
}


@pytest.mark.parametrize("text", FINE.values(), ids=FINE.keys())
def test_what_may_be_fine_is_no_finding(text: str) -> None:
    assert found(text) == []
    compile(text, "text", "exec")


def test_setup_and_prelude_provide_names(executor: Executor) -> None:
    text = "x = node(sqrt(4))"
    assert found(text) == [("undefined-name", "node"), ("undefined-name", "sqrt")]
    assert found(text, "from math import sqrt\ndef node(x): pass") == []
    assert found(text, "from graphs import *") == []
    own = executor._analyser
    assert own is not None
    assert [[one.code for one in own.findings(text, prelude)] for prelude in ("none", "apps")] == [
        ["undefined-name"] * 2,
        ["undefined-name"],
    ]
    numbers = "print(np.zeros(3), numpy)"
    assert [found.span.start_char for found in own.findings(numbers, "apps")] == [19]


def test_the_primers_solutions_have_no_findings() -> None:
    problems = primer.generate(PrimerConfig(), 0)
    texts = {solution for problem in problems.train + problems.heldout for solution in problem.solutions}
    assert len(texts) > 100
    assert {text: found for text in texts if (found := analyse(text))} == {}


TRUE_FINDINGS = {
    "MBPP/160 solution 0": [("unreachable", "return 0")],
    "MBPP/218 solution 0": [("undefined-name", "swap")],
    "MBPP/509 solution 0": [("unreachable", "return -1")],
    "MBPP/631 solution 0": [("unreachable", 'text =text.replace ("_", " ")'), ("unreachable", "return (text)")],
    "MBPP/664 solution 0": [("unreachable", "return -1")],
    "MBPP/822 solution 0": [("unreachable", "x=False"), ("unreachable", "break")],
    "MBPP/916 solution 0": [("unreachable", "return True")],
    "MBPP/928 solution 0": [("unreachable", "return change_date_format(dt)")],
    "HumanEval/150 solution 0": [("unreachable", "break")],
}
"""Statements behind a return, and a function that nobody wrote, which no test comes to."""


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_reference_solutions_have_no_false_findings(benchmark_data: Path) -> None:
    references = [case for case in cases(benchmark_data) if case.set in ("MBPP references", "HumanEval references")]
    assert len(references) > 1000
    suspects = {case.name: found(case.code, "from typing import Any, List, Optional") for case in references}
    assert {name: faults for name, faults in suspects.items() if faults} == TRUE_FINDINGS


@given(
    st.lists(st.text("é🐍a\n", max_size=3), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), max_size=3),
)
def test_static_tokens_share_a_character_with_a_finding(tokens: list[str], places: list[tuple[int, int]]) -> None:
    ends = [sum(map(len, tokens[: index + 1])) for index in range(len(tokens))]
    starts = [0, *ends[:-1]]
    program = Program(text="".join(tokens), token_ids=[1] * len(ends), logprobs=[-1.0] * len(ends), starts=starts, ends=ends)
    findings = tuple(Finding("unreachable", "", Span(1, 1, start, start + length)) for start, length in places)
    covered = {char for start, length in places for char in range(start, start + length)}
    static = label(program, Verdict(outcome=Outcome.PASS, passed=1, total=1, findings=findings), RewardsConfig()).static
    wanted = [bool(covered & set(range(start, end))) for start, end in zip(starts, ends, strict=True)]
    assert static == (wanted if findings else [])


# In the sandbox


@pytest.mark.parametrize("tier", tiers.available())
def test_every_tier_finds_the_same(tier: Tier) -> None:
    text = "\ufeffé = '%d%d' % (1,)\ndef f():\n    raise NotImplemented\n    ü = 1\nf(1)\nprint(größe, len())"
    with Executor(CONFIG, RewardsConfig(), tier) as executor:
        verdict = executor.judge(ANYTHING, text)
    assert [(one.code, text[one.span.start_char : one.span.end_char], one.span.start_line) for one in verdict.findings] == [
        ("bad-format", "'%d%d' % (1,)", 1),
        ("not-an-exception", "NotImplemented", 3),
        ("unreachable", "ü = 1", 4),
        ("wrong-arity", "f(1)", 5),
        ("undefined-name", "größe", 6),
        ("wrong-arity", "len()", 6),
    ]
    assert (verdict.outcome, verdict.error_type) == (Outcome.RUNTIME_ERROR, "TypeError")


def test_findings_are_remembered_and_come_from_judges_elsewhere() -> None:
    with Pool(CONFIG.model_copy(update={"cores": 2}), RewardsConfig()) as pool:
        first = pool.judge(ANYTHING, "if 0: missing")
        assert (first.outcome, [one.code for one in first.findings]) == (Outcome.PASS, ["undefined-name"])
        assert pool.judge(ANYTHING, "if 0: missing") is first
        assert pool.judge(ANYTHING, "if 0: missing(").findings == ()


MANY = "\n".join(f"name_{n}" for n in range(10_000))
HOSTILE = {
    "deep": "x = " + "[" * 150 + "]" * 150,
    "deep blocks": "\n".join(f"{' ' * n}if {n}:" for n in range(99)) + f"\n{' ' * 99}missing",
    "a long sum": "x = " + " + ".join(["1"] * 900) + "\nmissing",
    "a longer sum": "x = " + " + ".join(["y"] * 50_000),
    "brackets": "(" * 100_000 + ")" * 100_000,
    "a big number": f"x = {'9' * 4000}\nx = 0x{'f' * 500_000}\nmissing",
    "a null byte": "x = 1\0\nmissing",
    "a lone surrogate": "x = '\ud800'",
    "a long line": "x = '" + "é" * 1_000_000 + "'; missing",
    "many names": MANY,
    "many names in a try": "try:\n  " + MANY.replace("\n", "\n  ") + "\nfinally: pass",
    "a long name": "x" * 100_000,
    "elifs": "x = 0\nif x: pass\n" + "elif x: pass\n" * 2000,
    "a format of everything": "'" + "%" * 100_001 + "' % 1",
    "huge format": "'{:{:{}}}'.format(1); '%999999999999d' % (1, 2)",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_texts_get_the_verdict_that_they_get_without(executor: Executor, plain: Executor, text: str) -> None:
    verdict = executor.judge(ANYTHING, text)
    assert same(verdict, plain.judge(ANYTHING, text))
    assert len(verdict.findings) <= analyser.MOST_FINDINGS
    assert all(len(one.message) <= analyser.MESSAGE for one in verdict.findings)
    assert all(0 <= one.span.start_char < one.span.end_char <= len(text) for one in verdict.findings)
    assert executor.judge(ANYTHING, "missing").findings[0].code == "undefined-name"


def test_the_first_findings_count(executor: Executor) -> None:
    verdict = executor.judge(ANYTHING, MANY)
    assert [one.span.start_line for one in verdict.findings] == list(range(1, 101))


@pytest.mark.parametrize("case", CASES)
def test_hostile_programs_get_the_verdict_that_they_get_without(executor: Executor, plain: Executor, case: Case) -> None:
    assert same(executor.judge(case.problem, case.text), plain.judge(case.problem, case.text))


def same(one: Verdict, other: Verdict) -> bool:
    """But for the time and what was looked for."""
    kept = [msgspec.structs.replace(verdict, findings=(), seconds=0.0, tests=()) for verdict in (one, other)]
    return kept[0] == kept[1] and [test.outcome for test in one.tests] == [test.outcome for test in other.tests]


def test_a_lost_zygote_is_replaced_and_costs_no_verdict(executor: Executor) -> None:
    own = executor._analyser
    assert own is not None
    executor.judge(ANYTHING, "missing")
    os.killpg(own.workers["none"].pid, signal.SIGKILL)
    before = executor.restarts
    lost = executor.judge(ANYTHING, "missing")
    assert (lost.error_type, lost.findings) == ("NameError", ())
    assert executor.judge(ANYTHING, "missing").findings != ()
    assert executor.restarts == before + 1


def test_zygotes_that_never_start_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ZygoteDied("no memory")

    monkeypatch.setattr(analyser, "Worker", refuse)
    with Executor(CONFIG, RewardsConfig()) as one:
        assert [one.judge(ANYTHING, "missing").findings for _ in range(2)] == [(), ()]
        for _ in range(2):
            with pytest.raises(UserError, match=r"lost 3 zygotes in a row: .*no memory.*analyse=false"):
                one.judge(ANYTHING, "missing")


def test_zygotes_lost_now_and_then_are_not_told_of(executor: Executor) -> None:
    own = executor._analyser
    assert own is not None
    for _ in range(3):
        assert own.findings("missing", "none") != ()
        os.killpg(own.workers["none"].pid, signal.SIGKILL)
        assert own.findings("missing", "none") == ()


def test_analysis_without_pyflakes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install pyflakes"):
        Executor(CONFIG, RewardsConfig(), Tier.WEAK)


FINDING = '["unreachable", "m", [[1, 0], [1, 2]]]'
REPORTS = {
    FINDING: 1,
    '["unreachable", "m", [[1, 0], [1, 9]]]': 0,
    '["unreachable", "m", [[9, 0], [9, 1]]]': 0,
    '["unreachable", "m", [[1, 1], [1, 1]]]': 0,
    '["unreachable", "m", [[1, -1], [1, 1]]]': 0,
    '["unreachable", "m", [[1, 0], [1, 99999999999999999999999]]]': 0,
    f'["unreachable", "{"m" * 201}", [[1, 0], [1, 2]]]': 0,
    '["made-up", "m", [[1, 0], [1, 2]]]': 0,
    '["unreachable", "m", [[1, 0], [1, 2]], 1]': 0,
    '["unreachable", 1, [[1, 0], [1, 2]]]': 0,
    ", ".join([FINDING] * 101): 0,
    "not JSON": 0,
}


@pytest.mark.parametrize(("findings", "kept"), REPORTS.items())
def test_reports_are_checked(monkeypatch: pytest.MonkeyPatch, findings: str, kept: int) -> None:
    report = f'{{"findings": [{findings}]}}\n'.encode()
    own = Analyser(CONFIG, Tier.WEAK, Limits(8 << 30))
    monkeypatch.setattr(analyser, "Worker", lambda *_, **__: None)
    monkeypatch.setattr(analyser, "Child", lambda *_: FakeChild(report))
    assert len(own.findings("abc", "none")) == kept


class FakeChild:
    """Has made one report."""

    def __init__(self, report: bytes) -> None:
        self._report = report

    def wait(self) -> Ran:
        return Ran(Ended.REPORTED, [self._report], b"", 0.0, Mark(0.0, 0.0, 0.0))

    def close(self) -> None:
        pass
