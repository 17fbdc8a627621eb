"""Where errors are: the text that a verdict blames, found by running programs for real."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import Category, Outcome, Problem, Verdict
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.judge import Executor
from executors.place import enclosing_statement
from executors.spans import ErrorReport, line_starts, locate_error, statement_span

ANY = Problem(id="any", question="", tests=(UnitTest("", "never"),))


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(ExecutorsConfig(cpu_seconds=5), RewardsConfig()) as one:
        yield one


@pytest.fixture(scope="module")
def reference() -> Iterator[Executor]:
    with Executor(ExecutorsConfig(cpu_seconds=5), RewardsConfig(categories="reference")) as one:
        yield one


def blamed(verdict: Verdict, text: str) -> str:
    """The text of the verdict's span; its lines must agree with its characters."""
    assert verdict.category is Category.LINE
    assert verdict.span is not None
    span = verdict.span
    assert text.count("\n", 0, span.start_char) + 1 == span.start_line
    assert text.count("\n", 0, max(span.start_char, span.end_char - 1)) + 1 == span.end_line
    return text[span.start_char : span.end_char]


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("x = 1\ny = x / 0\nz = 2\n", "y = x / 0"),
        ("x = 1; y = x / 0; z = 2\n", "y = x / 0"),
        ("x = 0\nx = 0\nx = 1 // x\nx = 1 // x\n", "x = 1 // x"),
        ("print(\n    1,\n    2 // 0,\n)\n", "print(\n    1,\n    2 // 0,\n)"),
        ("x = [\n    1 // i\n    for i in (1, 0)\n]\n", "x = [\n    1 // i\n    for i in (1, 0)\n]"),
        ("if 1 // 0:\n    pass\n", "if 1 // 0:"),
        ("if 0:\n    pass\nelif 1 // 0:\n    pass\n", "elif 1 // 0:"),
        ("x = 5\nwhile (x //\n       0):  # why\n    pass\n", "while (x //\n       0):"),
        ("for i in range(1 // 0):\n    pass\n", "for i in range(1 // 0):"),
        ("for i, j in [1]:\n    pass\n", "for i, j in [1]:"),
        ("with open(1 // 0) as file:\n    pass\n", "with open(1 // 0) as file:"),
        ("with 1, 2: pass\n", "with 1, 2:"),
        ("if (1  # a: b\n    // 0  # c: d\n):  # e: f\n    pass\n", "if (1  # a: b\n    // 0  # c: d\n):"),
        ("def f(x=1 // 0):\n    pass\n", "def f(x=1 // 0):"),
        ("@int\ndef f():\n    pass\n", "@int"),
        ("@(1 // 0)\nclass A:\n    pass\n", "@(1 // 0)"),
        ("@(\n    1 // 0\n)\nclass A:\n    pass\n", "@(\n    1 // 0\n)"),
        ("class A(int, str): x = 1\n", "class A(int, str):"),
        ("class A(missing):\n    x = 1\n", "class A(missing):"),
        ("class A:\n    x = missing\n", "x = missing"),
        ("match 1 // 0:\n    case 1:\n        pass\n", "match 1 // 0:"),
        ("match 1:\n    case x if x // 0:\n        pass\n", "case x if x // 0:"),
        ("try:\n    missing\nexcept absent:\n    pass\n", "except absent:"),
        ("try:\n    1 // 0\nfinally:\n    pass\n", "1 // 0"),
        ("try:\n    1 // 0\nexcept Exception as e:\n    raise ValueError from e\n", "raise ValueError from e"),
        ("def f():\n    return 1 // 0\n\ndef g():\n    return f()\n\ng()\n", "return 1 // 0"),
        ("def f(a):\n    return a\n\nf(1, 2)\n", "f(1, 2)"),
        ("f = lambda: 1 // 0\nx = 1\nf()\n", "f = lambda: 1 // 0"),
        ("import json\nx = json.loads('{')\n", "x = json.loads('{')"),
        ("exec('x = 1\\ny = 1 // 0')\n", "exec('x = 1\\ny = 1 // 0')"),
        ("été = 'ça'; x = 1 // 0; y = 2\n", "x = 1 // 0"),
        ("print('😀😀', 1 // 0)\n", "print('😀😀', 1 // 0)"),
        ("\ufeffx = 1 // 0; y = 1\n", "x = 1 // 0"),
        ("x = 1\r\ny = 1 // 0\r\n", "y = 1 // 0"),
        ("s = '\\u2028'; t = '\u2028'\ny = 1 // 0\n", "y = 1 // 0"),
        ("x = 1\n\x0cy = 1 // 0\n", "y = 1 // 0"),
        ("raise ExceptionGroup('g', [ValueError('RuntimeError')])\n", "raise ExceptionGroup('g', [ValueError('RuntimeError')])"),
        ("import math\ndef f(x):\n    assert x > 0, 'line 1'\n    return x\nf(math.pi)\nf(-1)\n", "assert x > 0, 'line 1'"),
        ("import nothing_of_that_name\n", "import nothing_of_that_name"),
        ("def f():\n    x = int(input())\n    return x\nprint(f())\n", "x = int(input())"),
        ("return_ = 1\ndef g():\n    yield 1 // 0\nprint(list(g()))\n", "yield 1 // 0"),
    ],
)
def test_the_statement_that_raised(executor: Executor, text: str, statement: str) -> None:
    verdict = executor.judge(ANY, text)
    assert verdict.outcome is Outcome.RUNTIME_ERROR
    assert blamed(verdict, text) == statement


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("x = 1\ny = = 2\nz = 3\n", "y = = 2\n"),
        ("x = 1\nif x\n    print(x)\n", "if x\n"),
        ("x = 'abc\ny = 1\n", "x = 'abc\n"),
        ("x = 'abc\n", "x = 'abc\n"),
        ("x = )\n", "x = )\n"),
        ("x = 5 5", "x = 5 5"),
        ("x = f'{}'", "x = f'{}'"),
        ("foo(1, 2\nx = 3\ny = 4\n", "foo(1, 2\n"),
        ("y = 1\n  z = 2\n", "  z = 2\n"),
        ("def f():\n    if 1:\n\nprint(1)\n", "print(1)\n"),
        ("return 3\n", "return 3\n"),
        ("é = 'ß' $\n", "é = 'ß' $\n"),
        ("x = 1\r\ny = = 2\r\n", "y = = 2\r\n"),
        ("x = (1 +\n     2 3 4)\ny = 1\n", "x = (1 +\n     2 3 4)\n"),
    ],
)
def test_the_lines_of_a_syntax_error(executor: Executor, text: str, lines: str) -> None:
    verdict = executor.judge(ANY, text)
    assert verdict.outcome is Outcome.SYNTAX_ERROR
    assert blamed(verdict, text) == lines


CUT_OFF = ["print(foo(1,", "x = ", "if x:", "if x:\n", "for i in range(3)", "try:\n    x = 1\n", "x = 'abc", "x = '''abc\n\nd"]
CUT_OFF += [
    "x = {1: 2, 'a",
    "if a ==",
    "x = 1 +\\",
    "@deco",
    "class A:",
    "def f(\n",
    "while True:\n    # and so on\n",
    "x = (1\n",
]


@pytest.mark.parametrize("text", CUT_OFF)
def test_a_text_cut_off_at_its_end(executor: Executor, reference: Executor, text: str) -> None:
    for verdict in (executor.judge(ANY, text), reference.judge(ANY, text)):
        assert (verdict.outcome, verdict.category, verdict.span) == (Outcome.SYNTAX_ERROR, Category.GLOBAL, None)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("if 1:\n\tx = 1\n        y = 2\n", "        y = 2\n"),
        ("if 1:\n    x = 1\n  y = 2\n", "  y = 2\n"),
        ("def f(a, a):\n    pass\n", "def f(a, a):\n"),
        ("def f():\n    from os import *\n", "    from os import *\n"),
    ],
)
def test_what_the_reference_ignores(executor: Executor, reference: Executor, text: str, lines: str) -> None:
    assert blamed(executor.judge(ANY, text), text) == lines
    verdict = reference.judge(ANY, text)
    assert (verdict.outcome, verdict.category, verdict.span) == (Outcome.SYNTAX_ERROR, Category.IGNORE, None)


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("exit(1)", Category.IGNORE),
        ("import os\nos.abort()", Category.IGNORE),
        ("def f(): f()\nf()", Category.GLOBAL),
        ("x = [0] * 10**13", Category.GLOBAL),
        ("raise RuntimeError('line 7')", Category.LINE),
        ("x = = 1\n", Category.LINE),
    ],
)
def test_categories_of_the_reference(reference: Executor, text: str, category: Category) -> None:
    assert reference.judge(ANY, text).category is category


ROWS = [
    ("if x:\n    print((1,", None, "syntax_error", None, "global", "global"),
    ("x = 1\0", None, "syntax_error", None, "global", "global"),
    ("x = '\ud800'", None, "syntax_error", None, "global", "global"),
    ("x = = 1\n", None, "syntax_error", None, "line", "line"),
    ("if 1:\n\tx = 1\n        y = 2\n", None, "syntax_error", None, "line", "ignore"),
    ("if 1:\n    x = 1\n  y = 2\n", None, "syntax_error", None, "line", "ignore"),
    ("def f(a, a):\n    pass\n", None, "syntax_error", None, "line", "ignore"),
    ("def f():\n    from os import *\n", None, "syntax_error", None, "line", "ignore"),
    ("import json\njson.loads('{')\n", None, "runtime_error", "exception", "line", "line"),
    ("def f(): f()\nf()", None, "runtime_error", "exception", "global", "global"),
    ("while True: pass", None, "runtime_error", "timeout", "global", "global"),
    ("x = [0] * 10**13", None, "runtime_error", "memory", "global", "global"),
    ("while True: print('x' * 10**6)", None, "runtime_error", "output_limit", "global", "global"),
    ("import socket\nsocket.socket()", None, "runtime_error", "disallowed", "global", "global"),
    ("def g(x): return x", "f", "runtime_error", "exception", "global", "global"),
    ("def f(x, y): return x", "f", "runtime_error", "exception", "global", "global"),
    ("def f(x): return 1 // 0", "f", "runtime_error", "exception", "line", "line"),
    ("exit(3)", None, "runtime_error", "exit", "global", "ignore"),
    ("def f(x): exit()", "f", "runtime_error", "exit", "global", "ignore"),
    ("import os\nos.abort()", None, "runtime_error", "exit", "global", "ignore"),
    ("import sys\nsys.stdout.close()\nsys.stdin = None\nraise SystemExit(2)", None, "runtime_error", "exit", "global", "ignore"),
    ("print(1)", None, "failure", None, None, None),
    ("print('never')", None, "pass", None, None, None),
]
"""Text, function, outcome, detail, category in strict and in reference mode."""


@pytest.mark.parametrize("mode", ["strict", "reference"])
def test_every_row_of_the_mapping(mode: Literal["strict", "reference"]) -> None:
    with Executor(ExecutorsConfig(cpu_seconds=0.5), RewardsConfig(categories=mode)) as executor:
        for text, fn_name, outcome, detail, *categories in ROWS:
            test = UnitTest([1], 2) if fn_name else UnitTest("", "never")
            verdict = executor.judge(Problem(id="any", question="", fn_name=fn_name, tests=(test,)), text)
            found = verdict.outcome, verdict.detail, verdict.category
            assert found == (outcome, detail, categories[mode == "reference"]), text
            assert (verdict.span is not None) == (verdict.category is Category.LINE)


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("x = 5 + 1 // 0 * 2\n", "1 // 0"),
        ("print(\n    'é',\n    1 //\n    0,\n)\n", "1 //\n    0"),
        ("x = [1, 2]\nfor i in x[5]:\n    pass\n", "x[5]"),
        ("x = 5\nfor i in x: pass\n", "x"),
        ("x = int('é'); y = 1\n", "int('é')"),
        ("raise ValueError('x')\n", None),
        ("1 // 0\n", None),
        ("x = 1\r\nif x\r\n    y = 2\r\n", "\r\n"),
        ("é = 'ß' $ 1\n", "$"),
        ("é = 'ß'; return 3\n", "return 3"),
        ("x = 1\n  y = 2\n", None),
        ("z = 1\nx = 'é', f'{a b}'\n", None),
    ],
)
def test_the_expression_in_the_statement(executor: Executor, text: str, expression: str | None) -> None:
    verdict = executor.judge(ANY, text)
    assert verdict.category is Category.LINE
    found = verdict.expression
    assert (text[found.start_char : found.end_char] if found else None) == expression


TEXT = st.text(st.sampled_from("ab\n\ré😀\ufeff "), max_size=12)
NUMBER = st.integers(-1, 20) | st.just(2**63)


@given(TEXT, NUMBER, NUMBER, NUMBER, NUMBER)
def test_places_from_the_sandbox_are_within_the_text_or_dropped(text: str, a: int, b: int, c: int, d: int) -> None:
    span = statement_span(((a, b), (c, d)), text)
    if span is None:
        located = locate_error(ErrorReport("raised", place=((a, b), (c, d)), expression=((1, 0), (1, 1))), text, "strict")
        assert located == (Category.GLOBAL, None, None)
    else:
        assert 0 <= span.start_char < span.end_char <= len(text)
        assert 1 <= span.start_line <= span.end_line <= len(line_starts(text)) - 1


@given(TEXT, NUMBER, NUMBER, NUMBER, NUMBER)
def test_expressions_are_narrower_than_their_statement_or_dropped(text: str, a: int, b: int, c: int, d: int) -> None:
    report = ErrorReport("raised", place=((1, 0), (2, 1)), expression=((a, b), (c, d)))
    located = locate_error(report, text, "strict")
    if located.expression is not None:
        assert located.span is not None
        outer, inner = located.span, located.expression
        assert outer.start_char <= inner.start_char < inner.end_char <= outer.end_char
        assert inner.end_char - inner.start_char < outer.end_char - outer.start_char


@given(TEXT)
def test_lines_are_pythons(text: str) -> None:
    starts = line_starts(text)
    assert starts[0] == 0
    assert starts[-1] == len(text)
    lines = [text[start:end] for start, end in pairwise(starts)]
    assert "".join(lines) == text
    assert lines == (text.splitlines(keepends=True) or [""])


def test_every_statement_encloses_itself() -> None:
    with open(ast.__file__, encoding="utf-8") as file:
        text = file.read()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Return | ast.Assign | ast.Raise):
            region = (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
            assert enclosing_statement(tree, text, region) == region
            break
