"""Who binds which name where, in a program's tree, and what of it may be other than the text says.

Runs on the sandboxed side; standard library only. Where there is no certain answer, the answer is the one that finds
no fault.
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Loop = ast.For | ast.AsyncFor | ast.While
_Guard = ast.Try | ast.TryStar | ast.With | ast.AsyncWith
_Scope = ast.Module | ast.ClassDef | Function | Comprehension

_DYNAMIC = """eval exec globals locals vars dir setattr delattr builtins __builtins__ __import__ import_module __main__ modules
__dict__ _getframe f_globals f_locals __code__ __defaults__ __kwdefaults__ __globals__ _convert_ global_enum"""
"""Names with which a program can bind names that its text does not show, ask which there are, or change a function."""
_VERSIONS = "version version_info hexversion python_version python_version_tuple"
"""Names by which a program asks which Python it runs in."""


class Fault(NamedTuple):
    """A certain fault and where it is."""

    code: str
    message: str
    node: ast.AST


class Scopes:
    """A program's tree with its scopes."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.nodes: list[ast.AST] = [tree]
        """All but operators and contexts, which are the same objects everywhere."""
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in self.nodes:
            children = [child for child in ast.iter_child_nodes(node) if child._fields or child._attributes]
            self.parents.update(dict.fromkeys(children, node))
            self.nodes.extend(children)
        self.bindings: defaultdict[ast.AST, Counter[str]] = defaultdict(Counter)
        """Scope → how often it binds each name."""
        for node in self.nodes:
            for name in bound(node):
                self.bindings[self._home(node)][name] += 1
        self.everywhere = frozenset(name for names in self.bindings.values() for name in names)
        """Names that are bound in any scope."""
        self.deleted = frozenset(node.id for node in self.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del))
        self.nonlocals = frozenset(name for node in self.nodes if isinstance(node, ast.Nonlocal) for name in node.names)
        """Local variables that another function may bind."""
        mentioned = frozenset(name for node in self.nodes for name in _mentioned(node))
        self.is_dynamic = not mentioned.isdisjoint(_DYNAMIC.split())
        self.asks_for_version = not mentioned.isdisjoint(_VERSIONS.split())
        """May parts of it be for other versions of Python, whether behind a condition, a flag or an early return?"""
        self.is_starred = "*" in self.everywhere
        """Does it import all names of a module?"""
        self._guards = {child: node for node in self.nodes if isinstance(node, _Guard) for child in _guarded(node)}

    def above(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        """Each node around this one, innermost first, and which of its children leads here."""
        while (parent := self.parents.get(node)) is not None:
            yield parent, node
            node = parent

    def function_of(self, node: ast.AST) -> ast.AST:
        """The function, or the module, that a node runs in."""
        return next((parent for parent, child in self.above(node) if _runs_in(parent, child)), self.tree)

    def sees(self, node: ast.AST, name: str) -> bool:
        """Is the name bound in any scope that is visible from here, at whatever time?"""
        return self.binds_around(node, name) or self.bindings[self.tree][name] > 0

    def binds_around(self, node: ast.AST, name: str) -> bool:
        """Likewise, in a scope other than the module."""
        in_function = False
        for parent, child in self.above(node):
            if isinstance(parent, ast.ClassDef) and in_function:
                continue
            if isinstance(parent, ast.ClassDef | Function | Comprehension) and self.bindings[parent][name]:
                return True
            in_function = in_function or _runs_in(parent, child)
        return False

    def is_caught(self, node: ast.AST, exceptions: frozenset[str]) -> bool:
        """May a handler, a context manager or a `finally` catch one of these: around the node, or, where it runs when it is
        called, anywhere in the program?"""
        around = [self._guards[child] for _, child in self.above(node) if child in self._guards]
        is_called = any(_runs_in(parent, child) or isinstance(parent, ast.GeneratorExp) for parent, child in self.above(node))
        return any(_may_stop(guard, exceptions) for guard in (self._guards.values() if is_called else around))

    def is_conditional(self, node: ast.AST) -> bool:
        """Does it run only where a condition holds, other than that the program is the main one?"""
        for parent, child in self.above(node):
            match parent:
                case ast.If(test=test) | ast.IfExp(test=test) | ast.BoolOp(values=[test, *_]) if child is not test:
                    if not any("__name__" in _mentioned(part) for part in ast.walk(test)):
                        return True
        return False

    def _home(self, node: ast.AST) -> ast.AST:
        """The scope in which the names that this node binds are."""
        if isinstance(node, ast.Global):
            return self.tree
        skipped = Comprehension if isinstance(self.parents.get(node), ast.NamedExpr) else ()
        around = (parent for parent, _ in self.above(node) if isinstance(parent, _Scope) and not isinstance(parent, skipped))
        return next(around, self.tree)


def _runs_in(parent: ast.AST, child: ast.AST) -> bool:
    """Is this a function, and the child part of its body, not of what is evaluated where it is defined?"""
    return isinstance(parent, Function) and (isinstance(child, ast.stmt) or child is parent.body)


def bound(node: ast.AST) -> Iterator[str]:
    """The names that a node itself binds or deletes, or says that they are bound globally; `*` for an import of all."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
            yield name
        case ast.Global(names=names):
            yield from names
        case ast.alias():
            yield node.asname or node.name.partition(".")[0]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case _:
            for field in ("name", "rest"):  # of handlers, patterns and type parameters
                value = getattr(node, field, None)
                if isinstance(value, str):
                    yield value


def _mentioned(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield name
        case ast.alias(name=name):
            yield from name.split(".")


def _guarded(guard: _Guard) -> list[ast.AST]:
    """The parts whose exceptions it may stop."""
    if isinstance(guard, ast.With | ast.AsyncWith):
        return [*guard.items[1:], *guard.body]
    return [*guard.body, *guard.handlers, *guard.orelse] if _leaves(guard) else [*guard.body]


def _leaves(guard: ast.Try | ast.TryStar) -> bool:
    """Does its `finally` go elsewhere, which drops the exception?"""
    return any(isinstance(part, ast.Return | ast.Break | ast.Continue) for node in guard.finalbody for part in ast.walk(node))


def _may_stop(guard: _Guard, exceptions: frozenset[str]) -> bool:
    """Files that a program opens stop no exception; any other context manager may."""
    if isinstance(guard, ast.Try | ast.TryStar):
        return _leaves(guard) or any(_may_catch(handler.type, exceptions) for handler in guard.handlers)
    calls = [item.context_expr for item in guard.items]
    return not all(isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "open" for call in calls)


def _may_catch(kind: ast.expr | None, exceptions: frozenset[str]) -> bool:
    """Unless it names built-in exceptions, all of other classes, it may."""
    if kind is None:
        return True
    for name in kind.elts if isinstance(kind, ast.Tuple) else [kind]:
        known = getattr(builtins, name.id, None) if isinstance(name, ast.Name) else None
        if not isinstance(known, type) or any(issubclass(getattr(builtins, raised), known) for raised in exceptions):
            return True
    return False
