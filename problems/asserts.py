"""Assert tests from source text, in the styles of HumanEval and MBPP.

    def check(candidate):              or the assertions by themselves, at the top of the text
        assert candidate(1, 2) == 3
    check(add)                         optional

The tests' process binds `candidate` and the entry point's name to the program's function; nothing is run here.
"""

from __future__ import annotations

import ast
import copy
import warnings
from collections import Counter
from collections.abc import Iterable

from contracts.records import Test

_ENTRY = "check"
_CALL = "check(candidate)"
_DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_STRAIGHT = (ast.Assert, ast.Assign, ast.Import, ast.ImportFrom, ast.Pass)


def assert_tests(source: str, entry_point: str) -> tuple[str, tuple[Test, ...]]:
    """The source that runs before each test, without any definition of the entry point, and one test per assertion.

    A test is an assertion with the statements before it that are none. Where assertions could depend on one another (loops,
    shared objects that they could change, statements run for their effect), all of them are one test.
    Raises ValueError for text that is not Python, or that asserts nothing.
    """
    module = parse(source)
    module.body = without(module.body, entry_point) if entry_point != _ENTRY else module.body
    checks = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == _ENTRY]
    if not checks:
        setup, tests = _at_the_top(module.body)
    else:
        rest = [node for node in module.body if node is not checks[-1] and not _calls_check(node)]
        if _names(rest)[_ENTRY]:
            setup, tests = [], [ast.unparse(module)]
        else:
            setup, tests = rest, [f"{_source([check])}\n{_CALL}" for check in _split_check(checks[-1], rest)]
    if not any(isinstance(node, ast.Assert | ast.Raise | ast.Call) for text in tests for node in _run_nodes(text)):
        raise ValueError("it asserts nothing")
    return _source(setup), tuple(Test(text, None) for text in tests)


def parse(source: str) -> ast.Module:
    """Python text as a tree. Raises ValueError for any other."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as err:
        raise ValueError(f"it is not Python: {err}") from err


def without(body: Iterable[ast.stmt], name: str) -> list[ast.stmt]:
    """Statements but for the definitions of a function or class of that name."""
    return [node for node in body if not (isinstance(node, _DEFINED) and node.name == name)]


def _at_the_top(body: list[ast.stmt]) -> tuple[list[ast.stmt], list[str]]:
    """Assertions that are in no function; definitions may be among them."""
    if not _separable(body, [], (*_STRAIGHT, *_DEFINED)):
        return [], [_source(body)]
    first = next((at for at, node in enumerate(body) if isinstance(node, ast.Assert)), 0)
    return body[:first], [_source(statements) for statements in _one_each(body[first:])]


def _split_check(check: ast.FunctionDef, around: list[ast.stmt]) -> list[ast.stmt]:
    if not _separable(check.body, around, _STRAIGHT):
        return [check]
    return [_with_body(check, statements) for statements in _one_each(check.body)]


def _one_each(body: list[ast.stmt]) -> list[list[ast.stmt]]:
    """For each assertion: it and what comes before it, but for the other assertions."""
    before: list[ast.stmt] = []
    tests = []
    for node in body:
        if isinstance(node, ast.Assert):
            tests.append([*before, node])
        else:
            before.append(node)
    return tests


def _separable(body: list[ast.stmt], around: list[ast.stmt], allowed: tuple[type[ast.stmt], ...]) -> bool:
    """Does each assertion mean the same without the others?"""
    if not any(isinstance(node, ast.Assert) for node in body):
        return False
    if not all(isinstance(node, allowed) or _does_nothing(node) for node in body):
        return False
    if any(isinstance(node, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom) for part in body for node in ast.walk(part)):
        return False
    changeable: set[str] = set()
    uses: Counter[str] = Counter()
    made_from: dict[str, set[str]] = {}
    for node in (*around, *body):
        used = {source for name in _names([node]) for source in made_from.get(name, {name})}
        if isinstance(node, ast.Assert):
            uses.update(used)
        bound = _bound(node)
        made_from.update((name, used | {name}) for name in bound)
        if not isinstance(node, _DEFINED) and not _sets_constant(node):
            changeable |= bound
    return all(uses[name] < 2 for name in changeable)


def _does_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.Name)


def _sets_constant(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
        return False
    return all(isinstance(target, ast.Name) for target in node.targets)


def _bound(node: ast.stmt) -> set[str]:
    """Names that a statement gives an object, or changes the object of."""
    if isinstance(node, _DEFINED):
        return {node.name}
    if isinstance(node, ast.Assign):
        return set(_names(node.targets))
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


def _names(nodes: Iterable[ast.AST]) -> Counter[str]:
    return Counter(part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name))


def _calls_check(node: ast.stmt) -> bool:
    """Is it `check(…)` at the top?"""
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == _ENTRY


def _with_body(check: ast.FunctionDef, body: list[ast.stmt]) -> ast.FunctionDef:
    part = copy.copy(check)
    part.body = body
    return part


def _source(body: list[ast.stmt]) -> str:
    return "\n".join(map(ast.unparse, body))


def _run_nodes(text: str) -> list[ast.AST]:
    """All of a test's nodes but for the closing call."""
    module = ast.parse(text.removesuffix(_CALL))
    return list(ast.walk(module))
