"""Faults that pyflakes finds, those of them that are certain: names that nothing binds, formats that don't fit, tests of tuples.

Runs on the sandboxed side, in zygotes that have imported pyflakes. What pyflakes says of unused names, redefinitions and style is
left out, and so is what it only guesses: it reads a text from top to bottom, so that a name that a loop binds for its next round,
or that a handler may provide, is undefined to it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from pyflakes import messages
from pyflakes.checker import Checker

from executors.scopes import Fault, Loop, Scopes, bound

UNDEFINED_NAME, UNDEFINED_LOCAL, BAD_FORMAT = "undefined-name", "undefined-local", "bad-format"
ALWAYS_TRUE, NOT_AN_EXCEPTION, PRINT_SHIFT = "always-true", "not-an-exception", "print-shift"

_CODES: dict[type[messages.Message], str] = {
    messages.UndefinedName: UNDEFINED_NAME,
    messages.UndefinedLocal: UNDEFINED_LOCAL,
    messages.StringDotFormatInvalidFormat: BAD_FORMAT,
    messages.StringDotFormatMissingArgument: BAD_FORMAT,
    messages.StringDotFormatMixingAutomatic: BAD_FORMAT,
    messages.PercentFormatInvalidFormat: BAD_FORMAT,
    messages.PercentFormatUnsupportedFormatCharacter: BAD_FORMAT,
    messages.PercentFormatPositionalCountMismatch: BAD_FORMAT,
    messages.PercentFormatMissingArgument: BAD_FORMAT,
    messages.PercentFormatExpectedMapping: BAD_FORMAT,
    messages.PercentFormatExpectedSequence: BAD_FORMAT,
    messages.PercentFormatStarRequiresSequence: BAD_FORMAT,
    messages.IfTuple: ALWAYS_TRUE,
    messages.AssertTuple: ALWAYS_TRUE,
    messages.RaiseNotImplemented: NOT_AN_EXCEPTION,
    messages.InvalidPrintSyntax: PRINT_SHIFT,
}
_RAISED = {
    UNDEFINED_NAME: frozenset({"NameError"}),
    UNDEFINED_LOCAL: frozenset({"UnboundLocalError"}),
    BAD_FORMAT: frozenset({"ValueError", "TypeError", "KeyError", "IndexError"}),
    NOT_AN_EXCEPTION: frozenset({"TypeError"}),
    PRINT_SHIFT: frozenset({"TypeError"}),
}
_OLD = "basestring cmp execfile file long raw_input reduce reload unichr unicode xrange"
"""Built-in names of Python 2."""
_Conditional = ast.IfExp | ast.BoolOp | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class _Noting(Checker):
    """Keeps the nodes that messages are about."""

    def report(self, messageClass: type[messages.Message], *args: Any, **kwargs: Any) -> None:
        """Called by Checker."""
        if messageClass in _CODES:
            self.messages.append((messageClass(self.filename, *args, **kwargs), args[0]))


def flakes(scopes: Scopes, known: frozenset[str]) -> Iterator[Fault]:
    """Faults in a program's tree; `known` are names that it need not bind. Raises RecursionError for one that is too deep."""
    for message, node in _Noting(scopes.tree, builtins=known).messages:
        code = _CODES[type(message)]
        is_caught = code in _RAISED and scopes.is_caught(node, _RAISED[code])
        if not is_caught and _is_certain(scopes, message, node):
            yield Fault(code, message.message % message.message_args, _place(node))


def _is_certain(scopes: Scopes, message: messages.Message, node: ast.AST) -> bool:
    match message:
        case messages.UndefinedName():
            return isinstance(node, ast.Name) and _is_nowhere(scopes, node)
        case messages.UndefinedLocal():
            return isinstance(node, ast.Name) and _is_before_any(scopes, node)
        case messages.PercentFormatPositionalCountMismatch() | messages.PercentFormatExpectedMapping():
            # A list is one value, and `"100%%" % ()` is fine.
            return isinstance(node, ast.BinOp) and isinstance(node.right, ast.Tuple) and bool(node.right.elts)
        case messages.PercentFormatUnsupportedFormatCharacter():
            return message.message_args != ("(",)  # a key with brackets in it
        case messages.IfTuple() | messages.AssertTuple():
            parts = getattr(_place(node), "elts", ())
            return not all(isinstance(part, ast.Starred) for part in parts)
        case messages.RaiseNotImplemented():
            return "NotImplemented" not in scopes.everywhere
        case messages.InvalidPrintSyntax():
            return not scopes.is_conditional(node)
    return True


def _is_nowhere(scopes: Scopes, name: ast.Name) -> bool:
    """Does nothing bind the name in any scope that is visible from here?"""
    if scopes.is_dynamic or scopes.is_starred or name.id in scopes.deleted or scopes.sees(name, name.id):
        return False
    return not _is_unread(scopes, name) and not (name.id in _OLD.split() and scopes.is_conditional(name))


def _is_unread(scopes: Scopes, name: ast.Name) -> bool:
    """Is it in an annotation that is never evaluated: a text, one that is put off, or a local variable's?"""
    if name not in scopes.parents:  # the tree of a text that stands for a type
        return True
    in_function = scopes.function_of(name) is not scopes.tree
    for parent, child in scopes.above(name):
        if child is getattr(parent, "annotation", None) or child is getattr(parent, "returns", None):
            return "annotations" in scopes.bindings[scopes.tree] or (isinstance(parent, ast.AnnAssign) and in_function)
    return False


def _is_before_any(scopes: Scopes, name: ast.Name) -> bool:
    """Is the local variable unbound whenever its value is asked for here? pyflakes knows that the text binds it only later; in a
    loop that must be by statements that themselves ask for its value first."""
    if name.id in scopes.deleted | scopes.nonlocals:
        return False
    function = scopes.function_of(name)
    around = takewhile(lambda parent: parent is not function, (parent for parent, _ in scopes.above(name)))
    loops = [parent for parent in around if isinstance(parent, Loop)]
    return not loops or all(_asks_first(scopes, node, name.id) for node in ast.walk(loops[-1]) if name.id in bound(node))


def _asks_first(scopes: Scopes, store: ast.AST, name: str) -> bool:
    """Does the statement that binds the name evaluate it before, in any case?"""
    statement = scopes.parents[store]
    if isinstance(statement, ast.Assign):
        parts = list(ast.walk(statement.value))
        asked = any(isinstance(part, ast.Name) and part.id == name for part in parts)
        return asked and not any(isinstance(part, _Conditional) for part in parts)
    return isinstance(statement, ast.AugAssign)


def _place(node: ast.AST) -> ast.AST:
    """What of a statement is at fault."""
    match node:
        case ast.If(test=part) | ast.IfExp(test=part) | ast.Assert(test=part) | ast.Raise(exc=ast.expr() as part):
            return part
    return node
