"""Where an error is, found on the sandboxed side: positions of syntax errors, and the statement that raised.

Everything here works on the program's own text and on its traceback, beside the program; what comes out are integers that the
judge checks. Lines count from 1, columns are UTF-8 bytes from 0, as in `ast`. Standard library only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from types import TracebackType

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
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1].strip() or error.lineno != len(lines):
        return False
    return "unterminated" in error.msg or not lines[-1][max((error.offset or 1) - 1, 0) :].strip()


def raising_statement(traceback: TracebackType | None, filename: str, text: str) -> Region | None:
    """The statement of the program's innermost frame; None where no frame is the program's own.

    Frames of libraries and of text that the program itself exec'd have other file names: the outer own line is blamed.
    """
    own = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            own = traceback
        traceback = traceback.tb_next
    if own is None:
        return None
    positions = list(own.tb_frame.f_code.co_positions())
    line, end_line, column, end_column = positions[own.tb_lasti // 2] if own.tb_lasti >= 0 else (None,) * 4
    if line is None or end_line is None or column is None or end_column is None:
        line = end_line = line or own.tb_lineno
        column, end_column = 0, 0
    place = ((line, column), (end_line, end_column))
    return enclosing_statement(ast.parse(text), text, place) or place


def enclosing_statement(tree: ast.Module, text: str, place: Region) -> Region | None:
    """The smallest statement, or header of a compound statement, that covers the place; else the last that starts before it
    on its line, for places without columns."""
    lines = text.encode("utf-8", "surrogatepass").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    regions = [region for node in ast.walk(tree) for region in _regions(node, lines)]
    covering = [region for region in regions if region[0] <= place[0] and place[1] <= region[1]]
    covering = covering or [region for region in regions if region[0][0] <= place[0][0] <= region[1][0]]
    return min(covering, key=_size, default=None)


def _size(region: Region) -> Position:
    (line, column), (end_line, end_column) = region
    return end_line - line, end_column - column


def _regions(node: ast.AST, lines: list[bytes]) -> Iterator[Region]:
    """What of this node stands for itself: a simple statement whole, of a compound one its header and decorators."""
    if isinstance(node, ast.match_case):
        yield (node.pattern.lineno, node.pattern.col_offset), _colon(lines, _end(node.guard or node.pattern))
    if not isinstance(node, ast.stmt | ast.ExceptHandler):
        return
    start = node.lineno, node.col_offset
    for decorator in getattr(node, "decorator_list", []):
        yield _decorator(decorator, lines)
    if not hasattr(node, "body") and not isinstance(node, ast.Match):
        yield start, _end(node)
        return
    inner = [start, *(_end(child) for child in _header(node))]
    yield start, _colon(lines, max(inner))


def _decorator(node: ast.expr, lines: list[bytes]) -> Region:
    """From the @ on, with the brackets around the expression."""
    line, column = _end(node)
    brackets = re.compile(rb"(\s*\))*").match(lines[line - 1], column)
    at = lines[node.lineno - 1].rfind(b"@", 0, node.col_offset)
    return (node.lineno, max(0, at)), (line, brackets.end() if brackets else column)


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


def _end(node: ast.AST) -> Position:
    return node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]


def _colon(lines: list[bytes], after: Position) -> Position:
    """One past the first colon at or after a position: where a header ends."""
    line, column = after
    while line <= len(lines):
        found = lines[line - 1].find(b":", column)
        if found >= 0:
            return line, found + 1
        line, column = line + 1, 0
    return after
