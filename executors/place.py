"""Where an error is, found on the sandboxed side: what the compiler points at, and the statement and expression that raised.

Everything here works on the program's own text and on its traceback, beside the program; what comes out are integers that the
judge checks. Lines count from 1, columns are UTF-8 bytes from 0, as in `ast`. Standard library only.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from types import TracebackType

from executors.own import BUILTINS

__builtins__ = BUILTINS

Position = tuple[int, int]
"""Line, column."""
Region = tuple[Position, Position]

_ALLOW_INCOMPLETE_INPUT = 0x4000
_DONT_IMPLY_DEDENT = 0x200


def cut_off(text: str, filename: str, error: SyntaxError) -> bool:
    """Is the text a beginning that ends too early: in a bracket, a string, a block or half a statement?

    The parser says so for brackets, triple-quoted strings and blocks. The others are at the end of a last line that has no
    line break: what is wrong is that nothing follows.
    """
    try:
        compile(text, filename, "exec", _ALLOW_INCOMPLETE_INPUT | _DONT_IMPLY_DEDENT, dont_inherit=True)
    except SyntaxError as err:
        if err.msg == "incomplete input":
            return True
    lines = _lines(text)
    if not lines[-1].strip() or error.lineno != len(lines) or _is_elsewhere(error):
        return False
    return "unterminated" in error.msg or not lines[-1][max((error.offset or 1) - 1, 0) :].strip()


def syntax_place(error: SyntaxError, text: str) -> Region | None:
    """What the compiler points at within its line or lines; None where it says nothing narrower, or nothing of this text.

    Columns are characters where the parser failed and bytes where a later pass did. A start without an end is one character,
    as tracebacks show it. Of an indentation it says too little.
    """
    line, start, end_line, end = error.lineno, error.offset, error.end_lineno, error.end_offset
    lines = _lines(text)
    if line is None or start is None or end_line is None or end is None or not 1 <= line <= end_line <= len(lines) or start < 1:
        return None
    if end < 0 or isinstance(error, TabError) or _is_elsewhere(error):
        return None
    if not lines[line - 1].startswith((error.text or "").split("\n")[0]):
        return None
    if (end_line, end) <= (line, start):
        end_line, end = line, start + 1
    if _parses(text):
        return (line, start - 1), (end_line, end - 1)
    return (line, _column(lines, line, start)), (end_line, _column(lines, end_line, end))


def _is_elsewhere(error: SyntaxError) -> bool:
    """Before Python 3.12 an f-string's expression is a text of its own, and what is wrong with it has that text's columns."""
    return sys.version_info < (3, 12) and error.msg.startswith("f-string")


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _column(lines: list[str], line: int, offset: int) -> int:
    """From characters from 1, the line's break counted, to bytes from 0."""
    return len(f"{lines[line - 1]}\n"[: offset - 1].encode("utf-8", "surrogatepass"))


def innermost_own(traceback: TracebackType | None, filename: str) -> TracebackType | None:
    """The traceback at the program's innermost frame; None where no frame is its own.

    Frames of libraries and of text that the program itself exec'd have other file names: the outer own line is blamed.
    """
    own = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            own = traceback
        traceback = traceback.tb_next
    return own


def raising_place(own: TracebackType, text: str) -> tuple[Region, Region | None]:
    """The statement of a frame and, where it is narrower, the expression in it that raised (PEP 657)."""
    positions = list(own.tb_frame.f_code.co_positions())
    line, end_line, column, end_column = positions[own.tb_lasti // 2] if own.tb_lasti >= 0 else (None,) * 4
    if line is None or end_line is None or column is None or end_column is None:
        line = end_line = line or own.tb_lineno
        column, end_column = 0, 0
    tree = ast.parse(text)
    place = _narrowed(tree, ((line, column), (end_line, end_column)))
    statement = enclosing_statement(tree, text, place) or place
    is_within = place != statement and statement[0] <= place[0] < place[1] <= statement[1]
    return statement, place if is_within else None


def _narrowed(tree: ast.Module, place: Region) -> Region:
    """Python 3.11 gives a whole loop, handler or with block as the place of what it iterates over, catches or enters."""
    for node in ast.walk(tree):
        part = None
        if isinstance(node, ast.For | ast.AsyncFor):
            part = node.iter
        elif isinstance(node, ast.ExceptHandler):
            part = node.type
        elif isinstance(node, ast.With | ast.AsyncWith) and len(node.items) == 1:
            part = node.items[0].context_expr
        if part is not None and _whole(node) == place:
            return _whole(part)
    return place


def enclosing_statement(tree: ast.Module, text: str, place: Region) -> Region | None:
    """The smallest statement, or header of a compound statement, that covers the place; else the last that starts before it
    on its line, for places without columns. A whole compound statement stands for its header."""
    lines = text.encode("utf-8", "surrogatepass").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    regions = [(node, region) for node in ast.walk(tree) for region in _regions(node, lines)]
    for node, region in regions:
        if isinstance(node, ast.stmt | ast.ExceptHandler) and _whole(node) == place:
            return region
    covering = [region for _, region in regions if region[0] <= place[0] and place[1] <= region[1]]
    covering = covering or [region for _, region in regions if region[0][0] <= place[0][0] <= region[1][0]]
    return min(covering, key=_size, default=None)


def _size(region: Region) -> Position:
    (line, column), (end_line, end_column) = region
    return end_line - line, end_column - column


def _regions(node: ast.AST, lines: list[bytes]) -> Iterator[Region]:
    """What of this node stands for itself: a simple statement whole, of a compound one its header, and its decorators."""
    if isinstance(node, ast.match_case):
        yield _back(lines, _start(node.pattern), b"case"), _colon(lines, _end(node.guard or node.pattern))
    if not isinstance(node, ast.stmt | ast.ExceptHandler):
        return
    if hasattr(node, "body") or isinstance(node, ast.Match):
        yield _start(node), _colon(lines, max([_start(node), *(_end(child) for child in _header(node))]))
    else:
        yield _whole(node)
    for decorator in getattr(node, "decorator_list", []):
        yield _decorator(decorator, lines)


def _decorator(node: ast.expr, lines: list[bytes]) -> Region:
    """From the @ on, with the brackets around the expression."""
    line, column = _end(node)
    brackets = re.match(rb"(\s*\))*", b"\n".join(lines[line - 1 :])[column:])
    *passed, rest = brackets.group().split(b"\n") if brackets else [b""]
    end = line + len(passed), len(rest) + (0 if passed else column)
    return _back(lines, _start(node), b"@"), end


def _header(node: ast.AST) -> Iterator[ast.AST]:
    """The positioned parts of a compound statement before its colon."""
    for name, value in ast.iter_fields(node):
        if name in ("body", "orelse", "finalbody", "handlers", "cases", "decorator_list"):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.arguments | ast.withitem):
                yield from _header(part)
            elif isinstance(part, ast.AST) and hasattr(part, "end_lineno"):
                yield part


def _start(node: ast.AST) -> Position:
    return node.lineno, node.col_offset  # type: ignore[attr-defined]


def _end(node: ast.AST) -> Position:
    return node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]


def _whole(node: ast.AST) -> Region:
    return _start(node), _end(node)


def _back(lines: list[bytes], before: Position, word: bytes) -> Position:
    """The last occurrence of a word before a position."""
    line, column = before
    while line >= 1:
        found = lines[line - 1].rfind(word, 0, column)
        if found >= 0:
            return line, found
        line, column = line - 1, sys.maxsize
    return before


def _colon(lines: list[bytes], after: Position) -> Position:
    """One past the first colon at or after a position, comments aside: where a header ends."""
    line, column = after
    while line <= len(lines):
        code = lines[line - 1][column:].partition(b"#")[0]
        if b":" in code:
            return line, column + code.index(b":") + 1
        line, column = line + 1, 0
    return after
