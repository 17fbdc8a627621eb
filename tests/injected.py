"""Programs with one known error at a known place: reference solutions into which an error was put.

The place is known from the injection: marks («» around the statement, ‹› around the expression) travel with the text and are
taken out last. Nothing here asks the code under test.
"""

from __future__ import annotations

import ast
import builtins
import io
import json
import re
import sys
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, NamedTuple

import msgspec

from contracts.records import Category, Outcome, Problem, Span, Test
from contracts.sections import PrimerConfig
from problems.primer import generate
from problems.primer.trial import answer, compiled
from tests.injected_errors import LAYOUT, MALFORMED, RAISED

EXPRESSIONS = {
    "NameError": "‹missing_name›",
    "ZeroDivisionError": "(‹1 // 0›)",
    "IndexError": "‹[][3]›",
    "KeyError": "‹{}['é']›",
    "AttributeError": "‹''.nothing›",
    "ValueError": "‹int('x')›",
    "TypeError": "(‹'' + 1›)",
    "StopIteration": "‹next(iter(()))›",
    "OverflowError": "(‹1e300 ** 2›)",
    "UnicodeEncodeError": "‹'é'.encode('ascii')›",
    "JSONDecodeError": "‹__import__('json').loads('{')›",
}
"""Name of the exception → an expression that raises it."""
_UNSUITABLE = re.compile("[«»‹›\x0c\r]|exit|quit|yield|__future__|import \\*")
_OPEN_ENDED = {
    *"([{=+-%<>",
    "==",
    "//",
    "+=",
    "-=",
    "if",
    "elif",
    "else",
    "while",
    "for",
    "in",
    "and",
    "or",
    "not",
    "import",
    "def",
}
"""Tokens after which a text cannot end."""


class Host(NamedTuple):
    """A reference solution, and its statements that surely run before anything can go wrong, in the order of the text."""

    problem: Problem
    """With one test."""
    text: str
    reached: list[ast.stmt]
    """None stands behind another on its line."""


class Case(NamedTuple):
    """A program, and what a verdict must say of it."""

    name: str
    problem: Problem
    text: str
    outcome: Outcome
    error_type: str
    category: Category
    span: Span | None = None
    expression: Span | None = None


def cases(hosts: list[Host], seed: int) -> list[Case]:
    """Every error in a host each; a replaced name in each host; each host cut off. No two are alike."""
    rng = Random(seed)
    ring, number = cycle(hosts), count()
    made: dict[str, Case] = {}

    def add(kind: str, host: Host, marked: str, outcome: Outcome, error: str) -> None:
        name = f"{next(number)} {kind} {error} in {host.problem.id}"
        case = _case(name, host, _carried(marked, rng), outcome, error)
        made.setdefault(case.text, case)

    def insert(kind: str, texts: dict[str, list[str]], outcome: Outcome) -> None:
        for error, text in ((error, text) for error, several in texts.items() for text in several):
            host = next(ring)
            add(kind, host, _inserted(host, text, rng), outcome, error)

    insert("raised", RAISED, Outcome.RUNTIME_ERROR)
    insert("malformed", MALFORMED, Outcome.SYNTAX_ERROR)
    insert("layout", LAYOUT, Outcome.SYNTAX_ERROR)
    for host, error in zip(hosts, cycle(EXPRESSIONS), strict=False):
        replaced, cut = _replaced(host, EXPRESSIONS[error], rng), _cut(host, rng)
        if replaced is not None:
            add("replaced", host, replaced, Outcome.RUNTIME_ERROR, error)
        if cut is not None:
            add("cut", host, cut, Outcome.SYNTAX_ERROR, "SyntaxError")
    return list(made.values())


def primer_hosts(number: int, seed: int) -> list[Host]:
    """Solutions of primer problems, with the statements that the last test reaches."""
    hosts = []
    for full in generate(PrimerConfig(train=number, heldout=1), seed).train:
        problem, text = msgspec.structs.replace(full, tests=full.tests[-1:], hidden_tests=()), full.solutions[0]
        lines = _traced(text, problem)
        statements = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt) and _first(node) in lines]
        hosts.append(_host(problem, text, statements))
    return hosts


def apps_hosts(folder: Path) -> Iterator[Host]:
    """The first solution of each problem: its module's statements, or the first one of the function that is called."""
    for path in sorted(folder.iterdir()):
        tests = json.loads((path / "input_output.json").read_text())
        name = tests.get("fn_name")
        test = Test(tests["inputs"][0], tests["outputs"][0])
        problem = Problem(id=f"apps-{path.name}", question="", fn_name=name, tests=(test,))
        yield from _plain(problem, json.loads((path / "solutions.json").read_text())[0])


def mbpp_hosts(file: Path) -> Iterator[Host]:
    """Every solution, as a program that reads nothing."""
    for row in map(json.loads, file.read_text().splitlines()):
        problem = Problem(id=f"mbpp-{row['task_id']}", question="", tests=(Test("", "never"),))
        yield from _plain(problem, row["code"])


def _plain(problem: Problem, text: str) -> Iterator[Host]:
    """No host where a text is not of this Python, or something else might be raised or end it first."""
    text = text.replace("\r\n", "\n")
    try:
        compile(text, "<host>", "exec")
    except SyntaxError:
        return
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    own = {
        getattr(node, "id", None) or getattr(node, "name", None) or getattr(node, "arg", None) for node in nodes if _binds(node)
    }
    if _UNSUITABLE.search(text) or own & set(dir(builtins)):
        return
    body = tree.body
    if problem.fn_name:
        body = [node.body[0] for node in nodes if isinstance(node, ast.FunctionDef) and node.name == problem.fn_name]
    host = _host(problem, text, body)
    if host.reached and (not problem.fn_name or len(body) == 1):
        yield host


def _binds(node: ast.AST) -> bool:
    is_stored = isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    return is_stored or isinstance(node, ast.FunctionDef | ast.ClassDef | ast.arg)


def _host(problem: Problem, text: str, statements: list[ast.stmt]) -> Host:
    lines = text.split("\n")
    alone = [node for node in statements if not lines[_first(node) - 1].encode()[: node.col_offset].strip()]
    return Host(problem, text, sorted(alone, key=_first))


def _first(node: ast.stmt) -> int:
    """The first line, decorators counted."""
    starts = [node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]
    return int(min(starts))


def _traced(text: str, problem: Problem) -> set[int]:
    """The lines that the problem's last test reaches."""
    code = compiled(text)
    lines: set[int] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename == code.co_filename and event == "line":
            lines.add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        answer(code, problem.fn_name, problem.tests[-1].input)
    finally:
        sys.settrace(before)
    return lines


def _inserted(host: Host, marked: str, rng: Random) -> str:
    """The text before one of the host's statements, indented as that is."""
    lines = host.text.split("\n")
    at = _first(rng.choice(host.reached)) - 1
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    indented = re.sub("^([›»]*)(?=.)", lambda found: found[1] + indent, marked, flags=re.MULTILINE)
    return "\n".join([*lines[:at], indented, *lines[at:]])


def _replaced(host: Host, expression: str, rng: Random) -> str | None:
    """A name that a statement surely evaluates becomes the expression."""
    names = [(statement, name) for statement in host.reached for name in _evaluated(statement)]
    if not names:
        return None
    statement, name = rng.choice(names)
    start, end = _region(host.text, statement, name)
    first, last = _offset(host.text, name.lineno, name.col_offset), _offset(host.text, name.lineno, name.end_col_offset or 0)
    assert host.text[first:last] == name.id
    is_simple = not hasattr(statement, "body") and not isinstance(statement, ast.Match)
    before = "é = 'ça😀'; " if is_simple and rng.random() < 0.4 else ""
    inside = host.text[start:first] + expression + host.text[last:end]
    return f"{host.text[:start]}{before}«{inside}»{host.text[end:]}"


def _evaluated(node: ast.AST) -> Iterator[ast.Name]:
    """Names that are read whenever the node is run, in nodes that the statement itself evaluates."""
    match node:
        case ast.Name(ctx=ast.Load()):
            yield node
        case ast.Lambda() | ast.JoinedStr() | ast.Global() | ast.Delete() | ast.Raise() | ast.arguments() | ast.AnnAssign():
            return
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _evaluated(node.generators[0].iter)
        case ast.IfExp() | ast.Assert():
            yield from _evaluated(node.test)
        case ast.BoolOp():
            yield from _evaluated(node.values[0])
        case ast.Compare():
            yield from _evaluated(node.left)
            yield from _evaluated(node.comparators[0])
        case ast.With():
            yield from _evaluated(node.items[0].context_expr)
        case ast.FunctionDef():
            for part in [*node.decorator_list, *node.args.defaults]:
                yield from _evaluated(part)
        case ast.Try() | ast.AsyncFunctionDef():
            return
        case _:
            for name, value in ast.iter_fields(node):
                if name not in ("body", "orelse", "cases"):
                    for part in value if isinstance(value, list) else [value]:
                        if isinstance(part, ast.AST):
                            yield from _evaluated(part)


def _region(text: str, statement: ast.stmt, name: ast.Name) -> tuple[int, int]:
    """Characters of the statement, of a compound one's header, or of the decorator that the name is in."""
    whole = _offset(text, statement.lineno, statement.col_offset), _offset(text, *_end(statement))
    tokens = [(token.string, _at(text, token.start), _at(text, token.end), token.type) for token in _tokens(text)]
    at = _offset(text, name.lineno, name.col_offset)
    if at < whole[0]:
        start = max(first for string, first, _, _ in tokens if string == "@" and first < at)
        newline = min(first for _, first, _, kind in tokens if kind == tokenize.NEWLINE and first > at)
        return start, max(last for _, first, last, kind in tokens if first < newline and kind != tokenize.COMMENT)
    body = statement.cases[0].pattern if isinstance(statement, ast.Match) else next(iter(getattr(statement, "body", [])), None)
    if body is None:
        return whole
    limit = _offset(text, body.lineno, body.col_offset)
    depth, colon = 0, whole[0]
    for string, first, last, kind in tokens:
        if whole[0] <= first < limit and kind == tokenize.OP:
            depth += (string in "([{") - (string in ")]}")
            colon = last if string == ":" and depth == 0 else colon
    return whole[0], colon


def _cut(host: Host, rng: Random) -> str | None:
    """The host's beginning, up to where a text cannot end: behind an operator or a keyword, or within a string."""
    ends = []
    for token in _tokens(host.text):
        if token.type == tokenize.STRING and len(token.string) > 2:
            ends.append(_at(host.text, token.end) - 1)
        elif token.string in _OPEN_ENDED:
            ends.append(_at(host.text, token.end))
    return host.text[: rng.choice(ends)] if ends else None


def _carried(marked: str, rng: Random) -> str:
    """The text as it is, or with other line breaks, a byte order mark, a comment above, or without a last break."""
    match rng.randrange(10):
        case 0 | 1:
            return marked.replace("\n", "\r\n")
        case 2:
            return marked.replace("\n", "\r")
        case 3:
            return "\ufeff" + marked
        case 4:
            return "# ça va 😀\n\n" + marked
        case 5:
            return marked.rstrip("\n")
    return marked


def _case(name: str, host: Host, marked: str, outcome: Outcome, error: str) -> Case:
    text, marks = "", {}
    for piece in re.split("([«»‹›])", marked):
        if piece and piece in "«»‹›":
            marks[piece] = len(text)
        else:
            text += piece
    if "«" not in marks:
        return Case(name, host.problem, text, outcome, error, Category.GLOBAL)
    starts = [0, *(found.end() for found in re.finditer("\r\n|\r|\n", text))]

    def span(start: int, end: int) -> Span:
        return Span(bisect_right(starts, start), bisect_right(starts, end - 1), start, end)

    blamed = span(marks["«"], marks["»"])
    if outcome is Outcome.SYNTAX_ERROR:
        blamed = span(starts[blamed.start_line - 1], [*starts, len(text)][blamed.end_line])
    expression = span(marks["‹"], marks["›"]) if "‹" in marks else None
    return Case(name, host.problem, text, outcome, error, Category.LINE, blamed, expression)


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text).readline))


def _at(text: str, position: tuple[int, int]) -> int:
    """A line and a column of characters as one offset."""
    return sum(len(line) + 1 for line in text.split("\n")[: position[0] - 1]) + position[1]


def _offset(text: str, line: int, column: int) -> int:
    """A line and a column of UTF-8 bytes as an offset in characters."""
    return _at(text, (line, len(text.split("\n")[line - 1].encode()[:column].decode())))


def _end(node: ast.stmt) -> tuple[int, int]:
    return node.end_lineno or 0, node.end_col_offset or 0
